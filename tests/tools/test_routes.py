"""Routes found in source: each framework's ways to declare them, and sources that mean harm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.samples_apps.expectations import SAMPLES_DIR, SampleApp, load_sample_apps
from tests.tools.conftest import TakeSnapshot, WriteApp

from referee.core.templates import parse_template
from referee.tools.route_discovery.javascript_tokens import HOLE, tokenize
from referee.tools.routes import discover_routes, match_key

APPS = load_sample_apps()
LINES = "\n" * 1_000
"""Short lines, so that a long one does not make the file a minified one, which nobody reads."""


def names(snapshot_of: TakeSnapshot, app: Path) -> list[str]:
    """Return the routes of an app as text."""
    return [f"{route.method} {route.path}" for route in discover_routes(snapshot_of(app))]


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.app_id)
def test_sample_apps_declare_their_template_but_for_what_is_known_to_be_missing(
    app: SampleApp, snapshot_of: TakeSnapshot
) -> None:
    document = json.loads((SAMPLES_DIR / "templates" / f"{app.template}.json").read_text("utf-8"))
    endpoints = parse_template(document).endpoints

    declared = {
        (route.method, match_key(route.path))
        for route in discover_routes(snapshot_of(app.path))
        if route.target == "backend"
    }

    missing = {
        f"{one.method} {one.path}" for one in endpoints if (one.method, match_key(one.path)) not in declared
    }
    assert missing == set(app.unmet_endpoints)


def test_flask_blueprints_views_and_rules(write_app: WriteApp, snapshot_of: TakeSnapshot) -> None:
    app = write_app(
        {
            "backend/app.py": """
from flask import Flask
from flask.views import MethodView
from routes import users, tasks as task_routes
from routes.notes import bp as notes_bp

API = "/api"

def create_app():
    app = Flask(__name__)
    app.register_blueprint(users.bp, url_prefix=f"{API}/users")
    app.register_blueprint(task_routes.tasks)
    for blueprint in (notes_bp,):
        app.register_blueprint(blueprint, url_prefix=API + "/notes")
    app.add_url_rule("/items/<string:name>", view_func=Items.as_view("items"))
    app.add_url_rule("/ping", "ping", ping)
    return app

class Items(MethodView):
    def get(self, name): ...
    def delete(self, name): ...

def ping(): ...

# @app.route("/commented")
text = '@app.route("/quoted")'
""",
            "backend/routes/__init__.py": "",
            "backend/routes/users.py": """
from flask import Blueprint
bp = Blueprint("users", __name__, url_prefix="/replaced")
@bp.route("/", methods=["GET", "POST"])
def users(): ...
@bp.get("/<int:user_id>")
def user(user_id): ...
""",
            "backend/routes/tasks.py": """
from flask import Blueprint
tasks = Blueprint("tasks", __name__, url_prefix="/tasks")
inner = Blueprint("inner", __name__, url_prefix="/inner")
tasks.register_blueprint(inner)
unused = Blueprint("unused", __name__, url_prefix="/unused")
@tasks.patch("/<id>")
def change(id): ...
@inner.route("/deep")
def deep(): ...
@unused.route("/never")
def never(): ...
""",
            "backend/routes/notes.py": """
from flask import Blueprint
bp = Blueprint("notes", __name__)
@bp.post("/")
def create(): ...
""",
        }
    )

    assert names(snapshot_of, app) == [
        "POST /api/notes/",
        "GET /api/users/",
        "POST /api/users/",
        "GET /api/users/:user_id",
        "DELETE /items/:name",
        "GET /items/:name",
        "GET /ping",
        "PATCH /tasks/:id",
        "GET /tasks/inner/deep",
    ]


def test_flask_app_made_by_a_factory_and_one_handed_to_a_function(
    write_app: WriteApp, snapshot_of: TakeSnapshot
) -> None:
    app = write_app(
        {
            "factory.py": "from flask import Flask\ndef create_app():\n    return Flask(__name__)\n",
            "main.py": (
                "from factory import create_app\nimport flask\napp = create_app()\n"
                "@app.get('/made')\ndef f(): ...\n"
            ),
            "more.py": "import flask\ndef add(app):\n    @app.route('/handed')\n    def f(): ...\n",
            "restful.py": (
                "from flask import Flask\nfrom flask_restful import Api, Resource\nserver = Flask(__name__)\n"
                "api = Api(server, prefix='/v1')\nclass A(Resource):\n    def put(self): ...\n"
                "api.add_resource(A, '/a', '/b')\n"
            ),
        }
    )

    assert names(snapshot_of, app) == ["GET /handed", "GET /made", "PUT /v1/a", "PUT /v1/b"]


def test_fastapi_routers_with_prefixes_from_settings(write_app: WriteApp, snapshot_of: TakeSnapshot) -> None:
    app = write_app(
        {
            "app/main.py": """
