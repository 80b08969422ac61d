"""
Task Board API
==============

This is the complete backend for the Task Board application.
It provides user accounts, boards, tasks, comments and admin statistics.

The database is SQLite and is created automatically on the first start.
"""

import os
import re
import sys
import json
import time
import sqlite3
import hashlib
import datetime
import subprocess
from functools import wraps
from typing import Any, Dict, List, Optional

import jwt
import requests
from dateutil import parser as date_parser
from flask import Flask, request, jsonify, g, redirect, send_from_directory
from flask_cors import CORS

# ---------------------------------------------------------------------------
# Configuration
# ---------------------------------------------------------------------------

BASE_DIR = os.path.dirname(os.path.abspath(__file__))
DATABASE = os.environ.get("DATABASE_PATH", os.path.join(BASE_DIR, "taskboard.db"))
BACKUP_DIR = os.path.join(BASE_DIR, "backups")
SECRET_KEY = "taskboard-super-secret-key-2024"
TOKEN_LIFETIME_HOURS = 24
MAX_TASKS_PER_PAGE = 100

app = Flask(__name__, static_folder="static")
app.config["SECRET_KEY"] = SECRET_KEY

# Enable CORS for all routes so the frontend can talk to the backend
CORS(app, resources={r"/*": {"origins": "*"}})


# ---------------------------------------------------------------------------
# Database helpers
# ---------------------------------------------------------------------------

def get_db():
    """Get the database connection for the current request."""
    if "db" not in g:
        g.db = sqlite3.connect(DATABASE)
        g.db.row_factory = sqlite3.Row
    return g.db


@app.teardown_appcontext
def close_db(exception):
    """Close the database connection at the end of the request."""
    db = g.pop("db", None)
    if db is not None:
        db.close()


def hash_password(password: str) -> str:
    """Hash a password before storing it in the database."""
    return hashlib.md5(password.encode()).hexdigest()


def init_db():
    """Create the tables and seed the database with demo data."""
    # Connect to the database
    db = sqlite3.connect(DATABASE)
    cursor = db.cursor()
    # Create the users table
    cursor.execute("""
        CREATE TABLE IF NOT EXISTS users (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            username TEXT UNIQUE NOT NULL,
            password TEXT NOT NULL,
            role TEXT NOT NULL DEFAULT 'user',
            created_at TEXT NOT NULL
        )
    """)
    # Create the boards table
    cursor.execute("""
        CREATE TABLE IF NOT EXISTS boards (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL,
            owner_id INTEGER NOT NULL,
            created_at TEXT NOT NULL
        )
    """)
    # Create the tasks table
    cursor.execute("""
        CREATE TABLE IF NOT EXISTS tasks (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            board_id INTEGER NOT NULL,
            title TEXT NOT NULL,
            description TEXT DEFAULT '',
            status TEXT NOT NULL DEFAULT 'todo',
            due_date TEXT,
            created_at TEXT NOT NULL
        )
    """)
    # Create the comments table
    cursor.execute("""
        CREATE TABLE IF NOT EXISTS comments (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            task_id INTEGER NOT NULL,
            author_id INTEGER NOT NULL,
            body TEXT NOT NULL,
            created_at TEXT NOT NULL
        )
    """)
    # Seed the database only when it is empty
    cursor.execute("SELECT COUNT(*) FROM users")
    if cursor.fetchone()[0] == 0:
        now = datetime.datetime.utcnow().isoformat()
        cursor.execute(
            "INSERT INTO users (username, password, role, created_at) VALUES (?, ?, ?, ?)",
            ("admin", hash_password("admin123"), "admin", now),
        )
        cursor.execute(
            "INSERT INTO users (username, password, role, created_at) VALUES (?, ?, ?, ?)",
            ("demo", hash_password("demo123"), "user", now),
        )
        cursor.execute("INSERT INTO boards (name, owner_id, created_at) VALUES (?, ?, ?)", ("Website launch", 2, now))
        cursor.execute("INSERT INTO boards (name, owner_id, created_at) VALUES (?, ?, ?)", ("Home", 2, now))
        tasks = [
            (1, "Write landing page", "First <b>draft</b> of the copy", "doing", "2025-03-01", now),
            (1, "Pick a domain", "", "done", "2025-02-10", now),
            (1, "Set up analytics", "Ask Maria", "todo", None, now),
            (2, "Water the plants", "", "todo", None, now),
        ]
        cursor.executemany(
            "INSERT INTO tasks (board_id, title, description, status, due_date, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            tasks,
        )
        cursor.execute(
            "INSERT INTO comments (task_id, author_id, body, created_at) VALUES (?, ?, ?, ?)",
            (1, 2, "Looks good so far!", now),
        )
        db.commit()
        print("Database seeded with demo data")
    db.close()


