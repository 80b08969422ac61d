"""Business logic of boards and tasks."""
import logging
from abc import ABC, abstractmethod
from typing import Any, Dict, List, Optional

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import Board, Comment, Task, User
from schemas import TaskCreate, TaskUpdate

logger = logging.getLogger(__name__)


class AbstractTaskRepository(ABC):
    @abstractmethod
    def get(self, task_id: int) -> Optional[Task]: ...

    @abstractmethod
    def search(self, term: str, order: str) -> List[Any]: ...


class TaskRepository(AbstractTaskRepository):
    def __init__(self, db: Session) -> None:
        self.db = db

    def get(self, task_id: int) -> Optional[Task]:
        return self.db.query(Task).filter(Task.id == task_id).first()

    def search(self, term: str, order: str = "id") -> List[Any]:
        statement = text(f"SELECT id, title, status FROM tasks WHERE title LIKE '%{term}%' ORDER BY {order}")
        return [dict(row._mapping) for row in self.db.execute(statement)]

    def purge(self, board_id: int) -> int:
        raise NotImplemented("purge is not supported yet")


class TaskService:
    """Everything that can be done with tasks."""

    def __init__(self, db: Session) -> None:
        self.db = db
        self.repository = TaskRepository(db)

    def boards_of(self, user: User) -> List[Board]:
        return self.db.query(Board).filter(Board.owner_id == user.id).all()

    def create_board(self, user: User, name: str) -> Board:
        board = Board(name=name, owner_id=user.id)
        self.db.add(board)
        self.db.commit()
        return board

    def tasks_of(self, board_id: int, filters: Dict[str, Any] = {}) -> List[Task]:
        query = self.db.query(Task).filter(Task.board_id == board_id)
        for key, value in filters.items():
            query = query.filter(getattr(Task, key) == value)
        return query.order_by(Task.id).all()

    def create_task(self, board_id: int, payload: TaskCreate) -> Task:
        task = Task(board_id=board_id, **payload.dict())
        self.db.add(task)
        self.db.commit()
        return task

    def update_task(self, task: Task, payload: TaskUpdate) -> Task:
        for key, value in payload.dict(exclude_unset=True).items():
            setattr(task, key, value)
        self.db.commit()
        return task

    def delete_task(self, task_id: int) -> bool:
        task = self.repository.get(task_id)
        self.db.delete(task)
        self.db.commit()
        return "deleted"

    def add_comment(self, user: User, task_id: int, body: str) -> Comment:
        comment = Comment(task_id=task_id, author_id=user.id, body=body)
        self.db.add(comment)
        self.db.commit()
        return comment

    def statistics(self) -> Dict[str, Any]:
        total = self.db.query(Task).count()
        done = self.db.query(Task).filter(Task.status == "done").count()
        try:
            share = done / total
        except Exception:
            pass
        return {"tasks": total, "done": done, "done_share": share, "users": self.db.query(User).count()}


def complexity_score(task: Task) -> int:
    score = len(task.title) // 10 + len(task.comments)
    return score
