-- Secrets per environment, with their former values; which deployment was given which; the master key's versions.

-- Versions of the master key. The keys themselves stand in no database: each is known by its fingerprint.
CREATE TABLE master_keys (
    id UUID PRIMARY KEY,
    version BIGINT NOT NULL UNIQUE CHECK (version >= 1),
    fingerprint TEXT NOT NULL UNIQUE,
    -- current seals; under retiring there are values yet that a rotation has not come to.
    state TEXT NOT NULL CHECK (state IN ('current', 'retiring', 'retired')),
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX master_keys_one_per_state ON master_keys (state) WHERE state <> 'retired';

-- Empty for all environments.
ALTER TABLE secrets ADD COLUMN environment TEXT NOT NULL DEFAULT '';
ALTER TABLE secrets ALTER COLUMN environment DROP DEFAULT;
-- Who set this version.
ALTER TABLE secrets ADD COLUMN set_by UUID REFERENCES users (id) ON DELETE SET NULL;
ALTER TABLE secrets DROP CONSTRAINT secrets_project_id_scope_key_key;
ALTER TABLE secrets ADD UNIQUE (project_id, scope, key, environment);
CREATE INDEX secrets_setter ON secrets (set_by);
CREATE INDEX secrets_key_version ON secrets (key_version, id);

-- Former values, sealed as they were.
CREATE TABLE secret_versions (
    id UUID PRIMARY KEY,
    secret_id UUID NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    version BIGINT NOT NULL CHECK (version >= 1),
    value_encrypted BYTEA NOT NULL,
    key_version BIGINT NOT NULL,
    set_by UUID REFERENCES users (id) ON DELETE SET NULL,
    set_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (secret_id, version)
);
CREATE INDEX secret_versions_setter ON secret_versions (set_by);
CREATE INDEX secret_versions_key_version ON secret_versions (key_version, id);

-- What a deployment was given when its agent was last offered it.
CREATE TABLE deployment_secrets (
    deployment_id UUID NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    secret_id UUID REFERENCES secrets (id) ON DELETE SET NULL,
    key TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('build', 'deploy', 'pipeline')),
    environment TEXT NOT NULL,
    version BIGINT NOT NULL CHECK (version >= 1),
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (deployment_id, scope, key)
);
CREATE INDEX deployment_secrets_secret ON deployment_secrets (secret_id, version);

-- For which environment it is; NULL for none.
ALTER TABLE deployments ADD COLUMN environment TEXT;
CREATE INDEX deployments_succeeded ON deployments (project_id, target_id, id) WHERE status = 'succeeded';
CREATE INDEX deployments_live ON deployments (project_id, id) WHERE status IN ('offered', 'accepted', 'running', 'unknown');

-- What is under way at the upgrade goes on with what it has.
INSERT INTO deployment_secrets (deployment_id, secret_id, key, scope, environment, version, created_at)
SELECT d.id, s.id, s.key, s.scope, s.environment, s.version, d.updated_at
FROM deployments d JOIN secrets s ON s.project_id = d.project_id
WHERE d.status IN ('offered', 'accepted', 'running', 'unknown') AND s.scope = 'deploy';
