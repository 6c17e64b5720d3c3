-- For how many of its last releases a project's hosts keep images.
ALTER TABLE projects ADD COLUMN keep_releases BIGINT NOT NULL DEFAULT 5 CHECK (keep_releases >= 1 AND keep_releases <= 50);
