-- What administrators of the installation do with people.

-- Whoever is suspended is not let in; what is theirs stays.
ALTER TABLE users ADD COLUMN suspended_at TEXT;
CREATE INDEX users_admins ON users (id) WHERE role = 'admin';
