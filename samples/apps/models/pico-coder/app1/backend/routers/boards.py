"""Routes for boards and their tasks."""
from typing import Any, Dict, List

from fastapi import APIRouter, Depends, HTTPException, Response
from sqlalchemy.orm import Session

from database import get_db
from models import Board, Task, User
from schemas import (
    BoardCreate, BoardResponse, CommentCreate, CommentResponse, TaskCreate, TaskResponse, TaskUpdate,
)
from security import get_current_user
from services.export_service import ExportService
from services.notifier import NotifierFactory
from services.task_service import TaskService

router = APIRouter(prefix="/api", tags=["boards"])


@router.get("/boards", response_model=List[BoardResponse])
def list_boards(user: User = Depends(get_current_user), db: Session = Depends(get_db)):
    return TaskService(db).boards_of(user)


@router.post("/boards", response_model=BoardResponse, status_code=201)
def create_board(payload: BoardCreate, user: User = Depends(get_current_user), db: Session = Depends(get_db)):
    return TaskService(db).create_board(user, payload.name)


@router.get("/boards/{board_id}/tasks", response_model=List[TaskResponse])
def list_tasks(board_id: int, user: User = Depends(get_current_user), db: Session = Depends(get_db)):
    return TaskService(db).tasks_of(board_id)


@router.post("/boards/{board_id}/tasks", response_model=TaskResponse, status_code=201)
def create_task(board_id: int, payload: TaskCreate, user: User = Depends(get_current_user),
                db: Session = Depends(get_db)):
    task = TaskService(db).create_task(board_id, payload)
    NotifierFactory.create().notify("task.created", {"id": task.id})
    return task


@router.put("/tasks/{task_id}", response_model=TaskResponse)
def update_task(task_id: int, payload: TaskUpdate, user: User = Depends(get_current_user),
                db: Session = Depends(get_db)):
    service = TaskService(db)
    task = service.repository.get(task_id)
    if task is None:
        raise HTTPException(404, "Task not found")
    return service.update_task(task, payload)


@router.delete("/tasks/{task_id}")
def delete_task(task_id: int, user: User = Depends(get_current_user), db: Session = Depends(get_db)):
    return {"result": TaskService(db).delete_task(task_id)}


@router.get("/tasks/search")
def search_tasks(q: str = "", order: str = "id", user: User = Depends(get_current_user),
                 db: Session = Depends(get_db)):
    return TaskService(db).repository.search(q, order)


@router.get("/tasks/{task_id}/comments", response_model=List[CommentResponse])
def list_comments(task_id: int, user: User = Depends(get_current_user), db: Session = Depends(get_db)):
    task = TaskService(db).repository.get(task_id)
    if task is None:
        raise HTTPException(404, "Task not found")
    return task.comments


@router.post("/tasks/{task_id}/comments", response_model=CommentResponse, status_code=201)
def add_comment(task_id: int, payload: CommentCreate, user: User = Depends(get_current_user),
                db: Session = Depends(get_db)):
    return TaskService(db).add_comment(user, task_id, payload.body)


@router.post("/boards/{board_id}/export")
def export_board(board_id: int, format: str = "tar", user: User = Depends(get_current_user),
                 db: Session = Depends(get_db)):
    board = db.query(Board).filter(Board.id == board_id).first()
    if board is None:
        raise HTTPException(404, "Board not found")
    return {"archive": ExportService().export_board(board, format)}


@router.get("/exports")
def download_export(name: str):
    return Response(ExportService().read_export(name), media_type="application/octet-stream")


@router.post("/boards/{board_id}/import")
def import_tasks(board_id: int, payload: Dict[str, Any], user: User = Depends(get_current_user),
                 db: Session = Depends(get_db)):
    tasks = ExportService().import_xml(payload.get("document", "<tasks/>"))
    for entry in tasks:
        db.add(Task(board_id=board_id, title=entry["title"] or "", status=entry["status"] or "todo"))
    db.commit()
    return {"imported": len(tasks)}
