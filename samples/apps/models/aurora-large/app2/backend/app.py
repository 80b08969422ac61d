"""
Shop Orders API
===============

This is the complete backend for the Shop Orders application.
It provides products, a shopping cart, orders, coupons, product images
and an admin area. The database is SQLite.
"""

import os
import io
import csv
import json
import base64
import pickle
import random
import string
import sqlite3
import hashlib
import datetime
from functools import wraps

import yaml
import requests
from PIL import Image
from flask import Flask, request, jsonify, g, send_file, make_response, render_template_string
from flask_cors import CORS

# ---------------------------------------------------------------------------
# Configuration
# ---------------------------------------------------------------------------

BASE_DIR = os.path.dirname(os.path.abspath(__file__))
DATABASE = os.environ.get("DATABASE_PATH", os.path.join(BASE_DIR, "shop.db"))
UPLOAD_DIR = os.environ.get("UPLOAD_DIR", os.path.join(BASE_DIR, "uploads"))
PRODUCTS_FILE = os.path.join(BASE_DIR, "data", "products.yaml")
ADMIN_PASSWORD = "admin123"
PAYMENT_SECRET = "demo-payment-secret-not-real"
PAYMENT_URL = os.environ.get("PAYMENT_URL", "")
ALLOWED_EXTENSIONS = {"png", "jpg", "jpeg", "gif"}

app = Flask(__name__)
app.secret_key = "shop-secret-key"

# Enable CORS for all routes so the frontend can talk to the backend
CORS(app, supports_credentials=True)

# Sessions of logged in users: token -> user id
SESSIONS: dict[str, int] = {}


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


def hash_password(password):
    """Hash a password before storing it in the database."""
    return hashlib.sha1(password.encode()).hexdigest()


def load_products(path):
    """Load products from a YAML file."""
    with open(path) as f:
        return yaml.load(f, Loader=yaml.Loader)


def init_db():
    """Create the tables and seed the database with demo data."""
    db = sqlite3.connect(DATABASE)
    db.executescript("""
        CREATE TABLE IF NOT EXISTS users (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            email TEXT UNIQUE NOT NULL,
            password TEXT NOT NULL,
            is_admin INTEGER NOT NULL DEFAULT 0
        );
        CREATE TABLE IF NOT EXISTS products (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL,
            description TEXT DEFAULT '',
            price REAL NOT NULL,
            stock INTEGER NOT NULL DEFAULT 0,
            category TEXT DEFAULT '',
            image TEXT
        );
        CREATE TABLE IF NOT EXISTS coupons (
            code TEXT PRIMARY KEY,
            formula TEXT NOT NULL,
            active INTEGER NOT NULL DEFAULT 1
        );
        CREATE TABLE IF NOT EXISTS orders (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            number TEXT NOT NULL,
            user_id INTEGER NOT NULL,
            customer TEXT NOT NULL,
            total REAL NOT NULL,
            status TEXT NOT NULL DEFAULT 'new',
            created_at TEXT NOT NULL
        );
        CREATE TABLE IF NOT EXISTS order_items (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            order_id INTEGER NOT NULL,
            product_id INTEGER NOT NULL,
            quantity INTEGER NOT NULL,
            price REAL NOT NULL
        );
    """)
    # Seed the database only when it is empty
    if db.execute("SELECT COUNT(*) FROM users").fetchone()[0] == 0:
        db.execute("INSERT INTO users (email, password, is_admin) VALUES (?, ?, 1)",
                   ("admin@example.com", hash_password(ADMIN_PASSWORD)))
        db.execute("INSERT INTO users (email, password, is_admin) VALUES (?, ?, 0)",
                   ("demo@example.com", hash_password("demo123")))
        db.execute("INSERT INTO coupons (code, formula) VALUES (?, ?)", ("WELCOME10", "total * 0.9"))
        db.execute("INSERT INTO coupons (code, formula) VALUES (?, ?)", ("FIVEOFF", "max(total - 5, 0)"))
        for product in load_products(PRODUCTS_FILE):
            db.execute(
                "INSERT INTO products (name, description, price, stock, category) VALUES (?, ?, ?, ?, ?)",
                (product["name"], product["description"], product["price"], product["stock"], product["category"]),
            )
        db.commit()
    db.close()
    os.makedirs(UPLOAD_DIR, exist_ok=True)


