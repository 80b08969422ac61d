import ast
import hashlib
import json
import os
import pickle
import random
import secrets
import sqlite3
import ssl
import subprocess

import jwt
import requests
import yaml
from fastapi import HTTPException
from flask import jsonify

SETTINGS = os.environ
db = sqlite3.connect("app.db")
cursor = db.cursor()


def find(name, user_id, text):
    # ruleid: referee.python.sql-built-from-strings
    cursor.execute(f"SELECT * FROM users WHERE name = '{name}'")
    # ruleid: referee.python.sql-built-from-strings
    db.execute("SELECT * FROM users WHERE name = '%s'" % name)
    # ruleid: referee.python.sql-built-from-strings
    db.execute("SELECT * FROM users WHERE name = '{}'".format(name))
    # ruleid: referee.python.sql-built-from-strings
    db.execute("SELECT * FROM users WHERE id = " + user_id)
    # ok: referee.python.sql-built-from-strings
    db.execute("SELECT * FROM users WHERE id = ?", (user_id,))
    query = f"DELETE FROM notes WHERE text = '{text}'"
    # ruleid: referee.python.sql-built-from-strings
    cursor.execute(query)


def load(data, path):
    # ruleid: referee.python.pickle-load
    pickle.loads(data)
    # ok: referee.python.pickle-load
    json.loads(data)
    # ruleid: referee.python.yaml-load-unsafe
    yaml.load(data, Loader=yaml.Loader)
    # ok: referee.python.yaml-load-unsafe
    yaml.load(data, Loader=yaml.SafeLoader)
    # ok: referee.python.yaml-load-unsafe
    yaml.safe_load(data)


def run(host, code):
    # ruleid: referee.python.shell-command
    subprocess.run("ping -c 1 " + host, shell=True, check=False)
    # ruleid: referee.python.shell-command
    os.system(f"ping {host}")
    # ok: referee.python.shell-command
    subprocess.run(["ping", "-c", "1", host], check=False)
    # ok: referee.python.shell-command
    os.system("uptime")
    # ruleid: referee.python.eval-of-value
    eval(code)
    # ok: referee.python.eval-of-value
    ast.literal_eval(code)


def read_token(token, key):
    # ruleid: referee.python.jwt-not-verified
    jwt.decode(token, options={"verify_signature": False})
    # ruleid: referee.python.jwt-not-verified
    jwt.decode(token, key, algorithms=["none"])
    # ok: referee.python.jwt-not-verified
    jwt.decode(token, key, algorithms=["HS256"])
    # ruleid: referee.python.jwt-secret-hardcoded
    jwt.encode({"sub": 1}, "secret", algorithm="HS256")
    # ok: referee.python.jwt-secret-hardcoded
    jwt.encode({"sub": 1}, key, algorithm="HS256")


# ruleid: referee.python.jwt-secret-hardcoded
JWT_SECRET = "very-secret-value"
# ok: referee.python.jwt-secret-hardcoded
JWT_SECRET = SETTINGS["JWT_SECRET"]
# ruleid: referee.python.password-hardcoded
ADMIN_PASSWORD = "admin123"
# ok: referee.python.password-hardcoded
ADMIN_PASSWORD = SETTINGS["ADMIN_PASSWORD"]
# ok: referee.python.password-hardcoded
PASSWORD_FIELD = "password_field"


def check(user, password, content):
    # ruleid: referee.python.password-weak-hash
    digest = hashlib.md5(password.encode()).hexdigest()
    # ruleid: referee.python.password-weak-hash
    digest = hashlib.sha256(user["password"].encode()).hexdigest()
    # ok: referee.python.password-weak-hash
    etag = hashlib.sha256(content).hexdigest()
    # ruleid: referee.python.password-compared-as-text
    if user["password"] == password:
        return True
    # ok: referee.python.password-compared-as-text
    if user["password"] == hash_password(password):
        return True
    return digest, etag


def call(url):
    # ruleid: referee.python.request-without-timeout
    requests.get(url)
    # ok: referee.python.request-without-timeout
    requests.get(url, timeout=10)
    # ruleid: referee.python.certificate-not-checked
    requests.get(url, timeout=10, verify=False)
    # ok: referee.python.certificate-not-checked
    requests.get(url, timeout=10, verify="ca.pem")
    # ruleid: referee.python.certificate-not-checked
    ssl._create_unverified_context()


def quiet(risky):
    # ruleid: referee.python.except-pass
    try:
        risky()
    except Exception:
        pass
    # ok: referee.python.except-pass
    try:
        risky()
    except ValueError:
        pass


def tell(risky):
    try:
        risky()
    except ValueError as error:
        # ruleid: referee.python.error-shown-to-visitor
        return jsonify({"error": str(error)}), 500
    except KeyError as error:
        # ruleid: referee.python.error-shown-to-visitor
        raise HTTPException(status_code=500, detail=str(error))
    except OSError:
        # ok: referee.python.error-shown-to-visitor
        return jsonify({"error": "It cannot be read."}), 500


def make_token():
    # ruleid: referee.python.token-from-random
    reset_token = str(random.randint(100000, 999999))
    # ok: referee.python.token-from-random
    session_token = secrets.token_urlsafe(32)
    # ok: referee.python.token-from-random
    dice = random.randint(1, 6)
    return reset_token, session_token, dice
