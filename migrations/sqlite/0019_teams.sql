-- Further teams of a person, and roles on single projects.

-- That belong to a person, their own one counted. NULL: without limit.
ALTER TABLE plans ADD COLUMN max_teams INTEGER CHECK (max_teams >= 0);
UPDATE plans SET max_teams = 2 WHERE name = 'Free';
UPDATE plans SET max_teams = 10 WHERE name = 'Pro';

-- Of people in the team, whose role there it lifts, and of others, who see nothing else of the team.
CREATE TABLE project_members (
    id BLOB PRIMARY KEY NOT NULL,
    project_id BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('admin', 'developer', 'viewer')),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (project_id, user_id)
) STRICT;
CREATE INDEX project_members_user ON project_members (user_id);

-- The one project that the invitation is for; with none it is for the whole team.
ALTER TABLE invitations ADD COLUMN project_id BLOB REFERENCES projects (id) ON DELETE CASCADE;
CREATE INDEX invitations_project ON invitations (project_id);
