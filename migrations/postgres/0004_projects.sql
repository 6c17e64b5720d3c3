-- What teams deploy.

CREATE TABLE projects (
    id UUID PRIMARY KEY,
    team_id UUID NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    repo_url TEXT,
    source_type TEXT NOT NULL CHECK (source_type IN ('template', 'git', 'github', 'gitlab', 'bitbucket', 'upload')),
    status TEXT NOT NULL CHECK (status IN ('empty', 'ready')),
    -- Which of the files is the compose file.
    compose_file TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (team_id, name)
);
CREATE INDEX projects_team ON projects (team_id, id);

CREATE TABLE project_files (
    id UUID PRIMARY KEY,
    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    content BYTEA NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('regular', 'executable')),
    is_generated BOOLEAN NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (project_id, path)
);

-- A release is what a deployment applies: the files as they were. Equal files are one release.
CREATE TABLE releases (
    id UUID PRIMARY KEY,
    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    digest BYTEA NOT NULL,
    compose_file TEXT NOT NULL,
    files BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (project_id, digest)
);

CREATE TABLE secrets (
    id UUID PRIMARY KEY,
    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value_encrypted BYTEA NOT NULL,
    key_version BIGINT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('build', 'deploy', 'pipeline')),
    -- Rises with each new value.
    version BIGINT NOT NULL CHECK (version >= 1),
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (project_id, scope, key)
);
