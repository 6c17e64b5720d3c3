-- What teams begin projects from. The official templates come with the program, and have no rows.

CREATE TABLE project_templates (
    id BLOB PRIMARY KEY NOT NULL,
    -- Whose it is; nobody's where it is official.
    team_id BLOB REFERENCES teams (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    language TEXT,
    is_official INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    CHECK (is_official = (team_id IS NULL)),
    UNIQUE (team_id, name)
) STRICT;

CREATE TABLE project_template_files (
    id BLOB PRIMARY KEY NOT NULL,
    template_id BLOB NOT NULL REFERENCES project_templates (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    content BLOB NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('regular', 'executable')),
    created_at TEXT NOT NULL,
    UNIQUE (template_id, path)
) STRICT;

-- The names of the secrets that its projects need; never a value.
CREATE TABLE project_template_secrets (
    id BLOB PRIMARY KEY NOT NULL,
    template_id BLOB NOT NULL REFERENCES project_templates (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (template_id, name)
) STRICT;
