"""Takes jobs: POST a text, and read what became of all with GET."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from queue_of_jobs import DONE, JOBS, connect

MOST_BYTES = 64 * 1024
store = connect()


class Jobs(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, {"waiting": store.llen(JOBS), "done": store.lrange(DONE, 0, 99)})

    def do_POST(self):
        length = min(int(self.headers.get("Content-Length", 0)), MOST_BYTES)
        store.rpush(JOBS, self.rfile.read(length).decode(errors="replace"))
        self.answer(202, {"waiting": store.llen(JOBS)})

    def answer(self, status, body):
        text = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8000"))), Jobs).serve_forever()
