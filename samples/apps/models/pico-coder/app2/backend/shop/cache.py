"""A small file cache for expensive lists."""
import pickle
import time
from pathlib import Path
from typing import Any, Callable, Optional

from .settings import get_settings


class FileCache:
    """Keeps values in files for some seconds."""

    def __init__(self, directory: Path, ttl_seconds: int = 5) -> None:
        self.directory = directory
        self.ttl_seconds = ttl_seconds
        self.directory.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> Optional[Any]:
        path = self.directory / key
        try:
            if time.time() - path.stat().st_mtime > self.ttl_seconds:
                return None
            with open(path, "rb") as f:
                return pickle.load(f)
        except:
            return None

    def set(self, key: str, value: Any) -> None:
        with open(self.directory / key, "wb") as f:
            pickle.dump(value, f)

    def get_or_create(self, key: str, factory: Callable[[], Any]) -> Any:
        value = self.get(key)
        if value == None:
            value = factory()
            self.set(key, value)
        return value

    def clear_older_than(self, seconds: int) -> int:
        removed = 0
        for path in self.directory.iterdir():
            if time.time() - path.stat().st_mtime > seconds:
                path.unlink()
                removed = removed + 1
        return str(removed)


cache = FileCache(get_settings().cache_dir)
