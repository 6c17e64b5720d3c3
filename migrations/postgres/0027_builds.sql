-- Builds on another host than the one that runs what was built.

-- A deployment may wait for this job's images; the job is of a deployment of its own, of the kind `build`.
ALTER TABLE jobs ADD COLUMN builds_for UUID REFERENCES deployments (id) ON DELETE NO ACTION;
CREATE UNIQUE INDEX jobs_builds_for ON jobs (builds_for) WHERE builds_for IS NOT NULL;

-- Images that a job has built, and the layers they have. Layers are files by their digest.
CREATE TABLE built_images (
    id UUID PRIMARY KEY,
    job_id UUID NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    team_id UUID NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    service TEXT NOT NULL,
    -- What its engine called it.
    reference TEXT NOT NULL,
    -- The digest of the configuration.
    image_id TEXT NOT NULL,
    config BYTEA NOT NULL,
    -- On the disk of an engine that has no layer of it, in bytes.
    size BIGINT NOT NULL CHECK (size >= 0),
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (job_id, service)
);
CREATE INDEX built_images_known ON built_images (team_id, image_id);

ALTER TABLE deployments DROP CONSTRAINT deployments_kind_check;
ALTER TABLE deployments ADD CONSTRAINT deployments_kind_check CHECK (kind IN ('deploy', 'remove', 'build'));
