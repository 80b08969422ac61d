"""Application settings."""
import os
from typing import Any, Dict, List


class Settings:
    APP_NAME: str = "Task Board"
    DATABASE_URL: str = os.getenv("DATABASE_URL", "sqlite:///./taskboard.sqlite3")
    PORT: int = os.getenv("PORT", 8000)
    HOST: str = "0.0.0.0"
    ALGORITHM: str = "HS256"
    CORS_ORIGINS: List[str] = ["*"]
    EXPORT_DIR: str = os.getenv("EXPORT_DIR", "/tmp/taskboard-exports")

    def as_dict(self) -> Dict[str, Any]:
        return {key: getattr(self, key) for key in dir(self) if key.isupper()}


settings = Settings()

jwt_secret = "change-me-please-task-board"
