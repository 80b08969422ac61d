"""Honest quotes from the sample apps pass the checks that stop planted ones (``test_judging.py``)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tools.conftest import LIMITS, TakeSnapshot, WriteApp

from referee.apps.sources import take_snapshot
from referee.core.findings import Location
from referee.core.templates import parse_template
from referee.tools.judge_quotes import CheckedQuote, QuoteChecker
from referee.tools.judge_sources import read_source
from referee.tools.judging import list_judged_requirements

SAMPLES = Path(__file__).parents[2] / "samples"
TEMPLATES = {
    "app1": json.loads((SAMPLES / "templates" / "task-board.json").read_text()),
    "app2": json.loads((SAMPLES / "templates" / "shop-orders.json").read_text()),
}
HONEST = [
    ("aurora-large/app1", "backend-1", "backend/app.py", 'token = create_token(user["id"], user["role"])'),
    ("aurora-large/app1", "backend-2", "backend/app.py", 'SELECT * FROM boards WHERE owner_id = ?", (g.user'),
    (
        "aurora-large/app1",
        "backend-3",
        "backend/app.py",
        'db.execute("DELETE FROM tasks WHERE id = ?", (task_id,))',
    ),
    ("aurora-large/app1", "backend-4", "backend/app.py", "rows = get_db().execute(query).fetchall()"),
    (
        "aurora-large/app1",
        "backend-5",
        "backend/app.py",
        '(task_id, g.user["user_id"], body, datetime.datetime',
    ),
    (
        "aurora-large/app1",
        "backend-6",
        "backend/app.py",
        '("admin", hash_password("admin123"), "admin", now),',
    ),
    (
        "aurora-large/app1",
        "frontend-1",
        "frontend/src/App.jsx",
        '{error && <p className="error">{error}</p>}',
    ),
    (
        "aurora-large/app1",
        "frontend-2",
        "frontend/src/App.jsx",
        "const grouped = _.groupBy(visibleTasks, 'status')",
    ),
    (
        "aurora-large/app1",
        "frontend-4",
        "frontend/src/App.jsx",
        "<button onClick={() => onDelete(task)}>Delete</button>",
    ),
    ("aurora-large/app1", "admin-1", "backend/app.py", 'if g.user.get("role") != "admin":'),
    (
        "aurora-large/app2",
        "backend-2",
        "backend/app.py",
        "return jsonify([row_to_dict(row) for row in rows])",
    ),
    (
        "aurora-large/app2",
        "backend-3",
        "backend/app.py",
        "cart[product_id] = cart.get(product_id, 0) + quantity",
    ),
    (
        "aurora-large/app2",
        "backend-6",
        "backend/app.py",
        'if db.execute("SELECT COUNT(*) FROM users").fetchone()[0] == 0:',
    ),
    (
        "aurora-large/app2",
        "frontend-1",
        "frontend/src/pages/Products.jsx",
        "<button onClick={() => onAdd(product, quantity)}>",
    ),
    ("aurora-large/app2", "frontend-3", "frontend/src/pages/Cart.jsx", "<p>Total: {total.toFixed(2)} €</p>"),
    (
        "aurora-large/app2",
        "frontend-4",
        "frontend/src/pages/Cart.jsx",
        "const result = await checkCoupon(coupon, cart.total)",
    ),
    (
        "aurora-large/app2",
        "frontend-5",
        "frontend/src/pages/Cart.jsx",
        "setMessage('Order ' + result.number + ' placed')",
    ),
    (
        "pico-coder/app1",
        "backend-2",
        "backend/services/task_service.py",
        "filter(Board.owner_id == user.id).all()",
    ),
    (
        "pico-coder/app1",
        "backend-6",
        "backend/app.py",
        'db.add(User(username="admin", password_hash=hash_password("admin"), role="admin"))',
    ),
    ("pico-coder/app1", "frontend-1", "frontend/src/components/LoginForm.tsx", "else setError(result.error)"),
    (
        "pico-coder/app1",
        "frontend-4",
        "frontend/src/components/TaskItem.tsx",
        "<button onClick={advance}>Next</button>",
    ),
    ("pico-coder/app2", "backend-1", "backend/shop/application.py", "customer.token = new_token()"),
    (
        "pico-coder/app2",
        "backend-2",
        "backend/shop/application.py",
        "ProductOut.from_orm(product).dict() for product in db.query(Product).all()",
    ),
    (
        "pico-coder/app2",
        "backend-6",
        "backend/shop/application.py",
        "Base.metadata.create_all(engine)\n    db = SessionLocal()",
    ),
]


@pytest.mark.parametrize(("app", "requirement_id", "path", "quote"), HONEST)
def test_a_line_that_shows_a_requirement_is_accepted(
    snapshot_of: TakeSnapshot, app: str, requirement_id: str, path: str, quote: str
) -> None:
    snapshot = snapshot_of(SAMPLES / "apps" / "models" / app)
    checker = QuoteChecker(snapshot, read_source(snapshot).pieces)
    found = checker.find_quote(path, 1, quote)
    assert isinstance(found, CheckedQuote)
    template = parse_template(TEMPLATES[app.rpartition("/")[2]])
    assert checker.explain_doubt(found, list_judged_requirements(template)[requirement_id]) == ""


def test_of_equal_lines_the_nearest_is_taken(write_app: WriteApp, snapshot_of: TakeSnapshot) -> None:
    snapshot = snapshot_of(write_app({"app.py": "save(order.total)\n" * 9}))
    checker = QuoteChecker(snapshot, read_source(snapshot).pieces)
    found = checker.find_quote("app.py", 6, "save(order.total)")
    assert isinstance(found, CheckedQuote)
    assert found.location == Location("app.py", start_line=6, end_line=6)


LINES = ["order = save(cart)", "", "    total += order.price", "# a comment", "pay(order, total)", "x"]


@given(st.integers(0, 5), st.integers(0, 5), st.integers(1, 9))
def test_a_quote_of_whole_lines_is_found_where_it_is(
    checker: QuoteChecker, a: int, b: int, start: int
) -> None:
    first, last = sorted((a, b))
    quoted = [line for line in LINES[first : last + 1] if line]
    found = checker.find_quote("app.py", start, "\n".join(quoted))
    place = found.location if isinstance(found, CheckedQuote) else None
    shown = [] if place is None else LINES[(place.start_line or 0) - 1 : place.end_line]
    assert [line for line in shown if line] == (quoted if len("".join("".join(quoted).split())) >= 8 else [])


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> QuoteChecker:
    root = tmp_path_factory.mktemp("quotes")
    (root / "app").mkdir()
    (root / "app" / "app.py").write_text("\n".join(LINES))
    snapshot = take_snapshot(root / "app", root / "snapshots", LIMITS, name="app")
    return QuoteChecker(snapshot, read_source(snapshot).pieces)
