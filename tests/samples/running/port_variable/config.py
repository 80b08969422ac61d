import os


class Config:
    SERVER_PORT = int(os.environ.get("APP_PORT") or 5001)
