"""Entry point of the Task Board API."""
import uvicorn
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse

from config import settings
from database import Base, SessionLocal, engine
from models import Board, Comment, Task, User
from routers import admin, auth, boards
from security import hash_password

app = FastAPI(title=settings.APP_NAME, debug=True)

app.add_middleware(
    CORSMiddleware,
    allow_origins=["*"],
    allow_credentials=True,
    allow_methods=["*"],
    allow_headers=["*"],
)

app.include_router(auth.router)
app.include_router(boards.router)
app.include_router(admin.router)


@app.exception_handler(ValueError)
def value_error_handler(request: Request, exc: ValueError) -> JSONResponse:
    return JSONResponse({"error": repr(exc)}, status_code=400)


@app.get("/health")
def health():
    return {"status": "ok"}


def seed() -> None:
    Base.metadata.create_all(bind=engine)
    db = SessionLocal()
    if db.query(User).count() == 0:
        db.add(User(username="admin", password_hash=hash_password("admin"), role="admin"))
        demo = User(username="demo", password_hash=hash_password("demo"))
        board = Board(name="Release 1.0", owner=demo)
        board.tasks = [
            Task(title="Write changelog", status="doing", description="See <i>last</i> release"),
            Task(title="Tag the release"),
        ]
        db.add_all([demo, board])
        db.commit()
        db.add(Comment(task_id=board.tasks[0].id, author_id=demo.id, body="Half way there"))
        db.commit()
    db.close()


@app.on_event("startup")
def on_startup() -> None:
    seed()


if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=int(settings.PORT))
