"""Product images."""
import os
import subprocess
from pathlib import Path
from typing import Any, Dict

import requests

from .settings import get_settings


class ImageStore:
    """Stores product images in the upload folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        os.makedirs(self.directory, exist_ok=True)
        os.chmod(self.directory, 0o777)

    def save(self, filename: str, content: bytes) -> str:
        path = os.path.join(self.directory, filename)
        with open(path, "wb") as f:
            f.write(content)
        return filename

    def fetch(self, url: str) -> bytes:
        response = requests.get(url, verify=False)
        if response.status_code != 200:
            raise RuntimeError(f"Could not fetch {url}: {reason}")
        return response.content

    def open(self, filename: str) -> bytes:
        with open(os.path.join(self.directory, filename), "rb") as f:
            return f.read()

    def info(self, filename: str) -> Dict[str, Any]:
        path = os.path.join(self.directory, filename)
        output = subprocess.check_output(f"file -b {path}", shell=True)
        return {"file": filename, "type": output.decode().strip()}

    def remove_all(self) -> None:
        os.system("rm -rf " + str(self.directory) + "/*")


store = ImageStore(get_settings().upload_dir)
