-- What a team asks before it does something, and tells afterwards; and each asking and telling.

CREATE TABLE custom_plugins (
    id BLOB PRIMARY KEY NOT NULL,
    team_id BLOB NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    -- The host in it, which is not called too often at once.
    host TEXT NOT NULL,
    -- The names of one or more hooks, with spaces between.
    hooks TEXT NOT NULL,
    secret BLOB NOT NULL,
    key_version INTEGER NOT NULL,
    timeout_s INTEGER NOT NULL CHECK (timeout_s >= 1),
    -- What becomes of what it is asked about when it gives no answer.
    failure_policy TEXT NOT NULL CHECK (failure_policy IN ('open', 'closed')),
    state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled')),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (team_id, name)
) STRICT;
CREATE INDEX custom_plugins_team ON custom_plugins (team_id, id);
CREATE INDEX custom_plugins_key_version ON custom_plugins (key_version, id);

CREATE TABLE plugin_runs (
    -- Also what the plugin knows the request by.
    id BLOB PRIMARY KEY NOT NULL,
    plugin_id BLOB NOT NULL REFERENCES custom_plugins (id) ON DELETE CASCADE,
    -- The hook's name, or test.
    hook TEXT NOT NULL,
    -- The project that it was about; it may be gone.
    project_id BLOB,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'sending', 'delivered', 'vetoed', 'failed')),
    -- told: what had happened already, so that nothing came of the answer.
    effect TEXT NOT NULL CHECK (effect IN ('told', 'allowed', 'refused')),
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
    -- What the plugin says to people.
    message TEXT,
    finished_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX plugin_runs_due ON plugin_runs (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX plugin_runs_plugin ON plugin_runs (plugin_id, id);
CREATE INDEX plugin_runs_age ON plugin_runs (created_at);
