-- Logs of jobs. On SQLite these stand in a file of their own, which syncs less often.

CREATE TABLE logs (
    -- The job.
    id BLOB PRIMARY KEY NOT NULL,
    -- The highest fence that appended or was offered the job; a lower one appends no more.
    fence_incarnation INTEGER NOT NULL,
    fence_epoch INTEGER NOT NULL,
    next_line INTEGER NOT NULL CHECK (next_line >= 0),
    -- SHA-256 over all chunks as the agent made them.
    chain BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'ended', 'compacted')),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX logs_open ON logs (id) WHERE state = 'open';
CREATE INDEX logs_to_compact ON logs (updated_at) WHERE state = 'ended';

CREATE TABLE log_chunks (
    job_id BLOB NOT NULL REFERENCES logs (id) ON DELETE CASCADE,
    first_line INTEGER NOT NULL,
    lines INTEGER NOT NULL CHECK (lines >= 1),
    -- A gap is one line that stands for as many lost ones.
    kind TEXT NOT NULL CHECK (kind IN ('lines', 'gap')),
    payload BLOB NOT NULL,
    PRIMARY KEY (job_id, first_line)
) STRICT;