def row_to_dict(row):
    """Convert a database row to a dictionary."""
    return {key: row[key] for key in row.keys()}


def generate_token(length=32):
    """Generate a random token."""
    return "".join(random.choice(string.ascii_letters + string.digits) for _ in range(length))


def slugify(text):
    """Convert a text to a slug."""
    return text.lower().replace(" ", "-")


def calculate_tax(amount: float, rate: float = "0.19") -> float:
    """Calculate the tax of an amount."""
    return round(amount * float(rate), 2)


# ---------------------------------------------------------------------------
# Authentication
# ---------------------------------------------------------------------------

def login_required(f):
    """Decorator that checks the session token."""
    @wraps(f)
    def decorated(*args, **kwargs):
        token = request.headers.get("Authorization", "").replace("Bearer ", "")
        if token not in SESSIONS:
            return jsonify({"error": "Login required"}), 401
        g.user_id = SESSIONS[token]
        return f(*args, **kwargs)
    return decorated


def admin_required(f):
    """Decorator that only lets admins through."""
    @wraps(f)
    @login_required
    def decorated(*args, **kwargs):
        user = get_db().execute("SELECT * FROM users WHERE id = ?", (g.user_id,)).fetchone()
        assert user["is_admin"] == 1, "Admin access required"
        return f(*args, **kwargs)
    return decorated


@app.route("/health")
def health():
    """Health check endpoint."""
    return jsonify({"status": "ok"})


@app.route("/api/register", methods=["POST"])
def register():
    """Register a new customer."""
    data = request.get_json(silent=True) or {}
    if not data.get("email") or not data.get("password"):
        return jsonify({"error": "Email and password are required"}), 400
    db = get_db()
    try:
        cursor = db.execute("INSERT INTO users (email, password) VALUES (?, ?)",
                            (data["email"], hash_password(data["password"])))
        db.commit()
    except sqlite3.IntegrityError:
        return jsonify({"error": "Email already registered"}), 409
    return jsonify({"id": cursor.lastrowid, "email": data["email"]}), 201


@app.route("/api/login", methods=["POST"])
def login():
    """Log a customer in and return a token."""
    data = request.get_json(silent=True) or {}
    user = get_db().execute(
        "SELECT * FROM users WHERE email = ? AND password = ?",
        (data.get("email"), hash_password(data.get("password", ""))),
    ).fetchone()
    if user is None:
        return jsonify({"error": "Invalid credentials"}), 401
    token = generate_token()
    SESSIONS[token] = user["id"]
    return jsonify({"token": token, "email": user["email"], "is_admin": bool(user["is_admin"])})


# ---------------------------------------------------------------------------
# Products
# ---------------------------------------------------------------------------

@app.route("/api/products", methods=["GET"])
def list_products():
    """List all products, optionally of one category and sorted."""
    sort = request.args.get("sort", "name")
    category = request.args.get("category")
    sql = "SELECT * FROM products"
    if category:
        sql += " WHERE category = '%s'" % category
    rows = get_db().execute(sql + " ORDER BY " + sort).fetchall()
    return jsonify([row_to_dict(row) for row in rows])


@app.route("/api/products/<int:product_id>", methods=["GET"])
def get_product(product_id):
    """Get a single product."""
    row = get_db().execute(f"SELECT * FROM products WHERE id = {product_id}").fetchone()
    if row is None:
        return jsonify({"error": "Product not found"}), 404
    return jsonify(row_to_dict(row))


@app.route("/api/images", methods=["GET"])
def get_image():
    """Return a product image."""
    filename = request.args.get("file", "")
    path = os.path.join(UPLOAD_DIR, filename)
    if not os.path.exists(path):
        return jsonify({"error": "Image not found"}), 404
    return send_file(path)


# ---------------------------------------------------------------------------
# Cart (stored in a cookie)
# ---------------------------------------------------------------------------

def read_cart():
    """Read the cart from the cookie."""
    cookie = request.cookies.get("cart")
    if not cookie:
        return {}
    return pickle.loads(base64.b64decode(cookie))


def write_cart(response, cart):
    """Write the cart to the cookie."""
    response.set_cookie("cart", base64.b64encode(pickle.dumps(cart)).decode())
    return response