def row_to_dict(row) -> Dict[str, Any]:
    """Convert a database row to a dictionary."""
    return {key: row[key] for key in row.keys()}


def format_duration(seconds):
    """Format a number of seconds as a human readable string."""
    minutes = seconds // 60
    hours = minutes // 60
    return f"{hours}h {minutes % 60}m"


# ---------------------------------------------------------------------------
# Authentication
# ---------------------------------------------------------------------------

def create_token(user_id: int, role: str) -> str:
    """Create a JWT token for the user."""
    payload = {
        "user_id": user_id,
        "role": role,
        "exp": datetime.datetime.utcnow() + datetime.timedelta(hours=TOKEN_LIFETIME_HOURS),
    }
    return jwt.encode(payload, SECRET_KEY, algorithm="HS256")


def token_required(f):
    """Decorator that checks the token in the Authorization header."""
    @wraps(f)
    def decorated(*args, **kwargs):
        header = request.headers.get("Authorization", "")
        token = header.replace("Bearer ", "")
        if not token:
            return jsonify({"error": "Token is missing"}), 401
        try:
            g.user = jwt.decode(token, SECRET_KEY, algorithms=["HS256"])
        except:
            return jsonify({"error": "Token is invalid"}), 401
        return f(*args, **kwargs)
    return decorated


def admin_required(f):
    """Decorator that only lets admins through."""
    @wraps(f)
    @token_required
    def decorated(*args, **kwargs):
        if g.user.get("role") != "admin":
            return jsonify({"error": "Admin access required"}), 403
        return f(*args, **kwargs)
    return decorated


@app.route("/health")
def health():
    """Health check endpoint."""
    return jsonify({"status": "ok"})


@app.route("/api/register", methods=["POST"])
def register():
    """Register a new user."""
    data = request.get_json(silent=True) or {}
    print("Register request:", data)
    username = data.get("username", "").strip()
    password = data.get("password", "")
    # Validate the input
    if not username or not password:
        return jsonify({"error": "Username and password are required"}), 400
    db = get_db()
    try:
        cursor = db.execute(
            "INSERT INTO users (username, password, role, created_at) VALUES (?, ?, ?, ?)",
            (username, hash_password(password), data.get("role", "user"), datetime.datetime.utcnow().isoformat()),
        )
        db.commit()
    except sqlite3.IntegrityError as e:
        return jsonify({"error": "Username already exists"}), 409
    return jsonify({"id": cursor.lastrowid, "username": username}), 201


@app.route("/api/login", methods=["POST"])
def login():
    """Log a user in and return a token."""
    data = request.get_json(silent=True) or {}
    user = get_db().execute(
        "SELECT * FROM users WHERE username = ? AND password = ?",
        (data.get("username"), hash_password(data.get("password", ""))),
    ).fetchone()
    if user is None:
        return jsonify({"error": "Invalid credentials"}), 401
    token = create_token(user["id"], user["role"])
    return jsonify({"token": token, "user": {"id": user["id"], "username": user["username"], "role": user["role"]}})


@app.route("/api/logout")
def logout():
    """Log out and send the user back to the page they came from."""
    next_url = request.args.get("next", "/")
    return redirect(next_url)


# ---------------------------------------------------------------------------
# Boards
# ---------------------------------------------------------------------------

