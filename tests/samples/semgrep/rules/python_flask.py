import os
import shutil

import requests
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from flask import Flask, jsonify, make_response, redirect, render_template, render_template_string, request
from flask import send_file, url_for
from flask_cors import CORS
from markupsafe import Markup, escape
from pydantic import BaseModel
from werkzeug.utils import secure_filename

app = Flask(__name__)
api = FastAPI()

# ruleid: referee.python.flask-secret-key-hardcoded
app.secret_key = "dev"
# ruleid: referee.python.flask-secret-key-hardcoded
app.config["SECRET_KEY"] = "change-me"
# ruleid: referee.python.flask-secret-key-hardcoded
app.config["SECRET_KEY"] = os.environ.get("SECRET_KEY", "fallback")
# ok: referee.python.flask-secret-key-hardcoded
app.config["SECRET_KEY"] = os.environ["SECRET_KEY"]

# ruleid: referee.python.flask-cors-any-origin
CORS(app)
# ruleid: referee.python.flask-cors-any-origin
CORS(app, origins="*")
# ruleid: referee.python.flask-cors-any-origin
CORS(app, resources={r"/api/*": {"origins": "*"}})
# ok: referee.python.flask-cors-any-origin
CORS(app, origins=["https://shop.example"])

# ruleid: referee.python.fastapi-cors-any-origin
api.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True)
# ok: referee.python.fastapi-cors-any-origin
api.add_middleware(CORSMiddleware, allow_origins=["https://shop.example"])


@app.route("/go")
def go():
    target = request.args.get("next", "/")
    # ruleid: referee.python.open-redirect
    return redirect(target)


@app.route("/home")
def home():
    # ok: referee.python.open-redirect
    return redirect(url_for("go"))


@api.get("/go")
def go_api(next_url: str):
    # ruleid: referee.python.open-redirect
    return RedirectResponse(next_url)


@app.route("/files/<name>")
def read_file(name):
    # ruleid: referee.python.path-traversal
    return send_file(os.path.join("uploads", name))


@app.route("/safe/<name>")
def read_safe(name):
    # ok: referee.python.path-traversal
    return send_file(os.path.join("uploads", secure_filename(name)))


@api.get("/download/{path}")
async def download(path: str):
    # ruleid: referee.python.path-traversal
    return FileResponse(f"uploads/{path}")


@app.route("/delete", methods=["POST"])
def delete():
    # ruleid: referee.python.path-traversal
    os.remove("uploads/" + request.form["name"])
    # ok: referee.python.path-traversal
    shutil.rmtree("cache")
    return ""


@app.route("/fetch")
def fetch():
    # ruleid: referee.python.ssrf
    answer = requests.get(request.args["url"], timeout=5)
    # ok: referee.python.ssrf
    requests.get("https://status.example", timeout=5)
    return answer.text


class PreviewCreate(BaseModel):
    url: str


@api.post("/preview")
async def preview(body: PreviewCreate):
    # ruleid: referee.python.ssrf
    return requests.get(body.url, timeout=5).text


@app.route("/hello")
def hello():
    name = request.args.get("name")
    # ruleid: referee.python.template-from-request
    return render_template_string("<h1>Hello " + name + "</h1>")


@app.route("/hello2")
def hello2():
    # ok: referee.python.template-from-request
    return render_template_string("<h1>Hello {{ name }}</h1>", name=request.args.get("name"))


@app.route("/greet")
def greet():
    name = request.args.get("name")
    # ruleid: referee.python.xss-from-request
    return f"<h1>Hello {name}</h1>"


@app.route("/greet2")
def greet2():
    name = escape(request.args.get("name"))
    # ok: referee.python.xss-from-request
    return f"<h1>Hello {name}</h1>"


@app.route("/mark")
def mark():
    # ruleid: referee.python.xss-from-request
    return render_template("x.html", text=Markup(request.form["text"]))


@api.get("/page")
async def page(title: str):
    # ruleid: referee.python.xss-from-request
    return HTMLResponse("<title>" + title + "</title>")


@app.route("/json")
def as_json():
    # ok: referee.python.xss-from-request
    return jsonify(name=request.args.get("name"))


@app.route("/login")
def login():
    response = make_response("ok")
    # ruleid: referee.python.cookie-without-flags
    response.set_cookie("session", "1")
    # ok: referee.python.cookie-without-flags
    response.set_cookie("session", "1", httponly=True, secure=True, samesite="Lax")
    return response


@app.route("/upload", methods=["POST"])
def upload():
    file = request.files["file"]
    # ruleid: referee.python.upload-keeps-name
    file.save(os.path.join("uploads", file.filename))
    path = os.path.join("uploads", file.filename)
    # ruleid: referee.python.upload-keeps-name
    file.save(path)
    # ok: referee.python.upload-keeps-name
    file.save(os.path.join("uploads", secure_filename(file.filename)))
    return ""


if __name__ == "__main__":
    # ruleid: referee.python.flask-debug-enabled
    app.run(host="0.0.0.0", debug=True)
    # ok: referee.python.flask-debug-enabled
    app.run(port=5000)
