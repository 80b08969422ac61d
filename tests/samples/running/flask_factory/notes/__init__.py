"""Notes, kept in memory."""

from flask import Flask, jsonify, request


def create_app(config=None):
    app = Flask(__name__)
    app.config.update(config or {})
    notes = []

    @app.get("/api/notes")
    def list_notes():
        return jsonify(notes)

    @app.post("/api/notes")
    def add_note():
        notes.append(request.get_json()["text"])
        return jsonify(count=len(notes)), 201

    return app