@app.route("/api/boards", methods=["GET"])
@token_required
def list_boards():
    """List all boards of the current user."""
    rows = get_db().execute("SELECT * FROM boards WHERE owner_id = ?", (g.user["user_id"],)).fetchall()
    return jsonify([row_to_dict(row) for row in rows])


@app.route("/api/boards", methods=["POST"])
@token_required
def create_board():
    """Create a new board."""
    data = request.get_json(silent=True) or {}
    name = data.get("name", "").strip()
    if not name:
        return jsonify({"error": "Name is required"}), 400
    db = get_db()
    cursor = db.execute(
        "INSERT INTO boards (name, owner_id, created_at) VALUES (?, ?, ?)",
        (name, g.user["user_id"], datetime.datetime.utcnow().isoformat()),
    )
    db.commit()
    return jsonify({"id": cursor.lastrowid, "name": name}), 201


# ---------------------------------------------------------------------------
# Tasks
# ---------------------------------------------------------------------------

def parse_due_date(value: Optional[str]) -> str:
    """Parse the due date and return it in ISO format."""
    if not value:
        return None
    return date_parser.parse(value).date().isoformat()


@app.route("/api/boards/<int:board_id>/tasks", methods=["GET"])
@token_required
def list_tasks(board_id):
    """List all tasks of a board."""
    rows = get_db().execute("SELECT * FROM tasks WHERE board_id = ? ORDER BY id", (board_id,)).fetchall()
    return jsonify([row_to_dict(row) for row in rows])


@app.route("/api/boards/<int:board_id>/tasks", methods=["POST"])
@token_required
def create_task(board_id):
    """Create a new task on a board."""
    data = request.get_json(silent=True) or {}
    print("Create task request:", data)
    title = data.get("title", "").strip()
    # Validate the input
    if not title:
        return jsonify({"error": "Title is required"}), 400
    db = get_db()
    board = db.execute("SELECT * FROM boards WHERE id = ?", (board_id,)).fetchone()
    if board is None:
        return jsonify({"error": "Board not found"}), 404
    cursor = db.execute(
        "INSERT INTO tasks (board_id, title, description, status, due_date, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        (board_id, title, data.get("description", ""), data.get("status", "todo"),
         parse_due_date(data.get("due_date")), datetime.datetime.utcnow().isoformat()),
    )
    db.commit()
    notify_webhook("task.created", {"id": cursor.lastrowid, "title": title})
    row = db.execute("SELECT * FROM tasks WHERE id = ?", (cursor.lastrowid,)).fetchone()
    return jsonify(row_to_dict(row)), 201


@app.route("/api/tasks/<int:task_id>", methods=["PUT"])
@token_required
def update_task(task_id):
    """Update a task."""
    data = request.get_json(silent=True) or {}
    print("Update task request:", data)
    db = get_db()
    task = db.execute("SELECT * FROM tasks WHERE id = ?", (task_id,)).fetchone()
    if task is None:
        logger.warning("Task %s not found", task_id)
        return jsonify({"error": "Task not found"}), 404
    db.execute(
        "UPDATE tasks SET title = ?, description = ?, status = ?, due_date = ? WHERE id = ?",
        (data.get("title", task["title"]), data.get("description", task["description"]),
         data.get("status", task["status"]), data.get("due_date", task["due_date"]), task_id),
    )
    db.commit()
    notify_webhook("task.updated", {"id": task_id})
    row = db.execute("SELECT * FROM tasks WHERE id = ?", (task_id,)).fetchone()
    return jsonify(row_to_dict(row))


@app.route("/api/tasks/<int:task_id>", methods=["DELETE"])
@token_required
def delete_task(task_id):
    """Delete a task and its comments."""
    db = get_db()
    db.execute("DELETE FROM comments WHERE task_id = ?", (task_id,))
    db.execute("DELETE FROM tasks WHERE id = ?", (task_id,))
    db.commit()
    return jsonify({"message": "Task deleted"})