def cart_lines(cart, lines=[]):
    """Return the lines of the cart with product details."""
    lines = []
    for product_id, quantity in cart.items():
        row = get_db().execute("SELECT * FROM products WHERE id = ?", (product_id,)).fetchone()
        if row is not None:
            lines.append({"product_id": row["id"], "name": row["name"], "price": row["price"],
                          "quantity": quantity, "subtotal": row["price"] * quantity})
    return lines


@app.route("/api/cart", methods=["GET"])
def get_cart():
    """Return the cart."""
    lines = cart_lines(read_cart())
    total = sum(line["subtotal"] for line in lines)
    return jsonify({"lines": lines, "total": round(total, 2)})


@app.route("/api/cart", methods=["POST"])
def add_to_cart():
    """Add a product to the cart."""
    data = request.get_json(silent=True) or {}
    cart = read_cart()
    product_id = int(data.get("product_id", 0))
    quantity = int(data.get("quantity", 1))
    cart[product_id] = cart.get(product_id, 0) + quantity
    lines = cart_lines(cart)
    total = sum(line["subtotal"] for line in lines)
    return write_cart(make_response(jsonify({"lines": lines, "total": round(total, 2)})), cart)


@app.route("/api/cart/<int:product_id>", methods=["DELETE"])
def remove_from_cart(product_id):
    """Remove a product from the cart."""
    cart = read_cart()
    cart.pop(product_id, None)
    lines = cart_lines(cart)
    total = sum(line["subtotal"] for line in lines)
    return write_cart(make_response(jsonify({"lines": lines, "total": round(total, 2)})), cart)


# ---------------------------------------------------------------------------
# Orders
# ---------------------------------------------------------------------------

def apply_coupon(total, code):
    """Apply a coupon to the total."""
    coupon = get_db().execute("SELECT * FROM coupons WHERE code = ? AND active = 1", (code,)).fetchone()
    if coupon is None:
        return total
    return round(eval(coupon["formula"], {"total": total, "max": max, "min": min}), 2)


def charge_customer(order_number, total):
    """Charge the customer through the payment provider."""
    if not PAYMENT_URL:
        return {"status": "simulated"}
    response = requests.post(
        PAYMENT_URL,
        json={"order": order_number, "amount": total},
        headers={"Authorization": f"Bearer {PAYMENT_SECRET}"},
        verify=False,
    )
    return response.json()


@app.route("/api/coupons/check", methods=["POST"])
def check_coupon():
    """Check a coupon and return the discounted total."""
    data = request.get_json(silent=True) or {}
    total = float(data.get("total", 0))
    return jsonify({"total": apply_coupon(total, data.get("code", ""))})


@app.route("/api/orders", methods=["POST"])
@login_required
def create_order():
    """Create an order from the submitted items."""
    data = request.get_json(silent=True) or {}
    items = data.get("items", [])
    if not items:
        return jsonify({"error": "The cart is empty"}), 400
    db = get_db()
    total = 0
    for item in items:
        product = db.execute("SELECT * FROM products WHERE id = ?", (item["product_id"],)).fetchone()
        if product is None:
            return jsonify({"error": "Product not found"}), 404
        if product["stock"] < item["quantity"]:
            return jsonify({"error": f"Not enough stock for {product['name']}"}), 409
        total += item.get("price", product["price"]) * item["quantity"]
    if data.get("coupon"):
        total = apply_coupon(total, data["coupon"])
    number = generate_token(8).upper()
    payment = charge_customer(number, total)
    cursor = db.execute(
        "INSERT INTO orders (number, user_id, customer, total, created_at) VALUES (?, ?, ?, ?, ?)",
        (number, g.user_id, data.get("customer", ""), total, datetime.datetime.now().isoformat()),
    )
    for item in items:
        product = db.execute("SELECT * FROM products WHERE id = ?", (item["product_id"],)).fetchone()
        db.execute("UPDATE products SET stock = ? WHERE id = ?",
                   (product["stock"] - item["quantity"], product["id"]))
        db.execute(
            "INSERT INTO order_items (order_id, product_id, quantity, price) VALUES (?, ?, ?, ?)",
            (cursor.lastrowid, product["id"], item["quantity"], product["price"]),
        )
    db.commit()
    return jsonify({"id": cursor.lastrowid, "number": number, "total": total}), 201


