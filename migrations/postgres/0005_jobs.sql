-- Deployments and the jobs that carry them out.

CREATE TABLE deployments (
    id UUID PRIMARY KEY,
    team_id UUID NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    target_id UUID NOT NULL REFERENCES deployment_targets (id) ON DELETE RESTRICT,
    release_id UUID REFERENCES releases (id) ON DELETE NO ACTION,
    platform TEXT NOT NULL CHECK (platform IN ('docker', 'kubernetes')),
    kind TEXT NOT NULL CHECK (kind IN ('deploy', 'remove')),
    status TEXT NOT NULL CHECK (status IN ('queued', 'offered', 'accepted', 'running', 'unknown', 'succeeded', 'failed', 'cancelled')),
    step TEXT,
    reason TEXT,
    message TEXT,
    images JSONB,
    -- The job, under whose id the log store has the log.
    log UUID NOT NULL UNIQUE,
    log_lines BIGINT,
    settle_ms BIGINT NOT NULL,
    deadline_s BIGINT NOT NULL,
    interruption TEXT NOT NULL CHECK (interruption IN ('resume', 'fail', 'requeue_if_not_started')),
    volumes TEXT CHECK (volumes IN ('keep', 'delete')),
    attempts BIGINT NOT NULL,
    cancel_requested_at TIMESTAMPTZ,
    agent_offline_since TIMESTAMPTZ,
    triggered_by UUID REFERENCES users (id) ON DELETE SET NULL,
    retry_of UUID REFERENCES deployments (id) ON DELETE SET NULL,
    started_at TIMESTAMPTZ,
    finished_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX deployments_team ON deployments (team_id, id);
CREATE INDEX deployments_project ON deployments (project_id, id);
CREATE INDEX deployments_target ON deployments (target_id, id);
CREATE INDEX deployments_release ON deployments (release_id);
CREATE INDEX deployments_creator ON deployments (triggered_by);
CREATE INDEX deployments_retry ON deployments (retry_of);

CREATE TABLE jobs (
    id UUID PRIMARY KEY,
    deployment_id UUID NOT NULL UNIQUE REFERENCES deployments (id) ON DELETE CASCADE,
    team_id UUID NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    target_id UUID NOT NULL REFERENCES deployment_targets (id) ON DELETE RESTRICT,
    -- The agent that was last offered the job.
    agent_id UUID REFERENCES agents (id) ON DELETE RESTRICT,
    state TEXT NOT NULL CHECK (state IN ('queued', 'offered', 'accepted', 'running', 'unknown', 'succeeded', 'failed', 'cancelled')),
    fence_incarnation BIGINT NOT NULL,
    fence_epoch BIGINT NOT NULL,
    interruption TEXT NOT NULL CHECK (interruption IN ('resume', 'fail', 'requeue_if_not_started')),
    -- Sealed when it was submitted; dropped when the job has ended, the digest stays.
    spec BYTEA,
    spec_digest BYTEA NOT NULL,
    not_before TIMESTAMPTZ,
    lease_expires_at TIMESTAMPTZ,
    cancel_requested_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ,
    finished_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
-- One job at a time on a target: the database itself holds to it.
CREATE UNIQUE INDEX jobs_one_per_target ON jobs (target_id) WHERE state IN ('offered', 'accepted', 'running', 'unknown');
CREATE INDEX jobs_queue ON jobs (target_id, id) WHERE state = 'queued';
CREATE INDEX jobs_live ON jobs (agent_id) WHERE state IN ('offered', 'accepted', 'running', 'unknown');
CREATE INDEX jobs_leases ON jobs (lease_expires_at) WHERE state IN ('offered', 'accepted', 'running');
CREATE INDEX jobs_delayed ON jobs (not_before) WHERE state = 'queued' AND not_before IS NOT NULL;
CREATE INDEX jobs_team ON jobs (team_id);

CREATE TABLE job_attempts (
    id UUID PRIMARY KEY,
    job_id UUID NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    agent_id UUID NOT NULL REFERENCES agents (id) ON DELETE RESTRICT,
    fence_incarnation BIGINT NOT NULL,
    fence_epoch BIGINT NOT NULL,
    accepted_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    -- How this attempt ended: a terminal state, or why the job was queued again.
    ending TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (job_id, fence_incarnation, fence_epoch)
);
CREATE INDEX job_attempts_agent ON job_attempts (agent_id);

CREATE TABLE idempotency_keys (
    id UUID PRIMARY KEY,
    team_id UUID NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    request_digest BYTEA NOT NULL,
    deployment_id UUID NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (team_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_deployment ON idempotency_keys (deployment_id);
