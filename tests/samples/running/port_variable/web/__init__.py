from flask import Flask


def create_app():
    app = Flask(__name__)
    app.add_url_rule("/health", view_func=lambda: {"status": "ok"})
    return app
