-- Whom to tell what happens to a project's deployments, and each telling.

CREATE TABLE webhooks (
    id BLOB PRIMARY KEY NOT NULL,
    project_id BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    -- The host in it, which is not called too often at once.
    host TEXT NOT NULL,
    -- The names of one or more events, with spaces between.
    event_type TEXT NOT NULL,
    secret BLOB NOT NULL,
    key_version INTEGER NOT NULL,
    -- gone: the receiver has said so.
    state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled', 'gone')),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX webhooks_project ON webhooks (project_id, id);
CREATE INDEX webhooks_key_version ON webhooks (key_version, id);

CREATE TABLE webhook_deliveries (
    id BLOB PRIMARY KEY NOT NULL,
    webhook_id BLOB NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    -- What the receiver knows the message by: the same when it is sent again.
    event_id BLOB NOT NULL,
    event_type TEXT NOT NULL,
    -- The delivery that this one repeats by hand.
    replay_of BLOB REFERENCES webhook_deliveries (id) ON DELETE SET NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'sending', 'delivered', 'failed')),
    -- Begun attempts. The number of the last one is what its end is written under.
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    -- When it is due: for one that is being sent, when its sender is taken for dead. NULL when it has ended.
    next_attempt_at TEXT,
    give_up_at TEXT NOT NULL,
    request_body TEXT NOT NULL,
    -- Of the last attempt that ended.
    attempted_at TEXT,
    response_status INTEGER,
    response_body TEXT,
    duration_ms INTEGER,
    error TEXT,
    finished_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_replay ON webhook_deliveries (replay_of);
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (created_at);
