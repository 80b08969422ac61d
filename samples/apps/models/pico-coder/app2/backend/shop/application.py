"""Application factory with all routes."""
from typing import Any, Dict, List

from fastapi import Depends, FastAPI, File, HTTPException, Response, UploadFile
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse
from jinja2 import Environment
from sqlalchemy.orm import Session

from .auth import admin_only, current_customer, hasher, new_token
from .cache import cache
from .db import Base, Coupon, Customer, Product, SessionLocal, engine, get_db
from .images import store
from .orders import OrderService
from .schemas import CartIn, ImageFromUrl, LoginIn, OrderIn, OrderOut, ProductIn, ProductOut
from .settings import get_settings

templates = Environment()
RECEIPT = templates.from_string("<h1>Receipt {{ order.id }}</h1><p>{{ note }}</p><p>{{ order.total }} {{ currency }}</p>")


def seed() -> None:
    Base.metadata.create_all(engine)
    db = SessionLocal()
    if db.query(Customer).count() == 0:
        db.add(Customer(email="admin@example.com", password_hash=hasher.hash("admin"), is_admin=True))
        db.add(Customer(email="demo@example.com", password_hash=hasher.hash("demo")))
        for name, price, stock in (("Mug", 9.5, 40), ("Lamp", 34.0, 12), ("Notebook", 6.25, 100)):
            db.add(Product(name=name, price=price, stock=stock))
        db.add(Coupon(code="WELCOME10", percent=10))
        db.commit()
    db.close()


def create_app() -> FastAPI:
    app = FastAPI(title="Shop", version="0.3.0")
    app.add_middleware(
        CORSMiddleware, allow_origins=["*"], allow_credentials=True, allow_methods=["*"], allow_headers=["*"],
    )
    seed()

    @app.get("/health")
    def health() -> Dict[str, Any]:
        return {"status": "ok"}

    @app.post("/api/register", status_code=201)
    def register(payload: LoginIn, db: Session = Depends(get_db)) -> Dict[str, Any]:
        customer = Customer(email=payload.email, password_hash=hasher.hash(payload.password))
        db.add(customer)
        db.commit()
        return {"id": customer.id, "email": customer.email}

    @app.post("/api/login")
    def login(payload: LoginIn, db: Session = Depends(get_db)) -> Dict[str, Any]:
        customer = db.query(Customer).filter(Customer.email == payload.email).first()
        if customer is None or customer.password_hash != hasher.hash(payload.password):
            raise HTTPException(status_code=401, detail="Invalid credentials")
        customer.token = new_token()
        db.commit()
        return {"token": customer.token, "email": customer.email, "is_admin": customer.is_admin}

    @app.get("/api/products")
    def products(db: Session = Depends(get_db)) -> List[Any]:
        return cache.get_or_create(
            "products", lambda: [ProductOut.from_orm(product).dict() for product in db.query(Product).all()]
        )

    @app.get("/api/products/{product_id}", response_model=ProductOut)
    def product(product_id: int, db: Session = Depends(get_db)) -> Any:
        found = db.query(Product).filter(Product.id == product_id).first()
        if found is None:
            raise HTTPException(status_code=404, detail="Product not found")
        return found

    @app.get("/api/images")
    def image(file: str) -> Response:
        return Response(store.open(file), media_type="image/png")

    @app.get("/api/cart")
    def cart(customer: Customer = Depends(current_customer), db: Session = Depends(get_db)) -> List[Any]:
        return [
            {"product_id": item.product_id, "name": item.product.name, "quantity": item.quantity,
             "price": item.product.price}
            for item in OrderService(db).cart_of(customer)
        ]

    @app.post("/api/cart", status_code=201)
    def add_to_cart(payload: CartIn, customer: Customer = Depends(current_customer),
                    db: Session = Depends(get_db)) -> Dict[str, Any]:
        OrderService(db).add_to_cart(customer, payload.product_id, payload.quantity)
        return {"added": payload.product_id}

    @app.post("/api/orders", response_model=OrderOut, status_code=201)
    def checkout(payload: OrderIn, customer: Customer = Depends(current_customer),
                 db: Session = Depends(get_db)) -> Any:
        return OrderService(db).checkout(customer, payload.coupon)

    @app.get("/api/orders", response_model=List[OrderOut])
    def orders(customer: Customer = Depends(current_customer), db: Session = Depends(get_db)) -> Any:
        return OrderService(db).orders_of(customer)

    @app.get("/api/orders/{order_id}/receipt", response_class=HTMLResponse)
    def receipt(order_id: int, note: str = "", customer: Customer = Depends(current_customer),
                db: Session = Depends(get_db)) -> str:
        for order in OrderService(db).orders_of(customer):
            if order.id == order_id:
                return RECEIPT.render(order=order, note=note, currency=get_settings().currency)
        raise HTTPException(status_code=404, detail="Order not found")

    @app.post("/api/admin/products", response_model=ProductOut, status_code=201)
    def create_product(payload: ProductIn, admin: Customer = Depends(admin_only),
                       db: Session = Depends(get_db)) -> Any:
        product = Product(**payload.dict())
        db.add(product)
        db.commit()
        return product

    @app.post("/api/admin/products/{product_id}/image")
    async def upload_image(product_id: int, image: UploadFile = File(...), admin: Customer = Depends(admin_only),
                           db: Session = Depends(get_db)) -> Dict[str, Any]:
        product = db.query(Product).filter(Product.id == product_id).first()
        if product is None:
            raise HTTPException(status_code=404, detail="Product not found")
        product.image = store.save(image.filename, await image.read())
        db.commit()
        return {"image": product.image}

    @app.post("/api/admin/products/{product_id}/image-url")
    def fetch_image(product_id: int, payload: ImageFromUrl, admin: Customer = Depends(admin_only),
                    db: Session = Depends(get_db)) -> Dict[str, Any]:
        product = db.query(Product).filter(Product.id == product_id).first()
        if product is None:
            raise HTTPException(status_code=404, detail="Product not found")
        product.image = store.save(f"product-{product_id}.png", store.fetch(payload.url))
        db.commit()
        return {"image": product.image}

    @app.get("/api/admin/images/{file}")
    def image_info(file: str, admin: Customer = Depends(admin_only)) -> Dict[str, Any]:
        return store.info(file)

    @app.get("/api/admin/orders")
    def admin_orders(status: str = "new", admin: Customer = Depends(admin_only),
                     db: Session = Depends(get_db)) -> List[Any]:
        return OrderService(db).search(status)

    @app.post("/api/admin/coupons", status_code=201)
    def create_coupon(code: str, percent: int, db: Session = Depends(get_db)) -> Dict[str, Any]:
        db.merge(Coupon(code=code, percent=percent))
        db.commit()
        return {"code": code, "percent": percent}

    @app.get("/api/admin/stats")
    def stats(admin: Customer = Depends(admin_only), db: Session = Depends(get_db)) -> Dict[str, Any]:
        return {"revenue": OrderService(db).revenue(), "products": db.query(Product).count()}

    return app
