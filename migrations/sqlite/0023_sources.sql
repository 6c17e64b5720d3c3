-- Where projects come from when nobody uploads them, and the ways of their commits to targets.

CREATE TABLE project_sources (
    id BLOB PRIMARY KEY NOT NULL,
    project_id BLOB NOT NULL UNIQUE REFERENCES projects (id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    -- Which branch is deployed when nothing else is said; NULL: the one that the repository shows first.
    branch TEXT,
    -- Where in the repository the project is; empty: all of it.
    folder TEXT NOT NULL,
    -- Who reads it, and by which password or token; neither where it is public.
    login TEXT,
    password_encrypted BLOB,
    key_version INTEGER NOT NULL,
    -- What was read last.
    commit_sha TEXT NOT NULL,
    title TEXT NOT NULL,
    read_at TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    CHECK (password_encrypted IS NULL OR login IS NOT NULL)
) STRICT;
CREATE INDEX project_sources_key_version ON project_sources (key_version, id);

-- The commit that a release is built from, as the job's specification has it.
ALTER TABLE releases ADD COLUMN source BLOB;
-- The address in it.
ALTER TABLE releases ADD COLUMN source_url TEXT;

CREATE TABLE ci_pipelines (
    id BLOB PRIMARY KEY NOT NULL,
    team_id BLOB NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    project_id BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    -- The deployment that it is the way of, when agents go it.
    deployment_id BLOB UNIQUE REFERENCES deployments (id) ON DELETE CASCADE,
    provider TEXT NOT NULL CHECK (provider IN ('towline', 'github_actions', 'gitlab_ci', 'bitbucket_pipelines', 'jenkins')),
    status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'cancelled')),
    commit_sha TEXT NOT NULL,
    branch TEXT,
    title TEXT NOT NULL,
    -- Where its log is read.
    log_url TEXT,
    started_at TEXT,
    finished_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX ci_pipelines_project ON ci_pipelines (project_id, id);
CREATE INDEX ci_pipelines_team ON ci_pipelines (team_id);

CREATE TABLE pipeline_steps (
    id BLOB PRIMARY KEY NOT NULL,
    pipeline_id BLOB NOT NULL REFERENCES ci_pipelines (id) ON DELETE CASCADE,
    -- Its place among the others, from 0.
    position INTEGER NOT NULL CHECK (position >= 0),
    name TEXT NOT NULL CHECK (name IN ('clone', 'detect', 'generate', 'build', 'publish', 'relay', 'deploy')),
    status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'cancelled', 'skipped')),
    -- The job under whose id the log store has its log.
    log BLOB,
    started_at TEXT,
    finished_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (pipeline_id, position)
) STRICT;
