-- Agents, their certificates and the targets they serve.

CREATE TABLE agents (
    id UUID PRIMARY KEY,
    team_id UUID NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    hostname TEXT NOT NULL,
    version TEXT NOT NULL,
    -- What the host is and can do, as the agent last said; NULL before it first connected.
    capabilities JSONB,
    -- The connection that speaks for the agent; NULL when there is none.
    session_id UUID,
    connected_at TIMESTAMPTZ,
    last_seen_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX agents_name ON agents (team_id, name) WHERE revoked_at IS NULL;
CREATE INDEX agents_team ON agents (team_id, id);

CREATE TABLE certificates (
    id UUID PRIMARY KEY,
    agent_id UUID NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    serial TEXT NOT NULL UNIQUE,
    spki TEXT NOT NULL,
    issuer TEXT NOT NULL REFERENCES authorities (fingerprint) ON DELETE RESTRICT,
    not_before TIMESTAMPTZ NOT NULL,
    not_after TIMESTAMPTZ NOT NULL,
    revoked_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX certificates_agent ON certificates (agent_id, not_after);
CREATE INDEX certificates_issuer ON certificates (issuer, not_after);

CREATE TABLE enrolment_tokens (
    id UUID PRIMARY KEY,
    team_id UUID NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    -- The name the agent will have.
    name TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    created_by UUID REFERENCES users (id) ON DELETE SET NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    used_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ,
    agent_id UUID REFERENCES agents (id) ON DELETE SET NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX enrolment_tokens_team ON enrolment_tokens (team_id, id);
CREATE INDEX enrolment_tokens_creator ON enrolment_tokens (created_by);
CREATE INDEX enrolment_tokens_agent ON enrolment_tokens (agent_id);

CREATE TABLE deployment_targets (
    id UUID PRIMARY KEY,
    team_id UUID NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    type TEXT NOT NULL CHECK (type IN ('docker_agent', 'kubernetes_agent', 'docker_tls')),
    host TEXT NOT NULL,
    -- Sealed credentials of a target without an agent.
    auth BYTEA,
    key_version BIGINT,
    agent_id UUID REFERENCES agents (id) ON DELETE RESTRICT,
    -- The highest fence given out.
    fence_incarnation BIGINT NOT NULL CHECK (fence_incarnation >= 1),
    fence_epoch BIGINT NOT NULL CHECK (fence_epoch >= 0),
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (team_id, name)
);
CREATE INDEX deployment_targets_agent ON deployment_targets (agent_id);
CREATE INDEX deployment_targets_team ON deployment_targets (team_id, id);
