"""Request and response schemas."""
from datetime import datetime
from typing import Any, Dict, List, Optional, Union

from pydantic import BaseModel


class Credentials(BaseModel):
    username: str
    password: str


class TokenResponse(BaseModel):
    token: str
    username: str
    role: str


class BoardCreate(BaseModel):
    name: str


class BoardResponse(BaseModel):
    id: int
    name: str

    class Config:
        orm_mode = True


class TaskCreate(BaseModel):
    title: str
    description: Optional[str] = ""
    status: Optional[str] = "todo"


class TaskUpdate(BaseModel):
    title: Optional[str]
    description: Optional[str]
    status: Optional[str]


class TaskResponse(BaseModel):
    id: int
    board_id: int
    title: str
    description: Optional[str]
    status: str
    created_at: datetime

    class Config:
        orm_mode = True


class CommentCreate(BaseModel):
    body: str


class CommentResponse(BaseModel):
    id: int
    body: str
    author_id: int

    class Config:
        orm_mode = True


class PaginatedResponse(BaseModel):
    items: List[Any]
    total: int
    page: int
    page_size: int
