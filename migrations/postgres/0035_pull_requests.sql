-- By which branch and pull request the generated files of a project are delivered to its repository.
CREATE TABLE project_pull_requests (
    id UUID PRIMARY KEY NOT NULL,
    project_id UUID NOT NULL UNIQUE REFERENCES projects (id) ON DELETE CASCADE,
    integration_id UUID NOT NULL REFERENCES github_integrations (id) ON DELETE CASCADE,
    repository TEXT NOT NULL,
    branch TEXT NOT NULL,
    -- NULL until it is open.
    number BIGINT CHECK (number > 0),
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX project_pull_requests_integration ON project_pull_requests (integration_id);

-- Where a deploy key is installed at a forge, and as which key of it.
ALTER TABLE deploy_keys ADD COLUMN integration_id UUID REFERENCES github_integrations (id) ON DELETE SET NULL;
ALTER TABLE deploy_keys ADD COLUMN repository TEXT;
ALTER TABLE deploy_keys ADD COLUMN forge_key TEXT;
CREATE INDEX deploy_keys_integration ON deploy_keys (integration_id);
