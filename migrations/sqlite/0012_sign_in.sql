-- Signing in: passwords and sessions.

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