from fastapi import FastAPI
from .api import api_router
from .config import settings
app = FastAPI()
app.include_router(api_router, prefix=settings.API_PREFIX)
@app.api_route("/both", methods=["GET", "HEAD"])
def both(): ...
@app.websocket("/ws")
async def socket(ws): ...
""",
            "app/config.py": "class Settings:\n    API_PREFIX: str = '/api/v1'\nsettings = Settings()\n",
            "app/api/__init__.py": """
from fastapi import APIRouter
from app.api import items
api_router = APIRouter()
api_router.include_router(items.router, prefix="/items")
""",
            "app/api/items.py": """
from fastapi import APIRouter
router = APIRouter(prefix="/shelf")
@router.get("")
async def every(): ...
@router.delete("/{item_id:path}")
async def one(item_id): ...
""",
        }
    )

    assert names(snapshot_of, app) == [
        "GET /api/v1/items/shelf",
        "DELETE /api/v1/items/shelf/:item_id",
        "GET /both",
        "HEAD /both",
    ]


def test_django_patterns_includes_views_and_viewsets(write_app: WriteApp, snapshot_of: TakeSnapshot) -> None:
    app = write_app(
        {
            "site/urls.py": """
from django.urls import include, path, re_path
from shop import views
urlpatterns = [
    path("admin/", views.AdminView.as_view()),
    path("api/", include("shop.urls")),
    re_path(r"^old/(?P<year>[0-9]{4})/$", views.old),
]
""",
            "shop/__init__.py": "",
            "shop/urls.py": """
from django.urls import path, include
from rest_framework.routers import DefaultRouter
from .views import ItemSet, both, OrderList
router = DefaultRouter()
router.register(r"items", ItemSet)
urlpatterns = [path("", include(router.urls)), path("both/<int:pk>/", both), path("orders/", OrderList.as_view())]
""",
            "shop/views.py": """
from rest_framework import generics, viewsets
from rest_framework.decorators import api_view
from django.views import View
class AdminView(View):
    def get(self, request): ...
def old(request, year):
    if request.method == "POST": ...
@api_view(["GET", "PUT"])
def both(request, pk): ...
class ItemSet(viewsets.ReadOnlyModelViewSet): ...
class OrderList(generics.ListCreateAPIView): ...
""",
        }
    )

    assert names(snapshot_of, app) == [
        "GET /admin/",
        "GET /api/both/:pk/",
        "PUT /api/both/:pk/",
        "GET /api/items/",
        "GET /api/items/:pk/",
        "GET /api/orders/",
        "POST /api/orders/",
        "POST /old/:year/",
    ]


def test_express_routers_in_javascript_and_typescript(write_app: WriteApp, snapshot_of: TakeSnapshot) -> None:
    app = write_app(
        {
            "server/index.ts": """
import express, { Request } from 'express'
import users from './routes/users.js'
import { things as stuff } from './routes/things'
const app: express.Application = express()
const API = '/api'
app.use(`${API}/users`, auth, users)
app.use(API + '/things', stuff)
app.get('setting')
app.get(['/a', '/b'], (req, res) => res.send("it's /not/a/route"))
// app.get('/commented', handler)
/* app.post('/also-commented', handler) */
const text = "app.get('/quoted', handler)"
const pattern = /app.get\\('\\/regex', handler\\)/
app.route('/chain/:id(\\\\d+)').get(one).put(two)
axios.get('/client', {})
""",
            "server/routes/users.ts": """
