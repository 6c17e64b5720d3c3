-- People who may use the Docker engine of a target's host through the control plane: they are root there.
CREATE TABLE docker_grants (
    target_id UUID NOT NULL REFERENCES deployment_targets (id) ON DELETE CASCADE,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    granted_by UUID REFERENCES users (id) ON DELETE SET NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (target_id, user_id)
);
CREATE INDEX docker_grants_user ON docker_grants (user_id);
CREATE INDEX docker_grants_granted_by ON docker_grants (granted_by);

-- The certificates by which they come: each for one host, for hours.
CREATE TABLE docker_certificates (
    id UUID PRIMARY KEY NOT NULL,
    target_id UUID NOT NULL REFERENCES deployment_targets (id) ON DELETE CASCADE,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256 of the public key.
    spki TEXT NOT NULL,
    not_after TIMESTAMPTZ NOT NULL,
    revoked_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX docker_certificates_target ON docker_certificates (target_id, id);
CREATE INDEX docker_certificates_user ON docker_certificates (user_id, target_id);
