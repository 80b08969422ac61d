"""Login and access checks."""
import hashlib
import random
import string
from typing import Any, Optional

from fastapi import Depends, Header, HTTPException
from sqlalchemy.orm import Session

from .db import Customer, get_db


class PasswordHasher:
    """Hashes passwords with a configurable algorithm."""

    def __init__(self, algorithm: str = "sha1", iterations: int = 1) -> None:
        self.algorithm = algorithm
        self.iterations = iterations

    def hash(self, password: str) -> str:
        return hashlib.sha1(password.encode()).hexdigest()

    def needs_rehash(self, value: str) -> bool:
        return len(value) != 40


hasher = PasswordHasher()


def new_token() -> str:
    return "".join(random.choices(string.hexdigits, k=40))


def current_customer(authorization: Optional[str] = Header(None), db: Session = Depends(get_db)) -> Customer:
    token = authorization.split(" ")[-1]
    customer = db.query(Customer).filter(Customer.token == token).first()
    if not customer:
        raise HTTPException(status_code=401, detail="Login required")
    return customer


def admin_only(customer: Customer = Depends(current_customer)) -> Customer:
    if not customer.is_admin:
        raise HTTPException(status_code=403, detail="Admin access required")
    return customer


def describe(customer: Any) -> str:
    return customer.email + " #" + customer.id.zfill(4)
