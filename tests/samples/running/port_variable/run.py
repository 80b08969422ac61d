from config import Config
from web import create_app

if __name__ == "__main__":
    create_app().run(host="127.0.0.1", port=Config.SERVER_PORT)
