-- Who did what, chained by hashes. A chain belongs to a target, a team or the installation, so that
-- transactions on different targets do not wait for each other. Rows outlive what they speak of:
-- there are no foreign keys.

CREATE TABLE audit_heads (
    -- The chain: the id of its target, its team or the installation.
    id BLOB PRIMARY KEY NOT NULL,
    seq INTEGER NOT NULL CHECK (seq >= 0),
    hash BLOB NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

CREATE TABLE audit_logs (
    id BLOB PRIMARY KEY NOT NULL,
    chain BLOB NOT NULL,
    seq INTEGER NOT NULL CHECK (seq >= 1),
    team_id BLOB,
    actor_type TEXT NOT NULL CHECK (actor_type IN ('user', 'agent', 'system', 'anonymous')),
    actor_id BLOB,
    -- From where, as far as it is known.
    address TEXT,
    action TEXT NOT NULL,
    subject_type TEXT NOT NULL,
    subject_id BLOB,
    detail TEXT NOT NULL,
    hash BLOB NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (chain, seq)
) STRICT;
CREATE INDEX audit_logs_team ON audit_logs (team_id, id);
CREATE INDEX audit_logs_subject ON audit_logs (subject_id, id);
