-- Accounts at forges, by their tokens: repositories are listed and read with them, push hooks installed, and statuses
-- set on commits.

-- The name and the columns user_id, github_user_id and access_token are the product's; GitLab and Bitbucket stand here, too.
CREATE TABLE github_integrations (
    id UUID PRIMARY KEY NOT NULL,
    team_id UUID NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    -- Who connected it; it is the team's.
    user_id UUID REFERENCES users (id) ON DELETE SET NULL,
    forge TEXT NOT NULL CHECK (forge IN ('github', 'gitlab', 'bitbucket')),
    name TEXT NOT NULL,
    -- The forge as browsers and git reach it, and the host that its API is called at.
    url TEXT NOT NULL,
    host TEXT NOT NULL,
    -- The account at the forge, whichever that is.
    github_user_id TEXT NOT NULL,
    login TEXT NOT NULL,
    -- What the token may do, as far as the forge tells: names with blanks between them.
    scopes TEXT,
    -- Who says the token, where the forge asks for that.
    token_user TEXT,
    access_token BYTEA NOT NULL,
    key_version BIGINT NOT NULL,
    -- How many statuses were queued: the order of the next one.
    statuses BIGINT NOT NULL CHECK (statuses >= 0),
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (team_id, name)
);
CREATE INDEX github_integrations_team ON github_integrations (team_id, id);
CREATE INDEX github_integrations_user ON github_integrations (user_id);
CREATE INDEX github_integrations_key_version ON github_integrations (key_version, id);

-- By which integration a source is read, and what the forge calls the repository.
ALTER TABLE project_sources ADD COLUMN integration_id UUID REFERENCES github_integrations (id) ON DELETE SET NULL;
ALTER TABLE project_sources ADD COLUMN repository TEXT;
CREATE INDEX project_sources_integration ON project_sources (integration_id);

-- Which hook at the forge tells this one, where Towline has installed it.
ALTER TABLE push_hooks ADD COLUMN integration_id UUID REFERENCES github_integrations (id) ON DELETE SET NULL;
ALTER TABLE push_hooks ADD COLUMN repository TEXT;
ALTER TABLE push_hooks ADD COLUMN forge_hook TEXT;
CREATE INDEX push_hooks_integration ON push_hooks (integration_id);

-- What a forge is told of the commits that are deployed.
CREATE TABLE commit_statuses (
    id UUID PRIMARY KEY NOT NULL,
    integration_id UUID NOT NULL REFERENCES github_integrations (id) ON DELETE CASCADE,
    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    deployment_id UUID NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    -- Its place among the integration's: a later one of the same context is never overtaken by an earlier one.
    sequence BIGINT NOT NULL CHECK (sequence > 0),
    repository TEXT NOT NULL,
    commit_sha TEXT NOT NULL,
    context TEXT NOT NULL,
    commit_state TEXT NOT NULL CHECK (commit_state IN ('pending', 'success', 'failure', 'cancelled')),
    description TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'sending', 'delivered', 'failed', 'superseded')),
    -- Begun attempts. The number of the last one is what its end is written under.
    attempts BIGINT NOT NULL CHECK (attempts >= 0),
    -- When it is due: for one that is being sent, when its sender is taken for dead. NULL when it has ended.
    next_attempt_at TIMESTAMPTZ,
    give_up_at TIMESTAMPTZ NOT NULL,
    -- Of the last attempt that ended.
    attempted_at TIMESTAMPTZ,
    response_status BIGINT,
    response_body TEXT,
    duration_ms BIGINT,
    error TEXT,
    finished_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (deployment_id, commit_state)
);
CREATE INDEX commit_statuses_due ON commit_statuses (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX commit_statuses_order ON commit_statuses (integration_id, repository, commit_sha, context, sequence);
CREATE INDEX commit_statuses_integration ON commit_statuses (integration_id, id);
CREATE INDEX commit_statuses_project ON commit_statuses (project_id);
CREATE INDEX commit_statuses_age ON commit_statuses (created_at);
