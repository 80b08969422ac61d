import os

from flask import Flask

app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY_OF_THE_APP"]

if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ.get("PORT", 5000)))
