-- Invitations of people into teams.

CREATE TABLE invitations (
    id BLOB PRIMARY KEY NOT NULL,
    team_id BLOB NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    email TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'viewer')),
    token_hash TEXT NOT NULL UNIQUE,
    invited_by BLOB REFERENCES users (id) ON DELETE SET NULL,
    expires_at TEXT NOT NULL,
    accepted_at TEXT,
    revoked_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX invitations_team ON invitations (team_id, id);
-- One open invitation of a person into a team.
CREATE UNIQUE INDEX invitations_open ON invitations (team_id, lower(email)) WHERE accepted_at IS NULL AND revoked_at IS NULL;
