-- What teams deploy.

CREATE TABLE projects (
    id BLOB PRIMARY KEY NOT NULL,
    team_id BLOB NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    repo_url TEXT,
    source_type TEXT NOT NULL CHECK (source_type IN ('template', 'git', 'github', 'gitlab', 'bitbucket', 'upload')),
    status TEXT NOT NULL CHECK (status IN ('empty', 'ready')),
    -- Which of the files is the compose file.
    compose_file TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (team_id, name)
) STRICT;
CREATE INDEX projects_team ON projects (team_id, id);

CREATE TABLE project_files (
    id BLOB PRIMARY KEY NOT NULL,
    project_id BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    content BLOB NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('regular', 'executable')),
    is_generated INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (project_id, path)
) STRICT;

-- A release is what a deployment applies: the files as they were. Equal files are one release.
CREATE TABLE releases (
    id BLOB PRIMARY KEY NOT NULL,
    project_id BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    digest BLOB NOT NULL,
    compose_file TEXT NOT NULL,
    files BLOB NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (project_id, digest)
) STRICT;

CREATE TABLE secrets (
    id BLOB PRIMARY KEY NOT NULL,
    project_id BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value_encrypted BLOB NOT NULL,
    key_version INTEGER NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('build', 'deploy', 'pipeline')),
    -- Rises with each new value.
    version INTEGER NOT NULL CHECK (version >= 1),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (project_id, scope, key)
) STRICT;
