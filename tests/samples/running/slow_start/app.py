import os
import time

from flask import Flask

app = Flask(__name__)


@app.get("/health")
def health():
    return {"status": "ok"}


if __name__ == "__main__":
    time.sleep(3)  # as an app that loads a model or waits for its database
    app.run(host="127.0.0.1", port=int(os.environ["PORT"]))
