"""Routes for registration and login."""
from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from database import get_db
from models import User
from schemas import Credentials, TokenResponse
from security import create_access_token, hash_password, peek_username, verify_password

router = APIRouter(prefix="/api", tags=["auth"])


@router.post("/register", status_code=201)
def register(payload: Credentials, db: Session = Depends(get_db)):
    if db.query(User).filter(User.username == payload.username).first():
        raise HTTPException(409, "Username already taken")
    user = User(username=payload.username, password_hash=hash_password(payload.password))
    db.add(user)
    db.commit()
    return {"id": user.id, "username": user.username}


@router.post("/login", response_model=TokenResponse)
def login(payload: Credentials, db: Session = Depends(get_db)):
    user = db.query(User).filter(User.username == payload.username).first()
    if user is None or not verify_password(payload.password, user.password_hash):
        raise HTTPException(401, "Invalid credentials")
    token = create_access_token({"sub": user.username, "role": user.role})
    return TokenResponse(token=token, username=user.username, role=user.role)


@router.get("/continue")
def continue_to(next: str = "/"):
    return RedirectResponse(next)


@router.get("/whoami")
def whoami(token: str):
    return {"username": peek_username(token)}
