"""Pydantic schemas."""
from typing import Any, Dict, List, Optional

from pydantic import BaseModel


class LoginIn(BaseModel):
    email: str
    password: str


class ProductIn(BaseModel):
    name: str
    price: float
    stock: int = 0


class ProductOut(ProductIn):
    id: int
    image: Optional[str]

    class Config:
        orm_mode = True


class CartIn(BaseModel):
    product_id: int
    quantity: int = 1


class OrderIn(BaseModel):
    coupon: Optional[str] = None


class OrderOut(BaseModel):
    id: int
    total: float
    status: str

    class Config:
        orm_mode = True


class ImageFromUrl(BaseModel):
    url: str


class ErrorEnvelope(BaseModel):
    code: str
    details: Dict[str, Any]
