-- People who may use the Docker engine of a target's host through the control plane: they are root there.
CREATE TABLE docker_grants (
    target_id BLOB NOT NULL REFERENCES deployment_targets (id) ON DELETE CASCADE,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    granted_by BLOB REFERENCES users (id) ON DELETE SET NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (target_id, user_id)
) STRICT;
CREATE INDEX docker_grants_user ON docker_grants (user_id);
CREATE INDEX docker_grants_granted_by ON docker_grants (granted_by);

-- The certificates by which they come: each for one host, for hours.
CREATE TABLE docker_certificates (
    id BLOB PRIMARY KEY NOT NULL,
    target_id BLOB NOT NULL REFERENCES deployment_targets (id) ON DELETE CASCADE,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256 of the public key.
    spki TEXT NOT NULL,
    not_after TEXT NOT NULL,
    revoked_at TEXT,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX docker_certificates_target ON docker_certificates (target_id, id);
CREATE INDEX docker_certificates_user ON docker_certificates (user_id, target_id);
