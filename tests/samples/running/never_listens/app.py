import threading

from flask import Flask

app = Flask(__name__)


def main():
    threading.Event().wait()
    app.run(host="127.0.0.1", port=5000)


if __name__ == "__main__":
    main()
