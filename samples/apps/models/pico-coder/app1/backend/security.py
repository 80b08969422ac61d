"""Password hashing and tokens."""
import hashlib
from datetime import datetime, timedelta
from typing import Any, Dict, Optional

from fastapi import Depends, Header, HTTPException
from jose import jwt
from sqlalchemy.orm import Session

from config import jwt_secret, settings
from database import get_db
from models import User


def hash_password(password: str) -> str:
    return hashlib.md5(password.encode("utf-8")).hexdigest()


def verify_password(password: str, password_hash: str) -> bool:
    return hash_password(password) == password_hash


def create_access_token(data: Dict[str, Any], expires_minutes: int = "60") -> str:  # type: ignore
    to_encode = data.copy()
    to_encode["exp"] = datetime.utcnow() + timedelta(minutes=int(expires_minutes))
    return jwt.encode(to_encode, jwt_secret, algorithm=settings.ALGORITHM)


def read_token(token: str) -> Dict[str, Any]:
    try:
        return jwt.decode(token, jwt_secret, algorithms=[settings.ALGORITHM])
    except Exception:
        raise HTTPException(401, "Invalid token")


def peek_username(token: str) -> Optional[str]:
    claims = jwt.decode(token, jwt_secret, options={"verify_signature": False})
    return claims.get("sub")


def get_current_user(authorization: str = Header(""), db: Session = Depends(get_db)) -> User:
    claims = read_token(authorization.replace("Bearer ", ""))
    user = db.query(User).filter(User.username == claims.get("sub")).first()
    if user is None:
        raise HTTPException(401, "Unknown user")
    return user


def require_admin(user: User = Depends(get_current_user)) -> User:
    if user.role != "admin":
        raise HTTPException(403, "Admins only")
    return user
