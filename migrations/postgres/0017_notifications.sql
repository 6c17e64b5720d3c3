-- What people are told of: in the product, by mail, and over channels of their own.

CREATE TABLE notifications (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- NULL for what concerns the person's account alone.
    team_id UUID REFERENCES teams (id) ON DELETE CASCADE,
    project_id UUID REFERENCES projects (id) ON DELETE CASCADE,
    type TEXT NOT NULL,
    -- One line.
    message TEXT NOT NULL,
    -- What else there is to say.
    detail TEXT,
    -- What it is about, and its id: a deployment, an agent, a channel.
    subject_type TEXT,
    subject_id UUID,
    is_read BIGINT NOT NULL CHECK (is_read IN (0, 1)),
    read_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX notifications_user ON notifications (user_id, id);
CREATE INDEX notifications_unread ON notifications (user_id, id) WHERE is_read = 0;
CREATE INDEX notifications_age ON notifications (created_at);
CREATE INDEX notifications_team ON notifications (team_id);
CREATE INDEX notifications_project ON notifications (project_id);

CREATE TABLE notification_channels (
    -- Of mail the person's own id: there is one for each account.
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('email', 'slack', 'discord', 'telegram', 'ntfy', 'webhook')),
    name TEXT NOT NULL,
    -- The host that is called, not too often at once; empty for mail.
    host TEXT NOT NULL,
    -- Addresses and tokens, as JSON. NULL for mail, which goes to the account's address.
    settings_encrypted BYTEA,
    key_version BIGINT,
    -- broken: it was switched off because messages failed.
    state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled', 'broken')),
    -- Messages that have failed for good since the last that was delivered.
    failures BIGINT NOT NULL CHECK (failures >= 0),
    -- Of the last attempt.
    last_attempt_at TIMESTAMPTZ,
    last_error TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (user_id, name)
);
CREATE INDEX notification_channels_user ON notification_channels (user_id, id);
CREATE INDEX notification_channels_key_version ON notification_channels (key_version, id);

INSERT INTO notification_channels (id, user_id, kind, name, host, state, failures, created_at, updated_at)
    SELECT id, id, 'email', 'email', '', 'enabled', 0, created_at, created_at FROM users;

-- What somebody has chosen for an event: a row for the product, and one for each channel. Where there is none, the
-- defaults hold.
CREATE TABLE notification_rules (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    event_type TEXT NOT NULL,
    -- NULL for the product.
    channel_id UUID REFERENCES notification_channels (id) ON DELETE CASCADE,
    tell TEXT NOT NULL CHECK (tell IN ('none', 'own', 'all')),
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX notification_rules_user ON notification_rules (user_id, event_type);
CREATE UNIQUE INDEX notification_rules_product ON notification_rules (user_id, event_type) WHERE channel_id IS NULL;
CREATE UNIQUE INDEX notification_rules_channel ON notification_rules (channel_id, event_type);

CREATE TABLE notification_deliveries (
    id UUID PRIMARY KEY,
    channel_id UUID NOT NULL REFERENCES notification_channels (id) ON DELETE CASCADE,
    -- Who is not in it any more when the message is sent is not told.
    team_id UUID REFERENCES teams (id) ON DELETE CASCADE,
    -- The same for all who are told of it.
    event_id UUID NOT NULL,
    event_type TEXT NOT NULL,
    -- What is told, as JSON; each kind of channel has a form of its own.
    notice TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'sending', 'delivered', 'failed')),
    -- As in webhook_deliveries.
    attempts BIGINT NOT NULL CHECK (attempts >= 0),
    next_attempt_at TIMESTAMPTZ,
    give_up_at TIMESTAMPTZ NOT NULL,
    attempted_at TIMESTAMPTZ,
    response_status BIGINT,
    response_body TEXT,
    duration_ms BIGINT,
    error TEXT,
    finished_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX notification_deliveries_due ON notification_deliveries (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX notification_deliveries_channel ON notification_deliveries (channel_id, id);
CREATE INDEX notification_deliveries_team ON notification_deliveries (team_id);
CREATE INDEX notification_deliveries_age ON notification_deliveries (created_at);

-- Since when people know that it is out of reach.
ALTER TABLE agents ADD COLUMN away_since TIMESTAMPTZ;
-- Those that may have to be told of.
CREATE INDEX agents_absent ON agents (id)
    WHERE session_id IS NULL AND away_since IS NULL AND revoked_at IS NULL AND connected_at IS NOT NULL;
