-- What teams begin projects from. The official templates come with the program, and have no rows.

CREATE TABLE project_templates (
    id UUID PRIMARY KEY,
    -- Whose it is; nobody's where it is official.
    team_id UUID REFERENCES teams (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    language TEXT,
    is_official BOOLEAN NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    CHECK (is_official = (team_id IS NULL)),
    UNIQUE (team_id, name)
);

CREATE TABLE project_template_files (
    id UUID PRIMARY KEY,
    template_id UUID NOT NULL REFERENCES project_templates (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    content BYTEA NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('regular', 'executable')),
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (template_id, path)
);

-- The names of the secrets that its projects need; never a value.
CREATE TABLE project_template_secrets (
    id UUID PRIMARY KEY,
    template_id UUID NOT NULL REFERENCES project_templates (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (template_id, name)
);
