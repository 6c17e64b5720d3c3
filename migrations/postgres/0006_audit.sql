-- Who did what, chained by hashes. A chain belongs to a target, a team or the installation, so that
-- transactions on different targets do not wait for each other. Rows outlive what they speak of:
-- there are no foreign keys.

CREATE TABLE audit_heads (
    -- The chain: the id of its target, its team or the installation.
    id UUID PRIMARY KEY,
    seq BIGINT NOT NULL CHECK (seq >= 0),
    hash BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE audit_logs (
    id UUID PRIMARY KEY,
    chain UUID NOT NULL,
    seq BIGINT NOT NULL CHECK (seq >= 1),
    team_id UUID,
    actor_type TEXT NOT NULL CHECK (actor_type IN ('user', 'agent', 'system', 'anonymous')),
    actor_id UUID,
    -- From where, as far as it is known.
    address TEXT,
    action TEXT NOT NULL,
    subject_type TEXT NOT NULL,
    subject_id UUID,
    detail TEXT NOT NULL,
    hash BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (chain, seq)
);
CREATE INDEX audit_logs_team ON audit_logs (team_id, id);
CREATE INDEX audit_logs_subject ON audit_logs (subject_id, id);
