-- Agents, their certificates and the targets they serve.

CREATE TABLE agents (
    id BLOB PRIMARY KEY NOT NULL,
    team_id BLOB NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    hostname TEXT NOT NULL,
    version TEXT NOT NULL,
    -- What the host is and can do, as the agent last said; NULL before it first connected.
    capabilities TEXT,
    -- The connection that speaks for the agent; NULL when there is none.
    session_id BLOB,
    connected_at TEXT,
    last_seen_at TEXT,
    revoked_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX agents_name ON agents (team_id, name) WHERE revoked_at IS NULL;
CREATE INDEX agents_team ON agents (team_id, id);

CREATE TABLE certificates (
    id BLOB PRIMARY KEY NOT NULL,
    agent_id BLOB NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    serial TEXT NOT NULL UNIQUE,
    spki TEXT NOT NULL,
    issuer TEXT NOT NULL REFERENCES authorities (fingerprint) ON DELETE RESTRICT,
    not_before TEXT NOT NULL,
    not_after TEXT NOT NULL,
    revoked_at TEXT,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX certificates_agent ON certificates (agent_id, not_after);
CREATE INDEX certificates_issuer ON certificates (issuer, not_after);

CREATE TABLE enrolment_tokens (
    id BLOB PRIMARY KEY NOT NULL,
    team_id BLOB NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    -- The name the agent will have.
    name TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    created_by BLOB REFERENCES users (id) ON DELETE SET NULL,
    expires_at TEXT NOT NULL,
    used_at TEXT,
    revoked_at TEXT,
    agent_id BLOB REFERENCES agents (id) ON DELETE SET NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX enrolment_tokens_team ON enrolment_tokens (team_id, id);
CREATE INDEX enrolment_tokens_creator ON enrolment_tokens (created_by);
CREATE INDEX enrolment_tokens_agent ON enrolment_tokens (agent_id);

CREATE TABLE deployment_targets (
    id BLOB PRIMARY KEY NOT NULL,
    team_id BLOB NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    type TEXT NOT NULL CHECK (type IN ('docker_agent', 'kubernetes_agent', 'docker_tls')),
    host TEXT NOT NULL,
    -- Sealed credentials of a target without an agent.
    auth BLOB,
    key_version INTEGER,
    agent_id BLOB REFERENCES agents (id) ON DELETE RESTRICT,
    -- The highest fence given out.
    fence_incarnation INTEGER NOT NULL CHECK (fence_incarnation >= 1),
    fence_epoch INTEGER NOT NULL CHECK (fence_epoch >= 0),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (team_id, name)
) STRICT;
CREATE INDEX deployment_targets_agent ON deployment_targets (agent_id);
CREATE INDEX deployment_targets_team ON deployment_targets (team_id, id);
