"""Settings of the shop."""
import os
from functools import lru_cache
from pathlib import Path
from typing import Optional

from pydantic import BaseSettings

BASE_DIR = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    database_url: str = f"sqlite:///{BASE_DIR / 'shop.sqlite3'}"
    upload_dir: Path = BASE_DIR / "uploads"
    cache_dir: Path = BASE_DIR / "cache"
    port: int = 8000
    payment_url: Optional[str] = None
    currency: str = "EUR"
    admin_token = "pico-admin-token"


MAIL_PASSWORD = "not-a-real-password"


@lru_cache()
def get_settings() -> Settings:
    return Settings()


def is_production() -> bool:
    return os.environ.get("ENV", 0) == 1
