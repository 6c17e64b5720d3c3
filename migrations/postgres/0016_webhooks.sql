-- Whom to tell what happens to a project's deployments, and each telling.

CREATE TABLE webhooks (
    id UUID PRIMARY KEY,
    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    -- The host in it, which is not called too often at once.
    host TEXT NOT NULL,
    -- The names of one or more events, with spaces between.
    event_type TEXT NOT NULL,
    secret BYTEA NOT NULL,
    key_version BIGINT NOT NULL,
    -- gone: the receiver has said so.
    state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled', 'gone')),
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX webhooks_project ON webhooks (project_id, id);
CREATE INDEX webhooks_key_version ON webhooks (key_version, id);

CREATE TABLE webhook_deliveries (
    id UUID PRIMARY KEY,
    webhook_id UUID NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    -- What the receiver knows the message by: the same when it is sent again.
    event_id UUID NOT NULL,
    event_type TEXT NOT NULL,
    -- The delivery that this one repeats by hand.
    replay_of UUID REFERENCES webhook_deliveries (id) ON DELETE SET NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'sending', 'delivered', 'failed')),
    -- Begun attempts. The number of the last one is what its end is written under.
    attempts BIGINT NOT NULL CHECK (attempts >= 0),
    -- When it is due: for one that is being sent, when its sender is taken for dead. NULL when it has ended.
    next_attempt_at TIMESTAMPTZ,
    give_up_at TIMESTAMPTZ NOT NULL,
    request_body TEXT NOT NULL,
    -- Of the last attempt that ended.
    attempted_at TIMESTAMPTZ,
    response_status BIGINT,
    response_body TEXT,
    duration_ms BIGINT,
    error TEXT,
    finished_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_replay ON webhook_deliveries (replay_of);
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (created_at);
