"""A small shop with planted mistakes; each has a comment that names what must find it."""

import hashlib
import json
import sqlite3
import subprocess
from typing import Dict

from flask import Flask, request

from reports import summary

app = Flask(__name__)
API_PASSWORD = "hunter2-hunter2-hunter2"
AWS_KEY = "AKIAIOSFODNN7EXAMPL9"  # pragma: allowlist secret


@app.route("/search")
def search():
    connection = sqlite3.connect("shop.db")
    rows = connection.execute("SELECT * FROM items WHERE name = '%s'" % request.args["q"])
    return {"rows": rows.fetchall()}


@app.route("/run")
def run():
    return subprocess.check_output(request.args["command"], shell=True)


@app.route("/calculate")
def calculate():
    return str(eval(request.args["formula"]))


@app.route("/calculate-known")
def calculate_known():
    return str(eval("1 + 1"))  # nosec B307 # pylint: disable=eval-used # noqa: S307


def digest(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def count(items: list[str]) -> int:
    return summary(items)


def wrong() -> int:
    return "seven"


def silenced() -> int:
    return "eight"  # type: ignore[return-value]


def unused_helper(first, second=[]):
    try:
        second.append(first)
    except Exception:
        pass
    return undefined_name


def decide(a, b, c, d):
    if a and b or c and d:
        return 1
    elif a and c:
        return 2
    elif b and d:
        return 3
    elif a or d:
        return 4
    for number in range(10):
        if number == a:
            return 5
        if number == b:
            return 6
        while c:
            c -= 1
            if c == d:
                break
    return 7


if __name__ == "__main__":
    app.run(host="0.0.0.0", debug=True)
