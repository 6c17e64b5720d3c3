-- Signing in: passwords, sessions, links to a new password, second factors.

-- argon2id, as a PHC string; NULL when the person has chosen none.
ALTER TABLE users ADD COLUMN password_hash TEXT;

CREATE TABLE sessions (
    id BLOB PRIMARY KEY NOT NULL,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash TEXT NOT NULL UNIQUE,
    user_agent TEXT NOT NULL,
    address TEXT NOT NULL,
    last_used_at TEXT NOT NULL,
    -- However much it is used.
    expires_at TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_user ON sessions (user_id, id);
CREATE INDEX sessions_age ON sessions (expires_at);

CREATE TABLE password_resets (
    id BLOB PRIMARY KEY NOT NULL,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash TEXT NOT NULL UNIQUE,
    -- The administrator who made it; NULL when the person asked by mail, or it was made on the server's own machine.
    made_by BLOB REFERENCES users (id) ON DELETE SET NULL,
    expires_at TEXT NOT NULL,
    used_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX password_resets_user ON password_resets (user_id);
CREATE INDEX password_resets_maker ON password_resets (made_by);
CREATE INDEX password_resets_age ON password_resets (expires_at);

CREATE TABLE second_factors (
    id BLOB PRIMARY KEY NOT NULL,
    user_id BLOB NOT NULL UNIQUE REFERENCES users (id) ON DELETE CASCADE,
    secret_encrypted BLOB NOT NULL,
    key_version INTEGER NOT NULL,
    -- NULL until a right code has shown that the person's device has the secret.
    enabled_at TEXT,
    -- The time step of the last code that was taken: no code works twice.
    last_step INTEGER NOT NULL CHECK (last_step >= 0),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX second_factors_key_version ON second_factors (key_version, id);

CREATE TABLE recovery_codes (
    id BLOB PRIMARY KEY NOT NULL,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    code_hash TEXT NOT NULL UNIQUE,
    used_at TEXT,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX recovery_codes_user ON recovery_codes (user_id);
