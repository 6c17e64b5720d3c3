"""Keeps notes: POST a text, read all with GET. The database is named by the PG… variables."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg

MOST_BYTES = 64 * 1024


def ask(statement, *values):
    with psycopg.connect() as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


class Notes(BaseHTTPRequestHandler):
    def do_GET(self):
        rows = ask("SELECT id, text FROM notes ORDER BY id DESC LIMIT 100")
        self.answer(200, [{"id": id, "text": text} for id, text in rows])

    def do_POST(self):
        length = min(int(self.headers.get("Content-Length", 0)), MOST_BYTES)
        text = self.rfile.read(length).decode(errors="replace").replace("\0", "")
        [(id,)] = ask("INSERT INTO notes (text) VALUES (%s) RETURNING id", text)
        self.answer(201, {"id": id, "text": text})

    def answer(self, status, body):
        text = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


ask("CREATE TABLE IF NOT EXISTS notes (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text TEXT NOT NULL)")
ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8000"))), Notes).serve_forever()