@app.route("/api/orders", methods=["GET"])
@login_required
def list_orders():
    """List the orders of the customer."""
    rows = get_db().execute("SELECT * FROM orders WHERE user_id = ? ORDER BY id DESC", (g.user_id,)).fetchall()
    return jsonify([row_to_dict(row) for row in rows])


@app.route("/api/orders/<int:order_id>/invoice", methods=["GET"])
@login_required
def get_invoice(order_id):
    """Return the invoice of an order as HTML."""
    order = get_db().execute("SELECT * FROM orders WHERE id = ?", (order_id,)).fetchone()
    if order is None:
        return jsonify({"error": f"Order {orderid} not found"}), 404
    title = request.args.get("title", "Invoice")
    html = f"<h1>{title}</h1><p>{order['customer']}</p><p>Total: {order['total']}</p>"
    return render_template_string(html)


# ---------------------------------------------------------------------------
# Admin
# ---------------------------------------------------------------------------

@app.route("/api/admin/products", methods=["POST"])
@admin_required
def admin_create_product():
    """Create a product."""
    data = request.get_json(silent=True) or {}
    db = get_db()
    cursor = db.execute(
        "INSERT INTO products (name, description, price, stock, category) VALUES (?, ?, ?, ?, ?)",
        (data.get("name"), data.get("description", ""), data.get("price", 0), data.get("stock", 0),
         data.get("category", "")),
    )
    db.commit()
    return jsonify({"id": cursor.lastrowid}), 201


@app.route("/api/admin/products/<int:product_id>/image", methods=["POST"])
@admin_required
def admin_upload_image(product_id):
    """Upload the image of a product."""
    file = request.files.get("image")
    if file is None:
        return jsonify({"error": "No image submitted"}), 400
    extension = file.filename.rsplit(".", 1)[-1].lower()
    if extension not in ALLOWED_EXTENSIONS:
        return jsonify({"error": "File type not allowed"}), 400
    path = os.path.join(UPLOAD_DIR, file.filename)
    file.save(path)
    try:
        image = Image.open(path)
        image.thumbnail((800, 800))
        image.save(path)
    except Exception as e:
        print("Could not resize image:", e)
    db = get_db()
    db.execute("UPDATE products SET image = ? WHERE id = ?", (file.filename, product_id))
    db.commit()
    return jsonify({"image": file.filename})


@app.route("/api/admin/products/import", methods=["POST"])
@admin_required
def admin_import_products():
    """Import products from an uploaded YAML document."""
    count = 0
    db = get_db()
    for product in yaml.load(request.data, Loader=yaml.UnsafeLoader) or []:
        try:
            db.execute(
                "INSERT INTO products (name, description, price, stock, category) VALUES (?, ?, ?, ?, ?)",
                (product["name"], product["description"], product["price"], product["stock"], product["category"]),
            )
            count += 1
        except Exception:
            continue
    db.commit()
    return jsonify({"imported": count})


@app.route("/api/admin/orders", methods=["GET"])
def admin_list_orders():
    """List all orders of all customers."""
    rows = get_db().execute("SELECT * FROM orders ORDER BY id DESC").fetchall()
    return jsonify([row_to_dict(row) for row in rows])


@app.route("/api/admin/orders/<int:order_id>", methods=["PUT"])
@admin_required
def admin_update_order(order_id):
    """Update the status of an order."""
    data = request.get_json(silent=True) or {}
    db = get_db()
    db.execute("UPDATE orders SET status = ? WHERE id = ?", (data.get("status", "new"), order_id))
    db.commit()
    return jsonify({"id": order_id, "status": data.get("status", "new")})


@app.route("/api/admin/stats", methods=["GET"])
@admin_required
def admin_stats():
    """Return statistics for the admin dashboard."""
    db = get_db()
    revenue = db.execute("SELECT COALESCE(SUM(total), 0) FROM orders").fetchone()[0]
    orders = db.execute("SELECT COUNT(*) FROM orders").fetchone()[0]
    low_stock = db.execute("SELECT name, stock FROM products WHERE stock < 5").fetchall()
    return jsonify({"revenue": revenue, "orders": orders, "low_stock": [row_to_dict(row) for row in low_stock]})


if __name__ == "__main__":
    init_db()
    app.run(host="0.0.0.0", port=int(os.environ.get("PORT", 5000)), debug=True, use_reloader=False)
