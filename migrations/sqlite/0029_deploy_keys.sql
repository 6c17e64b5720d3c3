-- The keys by which repositories are read over ssh: one for each address that a project was told to come from.
CREATE TABLE deploy_keys (
    id BLOB PRIMARY KEY NOT NULL,
    project_id BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    -- As forges take it.
    public_key TEXT NOT NULL,
    private_key_encrypted BLOB NOT NULL,
    key_version INTEGER NOT NULL,
    -- By what the server is known: lines of a known_hosts file.
    host_keys TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (project_id, url)
) STRICT;
CREATE INDEX deploy_keys_key_version ON deploy_keys (key_version, id);
