-- Logs of jobs. On SQLite these stand in a file of their own, which syncs less often.

CREATE TABLE logs (
    -- The job.
    id UUID PRIMARY KEY,
    -- The highest fence that appended or was offered the job; a lower one appends no more.
    fence_incarnation BIGINT NOT NULL,
    fence_epoch BIGINT NOT NULL,
    next_line BIGINT NOT NULL CHECK (next_line >= 0),
    -- SHA-256 over all chunks as the agent made them.
    chain BYTEA NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'ended', 'compacted')),
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX logs_open ON logs (id) WHERE state = 'open';
CREATE INDEX logs_to_compact ON logs (updated_at) WHERE state = 'ended';

CREATE TABLE log_chunks (
    job_id UUID NOT NULL REFERENCES logs (id) ON DELETE CASCADE,
    first_line BIGINT NOT NULL,
    lines BIGINT NOT NULL CHECK (lines >= 1),
    -- A gap is one line that stands for as many lost ones.
    kind TEXT NOT NULL CHECK (kind IN ('lines', 'gap')),
    payload BYTEA NOT NULL,
    PRIMARY KEY (job_id, first_line)
);
