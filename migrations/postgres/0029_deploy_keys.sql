-- The keys by which repositories are read over ssh: one for each address that a project was told to come from.
CREATE TABLE deploy_keys (
    id UUID PRIMARY KEY,
    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    -- As forges take it.
    public_key TEXT NOT NULL,
    private_key_encrypted BYTEA NOT NULL,
    key_version BIGINT NOT NULL,
    -- By what the server is known: lines of a known_hosts file.
    host_keys TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (project_id, url)
);
CREATE INDEX deploy_keys_key_version ON deploy_keys (key_version, id);
