"""Does one job after the other: here it turns texts around."""

from queue_of_jobs import DONE, JOBS, connect

store = connect()
print("waiting for jobs", flush=True)
while True:
    _, text = store.blpop(JOBS)
    store.lpush(DONE, text[::-1])
    store.ltrim(DONE, 0, 999)
    print(f"done: {text!r}", flush=True)
