import sqlite3

import requests
from flask import Flask, redirect, request

app = Flask(__name__)
app.secret_key = "not-a-secret"


def rows():
    return sqlite3.connect("app.db").cursor()


@app.route("/users")
def users():
    name = request.args.get("name", "")
    return rows().execute(f"SELECT * FROM users WHERE name = '{name}'").fetchall()


@app.route("/proxy")
def proxy():
    return requests.get(request.args["url"]).text  # nosemgrep: referee.python.ssrf


@app.route("/go")
def go():
    return redirect(request.args["next"])


def summarise_orders(orders):
    total = 0
    for order in orders:
        if order["state"] == "paid":
            total += order["price"] * order["count"]
        elif order["state"] == "refunded":
            total -= order["price"] * order["count"]
        else:
            total += 0
    average = total / len(orders) if orders else 0
    return {"total": total, "average": average, "count": len(orders)}


if __name__ == "__main__":
    app.run(debug=True)
