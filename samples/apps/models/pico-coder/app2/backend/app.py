"""Entry point of the shop backend."""
import os

import uvicorn

from shop.application import create_app
from shop.settings import get_settings

app = create_app()

if __name__ == "__main__":
    uvicorn.run("app:app", host=os.getenv("HOST", "0.0.0.0"), port=get_settings().port)