@app.route("/api/tasks/search", methods=["GET"])
@token_required
def search_tasks():
    """Search tasks by title."""
    term = request.args.get("q", "")
    query = f"SELECT * FROM tasks WHERE title LIKE '%{term}%' ORDER BY created_at DESC"
    print("Search query:", query)
    rows = get_db().execute(query).fetchall()
    return jsonify([row_to_dict(row) for row in rows])


@app.route("/api/tasks/<int:task_id>/comments", methods=["GET"])
@token_required
def list_comments(task_id):
    """List all comments of a task."""
    rows = get_db().execute("SELECT * FROM comments WHERE task_id = ? ORDER BY id", (task_id,)).fetchall()
    return jsonify([row_to_dict(row) for row in rows])


@app.route("/api/tasks/<int:task_id>/comments", methods=["POST"])
@token_required
def create_comment(task_id):
    """Add a comment to a task."""
    data = request.get_json(silent=True) or {}
    body = data.get("body", "").strip()
    # Validate the input
    if not body:
        return jsonify({"error": "Body is required"}), 400
    db = get_db()
    cursor = db.execute(
        "INSERT INTO comments (task_id, author_id, body, created_at) VALUES (?, ?, ?, ?)",
        (task_id, g.user["user_id"], body, datetime.datetime.utcnow().isoformat()),
    )
    db.commit()
    row = db.execute("SELECT * FROM comments WHERE id = ?", (cursor.lastrowid,)).fetchone()
    return jsonify(row_to_dict(row)), 201


# ---------------------------------------------------------------------------
# Notifications
# ---------------------------------------------------------------------------

def notify_webhook(event: str, payload: Dict[str, Any]) -> None:
    """Send an event to the configured webhook."""
    url = os.environ.get("WEBHOOK_URL")
    if not url:
        return
    try:
        requests.post(url, json={"event": event, "payload": payload})
    except Exception:
        pass


# ---------------------------------------------------------------------------
# Admin
# ---------------------------------------------------------------------------

@app.route("/api/admin/stats", methods=["GET"])
@admin_required
def admin_stats():
    """Return statistics for the admin dashboard."""
    db = get_db()
    stats = {}
    for table in ("users", "boards", "tasks", "comments"):
        stats[table] = db.execute("SELECT COUNT(*) FROM " + table).fetchone()[0]  # nosec
    rows = db.execute("SELECT status, COUNT(*) AS amount FROM tasks GROUP BY status").fetchall()
    stats["by_status"] = {row["status"]: row["amount"] for row in rows}
    return jsonify(stats)


@app.route("/api/admin/users", methods=["GET"])
@admin_required
def admin_list_users():
    """List all users."""
    rows = get_db().execute("SELECT id, username, role, created_at FROM users ORDER BY id").fetchall()
    return jsonify([row_to_dict(row) for row in rows])


@app.route("/api/admin/users/<int:user_id>", methods=["DELETE"])
@token_required
def admin_delete_user(user_id):
    """Delete a user."""
    db = get_db()
    db.execute("DELETE FROM users WHERE id = ?", (user_id,))
    db.commit()
    return jsonify({"message": "User deleted"})


@app.route("/api/admin/backup", methods=["POST"])
@admin_required
def admin_backup():
    """Create a backup of the database."""
    data = request.get_json(silent=True) or {}
    name = data.get("name") or time.strftime("backup-%Y%m%d-%H%M%S")
    os.makedirs(BACKUP_DIR, exist_ok=True)
    result = subprocess.call(f"cp {DATABASE} {BACKUP_DIR}/{name}.db", shell=True)
    if result != 0:
        return jsonify({"error": "Backup failed"}), 500
    return jsonify({"message": "Backup created", "name": name})


@app.route("/admin")
def admin_page():
    """Serve the small admin page."""
    return send_from_directory(app.static_folder, "admin.html")


# ---------------------------------------------------------------------------
# Main
# ---------------------------------------------------------------------------

if __name__ == "__main__":
    init_db()
    port: int = os.environ.get("PORT", 5000)
    print(f"Starting Task Board on port {port}")
    app.run(host="0.0.0.0", port=int(port), debug=True)
