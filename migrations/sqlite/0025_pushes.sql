-- Pushes that deploy: where a forge tells of them, what it told, and what became of it.

CREATE TABLE push_hooks (
    id BLOB PRIMARY KEY NOT NULL,
    project_id BLOB NOT NULL UNIQUE REFERENCES projects (id) ON DELETE CASCADE,
    -- By whose right it deploys: who set it last.
    user_id BLOB REFERENCES users (id) ON DELETE SET NULL,
    forge TEXT NOT NULL CHECK (forge IN ('github', 'gitlab', 'bitbucket', 'generic')),
    state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled')),
    -- Patterns, as JSON lists. No branches: the one that the source names.
    branches TEXT NOT NULL,
    include_paths TEXT NOT NULL,
    exclude_paths TEXT NOT NULL,
    -- How is deployed.
    environment TEXT,
    on_failure TEXT NOT NULL CHECK (on_failure IN ('leave', 'roll_back')),
    secret BLOB NOT NULL,
    key_version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX push_hooks_user ON push_hooks (user_id);
CREATE INDEX push_hooks_key_version ON push_hooks (key_version, id);

CREATE TABLE push_hook_targets (
    id BLOB PRIMARY KEY NOT NULL,
    hook_id BLOB NOT NULL REFERENCES push_hooks (id) ON DELETE CASCADE,
    target_id BLOB NOT NULL REFERENCES deployment_targets (id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    UNIQUE (hook_id, target_id)
) STRICT;
CREATE INDEX push_hook_targets_target ON push_hook_targets (target_id);

CREATE TABLE pushes (
    id BLOB PRIMARY KEY NOT NULL,
    hook_id BLOB NOT NULL REFERENCES push_hooks (id) ON DELETE CASCADE,
    -- What the forge knows its message by, and which of the pushes in it this is, from 0.
    delivery_id TEXT NOT NULL,
    part INTEGER NOT NULL CHECK (part >= 0),
    -- SHA-256 of the message.
    digest BLOB NOT NULL,
    event TEXT NOT NULL,
    -- Whom the forge let push.
    sender TEXT,
    -- As git names it; NULL when the message is about no push.
    reference TEXT,
    commit_sha TEXT,
    title TEXT,
    outcome TEXT NOT NULL CHECK (outcome IN ('taken', 'ignored')),
    -- Why it is ignored.
    reason TEXT,
    -- How is deployed, as the hook said when it came.
    environment TEXT,
    on_failure TEXT NOT NULL CHECK (on_failure IN ('leave', 'roll_back')),
    created_at TEXT NOT NULL,
    UNIQUE (hook_id, delivery_id, part),
    CHECK (outcome <> 'taken' OR (reference IS NOT NULL AND commit_sha IS NOT NULL))
) STRICT;
CREATE INDEX pushes_hook ON pushes (hook_id, id);
CREATE INDEX pushes_digest ON pushes (hook_id, digest);
CREATE INDEX pushes_reference ON pushes (hook_id, reference, id);

-- The way of a push to one target.
CREATE TABLE push_deploys (
    id BLOB PRIMARY KEY NOT NULL,
    push_id BLOB NOT NULL REFERENCES pushes (id) ON DELETE CASCADE,
    hook_id BLOB NOT NULL REFERENCES push_hooks (id) ON DELETE CASCADE,
    target_id BLOB NOT NULL REFERENCES deployment_targets (id) ON DELETE CASCADE,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'starting', 'deployed', 'refused', 'superseded')),
    deployment_id BLOB REFERENCES deployments (id) ON DELETE SET NULL,
    -- Why it is not deployed, or not yet.
    message TEXT,
    -- Begun attempts. The number of the last one is what its end is written under.
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    -- When it is due: for one that is under way, when its worker is taken for dead. NULL when it has ended.
    next_attempt_at TEXT,
    give_up_at TEXT NOT NULL,
    finished_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX push_deploys_due ON push_deploys (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX push_deploys_push ON push_deploys (push_id);
CREATE INDEX push_deploys_order ON push_deploys (hook_id, target_id, id);
CREATE INDEX push_deploys_target ON push_deploys (target_id);
CREATE INDEX push_deploys_deployment ON push_deploys (deployment_id);

-- The push that asked for a deployment, and whom the forge let push; the name outlives the list of pushes.
ALTER TABLE deployments ADD COLUMN push_id BLOB REFERENCES pushes (id) ON DELETE SET NULL;
ALTER TABLE deployments ADD COLUMN pushed_by TEXT;
CREATE INDEX deployments_push ON deployments (push_id);
