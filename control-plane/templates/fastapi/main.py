from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI(title="{{project}}")
notes: list[dict] = []


class Note(BaseModel):
    text: str


@app.get("/health")
def health():
    return "well"


@app.get("/notes")
def all_notes():
    return notes


@app.post("/notes", status_code=201)
def add(note: Note):
    notes.append({"id": len(notes) + 1, "text": note.text})
    return notes[-1]
