-- Builds on another host than the one that runs what was built.

-- A check cannot be changed otherwise without making the table anew, on which others depend by cascade. This way is the
-- documented one for changes that touch no content (https://www.sqlite.org/lang_altertable.html#otheralter).
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (kind IN (''deploy'', ''remove''))', 'CHECK (kind IN (''deploy'', ''remove'', ''build''))')
WHERE type = 'table' AND name = 'deployments';
PRAGMA writable_schema = RESET;

-- A deployment may wait for this job's images; the job is of a deployment of its own, of the kind `build`.
ALTER TABLE jobs ADD COLUMN builds_for BLOB REFERENCES deployments (id) ON DELETE NO ACTION;
CREATE UNIQUE INDEX jobs_builds_for ON jobs (builds_for) WHERE builds_for IS NOT NULL;

-- Images that a job has built, and the layers they have. Layers are files by their digest.
CREATE TABLE built_images (
    id BLOB PRIMARY KEY NOT NULL,
    job_id BLOB NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    team_id BLOB NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    service TEXT NOT NULL,
    -- What its engine called it.
    reference TEXT NOT NULL,
    -- The digest of the configuration.
    image_id TEXT NOT NULL,
    config BLOB NOT NULL,
    -- On the disk of an engine that has no layer of it, in bytes.
    size INTEGER NOT NULL CHECK (size >= 0),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (job_id, service)
) STRICT;
CREATE INDEX built_images_known ON built_images (team_id, image_id);
