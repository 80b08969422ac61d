from flask import Flask

PORT = 7007
app = Flask(__name__)


@app.route("/")
def index():
    return "fixed"


if __name__ == "__main__":
    app.run("127.0.0.1", PORT)
