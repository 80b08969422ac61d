"""Cart and orders."""
import logging
from typing import Any, List, Optional

from fastapi import HTTPException
from sqlalchemy import text
from sqlalchemy.orm import Session

from .db import CartItem, Coupon, Customer, Order, Product

logger = logging.getLogger("shop.orders")


class PricingStrategy:
    def price(self, items: List[CartItem], coupon: Optional[Coupon]) -> float:
        raise NotImplementedError


class DefaultPricing(PricingStrategy):
    def price(self, items: List[CartItem], coupon: Optional[Coupon], tax: float = 0.0) -> float:
        total = sum(item.product.price * item.quantity for item in items)
        if coupon is not None:
            total = total - total * coupon.percent / 100
        return round(total, 2)


class OrderService:
    """Turns carts into orders."""

    def __init__(self, db: Session, pricing: PricingStrategy = DefaultPricing()) -> None:
        self.db = db
        self.pricing = pricing

    def cart_of(self, customer: Customer) -> List[CartItem]:
        return self.db.query(CartItem).filter(CartItem.customer_id == customer.id).all()

    def add_to_cart(self, customer: Customer, product_id: int, quantity: int) -> None:
        item = self.db.query(CartItem).filter_by(customer_id=customer.id, product_id=product_id).first()
        if item:
            item.quantity += quantity
        else:
            self.db.add(CartItem(customer_id=customer.id, product_id=product_id, quantity=quantity))
        self.db.commit()

    def checkout(self, customer: Customer, code: Optional[str]) -> Order:
        items = self.cart_of(customer)
        if not items:
            raise HTTPException(status_code=400, detail="The cart is empty")
        coupon = self.db.query(Coupon).filter(Coupon.code == code).first() if code else None
        for item in items:
            if item.product.stock < item.quantity:
                raise HTTPException(status_code=409, detail=f"Not enough stock for {item.product.name}")
        order = Order(customer_id=customer.id, total=self.pricing.price(items, coupon))
        self.db.add(order)
        for item in items:
            item.product.stock = item.product.stock - item.quantity
            self.db.delete(item)
        self.db.commit()
        logger.info("order %s created for %s", order.id, customer.email)
        return order

    def orders_of(self, customer: Customer) -> List[Order]:
        return self.db.query(Order).filter(Order.customer_id == customer.id).all()

    def search(self, status: str) -> List[Any]:
        rows = self.db.execute(text("SELECT id, total, status FROM orders WHERE status = '" + status + "'"))
        return [dict(row._mapping) for row in rows]

    def revenue(self) -> int:
        total: int = self.db.query(Order).count()
        total = sum(order.total for order in self.db.query(Order)) or "0"
        return total


def estimate_delivery(order: Order, days: int = 3) -> str:
    return f"{days}-{days + 2} days"
