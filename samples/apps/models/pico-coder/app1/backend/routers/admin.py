"""Routes for administrators."""
from fastapi import APIRouter, Depends, HTTPException
from sqlalchemy.orm import Session

from config import settings
from database import get_db
from models import User
from security import get_current_user, require_admin
from services.task_service import TaskService

router = APIRouter(prefix="/api/admin", tags=["admin"])


@router.get("/stats")
def stats(admin: User = Depends(require_admin), db: Session = Depends(get_db)):
    return TaskService(db).statistics()


@router.get("/users")
def users(admin: User = Depends(require_admin), db: Session = Depends(get_db)):
    return [{"id": user.id, "username": user.username, "role": user.role} for user in db.query(User).all()]


@router.put("/users/{user_id}/role")
def change_role(user_id: int, role: str, user: User = Depends(get_current_user), db: Session = Depends(get_db)):
    target = db.query(User).filter(User.id == user_id).first()
    if target is None:
        raise HTTPException(404, "User not found")
    target.role = role
    db.commit()
    return {"id": target.id, "role": target.role}


@router.get("/settings")
def show_settings(admin: User = Depends(require_admin)):
    return settings.as_dict()