import { Router } from 'express'
const router = Router()
router.get('/', list)
router.delete('/:userId', remove)
export default router
""",
            "server/routes/things.js": """
const express = require('express')
const things = express.Router()
things.all('/any', handler)
module.exports = { things }
""",
        }
    )

    assert names(snapshot_of, app) == [
        "GET /a",
        "DELETE /api/things/any",
        "GET /api/things/any",
        "PATCH /api/things/any",
        "POST /api/things/any",
        "PUT /api/things/any",
        "GET /api/users",
        "DELETE /api/users/:userId",
        "GET /b",
        "GET /chain/:id",
        "PUT /chain/:id",
    ]


def test_a_route_knows_its_place(write_app: WriteApp, snapshot_of: TakeSnapshot) -> None:
    app = write_app(
        {
            "frontend/server.js": "const app = require('express')()\nconst x = require('express')\nconst b = x()\n",
            "client/serve.js": "const express = require('express')\nconst app = express()\n\napp.get('/page', show)\n",
        }
    )

    (route,) = discover_routes(snapshot_of(app))

    assert (route.file, route.line, route.framework, route.target) == (
        "client/serve.js",
        4,
        "express",
        "frontend",
    )


@pytest.mark.parametrize(
    "files",
    [
        {"a.py": "from b import app\n", "b.py": "from a import app\n@app.route('/x')\ndef f(): ...\n"},
        {
            "a.py": "from flask import Blueprint\na = Blueprint('a', __name__)\na.register_blueprint(a)\n"
            "@a.route('/x')\ndef f(): ...\n"
        },
        {"a.py": "from flask import Flask\napp = Flask(__name__)\nx = x + x\n@app.route(x)\ndef f(): ...\n"},
        {"a.py": "def broken(:\n"},
        {"a.py": "x = " + "(" * 5_000 + ")" * 5_000 + "\n"},
        {"a.py": "x = " + "a." * 20_000 + "b\n"},
        {"urls.py": "urlpatterns = [" + "path('', include('urls'))," * 200 + "]\n"},
        {
            "a.js": "const express = require('express')\nconst r = express.Router()\nr.use('/x', r)\nr.get('/y', h)\n"
        },
        {"a.js": "const express = require('express')\n" + "`${" * 20_000 + LINES},
        {"a.js": "const express = require('express')\n" + '"\\' * 20_000 + LINES},
        {"a.js": "const app = require('express')()\n" + "app.use(\n" * 20_000},
        {"a.js": "const express = require('express')\n" + "=/[" * 20_000 + LINES},
    ],
    ids=lambda files: f"{next(iter(files))}-{len(next(iter(files.values())))}",
)
def test_hostile_sources_end_without_routes(
    files: dict[str, str], write_app: WriteApp, snapshot_of: TakeSnapshot
) -> None:
    assert names(snapshot_of, write_app(files)) == []


def test_texts_made_of_texts_made_of_texts_stay_short(write_app: WriteApp, snapshot_of: TakeSnapshot) -> None:
    lines = ["from flask import Flask", "app = Flask(__name__)", "a0 = '/x'"]
    lines += [f"a{number} = f'" + f"{{a{number - 1}}}" * 10 + "'" for number in range(1, 6)]
    lines += ["@app.route(a5)", "def f(): ..."]

    (route,) = discover_routes(snapshot_of(write_app({"a.py": "\n".join(lines) + "\n"})))

    assert len(route.path) <= 500


def test_tokens_tell_strings_comments_templates_and_regular_expressions_apart() -> None:
    tokens = tokenize("a = b / c // d\n`x${ `y${z}` + '}' }w` /* e */ return /[/'\"]+/g <p>Don't</p> 'f\\'g'")

    assert [(token.kind, token.value) for token in tokens if token.kind != "mark"] == [
        ("name", "a"),
        ("name", "b"),
        ("name", "c"),
        ("template", f"x{HOLE}w"),
        ("name", "return"),
        ("regex", "/[/'\"]+/g"),
        ("name", "p"),
        ("name", "Don"),
        ("string", "t</p> "),
        ("name", "f"),
        ("string", "g"),
    ]
    assert [token.line for token in tokens if token.kind == "template"] == [2]
