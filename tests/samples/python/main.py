import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from greeting import greeting


class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(greeting("Python").encode())


ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8000"))), Shop).serve_forever()
