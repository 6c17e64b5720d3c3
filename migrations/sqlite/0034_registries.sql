-- Registries that teams log in to: for the images that their projects run, and for those that they build.
CREATE TABLE registries (
    id BLOB PRIMARY KEY NOT NULL,
    team_id BLOB NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    -- Who added it; it is the team's.
    user_id BLOB REFERENCES users (id) ON DELETE SET NULL,
    -- Its host, with its port where that is not the usual one: as names of images begin.
    registry TEXT NOT NULL,
    login TEXT NOT NULL,
    note TEXT NOT NULL,
    password_encrypted BLOB NOT NULL,
    key_version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (team_id, registry)
) STRICT;
CREATE INDEX registries_team ON registries (team_id, id);
CREATE INDEX registries_user ON registries (user_id);
CREATE INDEX registries_key_version ON registries (key_version, id);

-- Where a project's built images are pushed to. A registry stays as long as a project pushes to it.
ALTER TABLE projects ADD COLUMN registry_id BLOB REFERENCES registries (id);
ALTER TABLE projects ADD COLUMN repository TEXT;
CREATE INDEX projects_registry ON projects (registry_id);
