import os
import sys
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer


class Clock(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/time" else 404)
        self.end_headers()
        self.wfile.write(f"{os.environ['GREETING']} {datetime.now(timezone.utc)}\n".encode())


HTTPServer(("127.0.0.1", int(sys.argv[-1])), Clock).serve_forever()
