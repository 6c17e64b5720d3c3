import os

import redis

JOBS = "jobs"
DONE = "done"


def connect():
    return redis.Redis(
        host=os.environ["REDIS_HOST"],
        password=os.environ["REDIS_PASSWORD"],
        decode_responses=True,
    )
