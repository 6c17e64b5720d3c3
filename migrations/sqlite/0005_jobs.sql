-- Deployments and the jobs that carry them out.

CREATE TABLE deployments (
    id BLOB PRIMARY KEY NOT NULL,
    team_id BLOB NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    project_id BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    target_id BLOB NOT NULL REFERENCES deployment_targets (id) ON DELETE RESTRICT,
    release_id BLOB REFERENCES releases (id) ON DELETE NO ACTION,
    platform TEXT NOT NULL CHECK (platform IN ('docker', 'kubernetes')),
    kind TEXT NOT NULL CHECK (kind IN ('deploy', 'remove')),
    status TEXT NOT NULL CHECK (status IN ('queued', 'offered', 'accepted', 'running', 'unknown', 'succeeded', 'failed', 'cancelled')),
    step TEXT,
    reason TEXT,
    message TEXT,
    images TEXT,
    -- The job, under whose id the log store has the log.
    log BLOB NOT NULL UNIQUE,
    log_lines INTEGER,
    settle_ms INTEGER NOT NULL,
    deadline_s INTEGER NOT NULL,
    interruption TEXT NOT NULL CHECK (interruption IN ('resume', 'fail', 'requeue_if_not_started')),
    volumes TEXT CHECK (volumes IN ('keep', 'delete')),
    attempts INTEGER NOT NULL,
    cancel_requested_at TEXT,
    agent_offline_since TEXT,
    triggered_by BLOB REFERENCES users (id) ON DELETE SET NULL,
    retry_of BLOB REFERENCES deployments (id) ON DELETE SET NULL,
    started_at TEXT,
    finished_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX deployments_team ON deployments (team_id, id);
CREATE INDEX deployments_project ON deployments (project_id, id);
CREATE INDEX deployments_target ON deployments (target_id, id);
CREATE INDEX deployments_release ON deployments (release_id);
CREATE INDEX deployments_creator ON deployments (triggered_by);
CREATE INDEX deployments_retry ON deployments (retry_of);

CREATE TABLE jobs (
    id BLOB PRIMARY KEY NOT NULL,
    deployment_id BLOB NOT NULL UNIQUE REFERENCES deployments (id) ON DELETE CASCADE,
    team_id BLOB NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    target_id BLOB NOT NULL REFERENCES deployment_targets (id) ON DELETE RESTRICT,
    -- The agent that was last offered the job.
    agent_id BLOB REFERENCES agents (id) ON DELETE RESTRICT,
    state TEXT NOT NULL CHECK (state IN ('queued', 'offered', 'accepted', 'running', 'unknown', 'succeeded', 'failed', 'cancelled')),
    fence_incarnation INTEGER NOT NULL,
    fence_epoch INTEGER NOT NULL,
    interruption TEXT NOT NULL CHECK (interruption IN ('resume', 'fail', 'requeue_if_not_started')),
    -- Sealed when it was submitted; dropped when the job has ended, the digest stays.
    spec BLOB,
    spec_digest BLOB NOT NULL,
    not_before TEXT,
    lease_expires_at TEXT,
    cancel_requested_at TEXT,
    started_at TEXT,
    finished_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
-- One job at a time on a target: the database itself holds to it.
CREATE UNIQUE INDEX jobs_one_per_target ON jobs (target_id) WHERE state IN ('offered', 'accepted', 'running', 'unknown');
CREATE INDEX jobs_queue ON jobs (target_id, id) WHERE state = 'queued';
CREATE INDEX jobs_live ON jobs (agent_id) WHERE state IN ('offered', 'accepted', 'running', 'unknown');
CREATE INDEX jobs_leases ON jobs (lease_expires_at) WHERE state IN ('offered', 'accepted', 'running');
CREATE INDEX jobs_delayed ON jobs (not_before) WHERE state = 'queued' AND not_before IS NOT NULL;
CREATE INDEX jobs_team ON jobs (team_id);

CREATE TABLE job_attempts (
    id BLOB PRIMARY KEY NOT NULL,
    job_id BLOB NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    agent_id BLOB NOT NULL REFERENCES agents (id) ON DELETE RESTRICT,
    fence_incarnation INTEGER NOT NULL,
    fence_epoch INTEGER NOT NULL,
    accepted_at TEXT,
    started_at TEXT,
    ended_at TEXT,
    -- How this attempt ended: a terminal state, or why the job was queued again.
    ending TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (job_id, fence_incarnation, fence_epoch)
) STRICT;
CREATE INDEX job_attempts_agent ON job_attempts (agent_id);

CREATE TABLE idempotency_keys (
    id BLOB PRIMARY KEY NOT NULL,
    team_id BLOB NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    request_digest BLOB NOT NULL,
    deployment_id BLOB NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    UNIQUE (team_id, key)
) STRICT;
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_deployment ON idempotency_keys (deployment_id);
