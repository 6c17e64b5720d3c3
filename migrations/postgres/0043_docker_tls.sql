-- Engines that are reached over TLS, with no agent on their host: what is known of their certificates, and which server
-- has their agent beside it. The client's files are sealed in `deployment_targets.auth`.
CREATE TABLE docker_tls_targets (
    id UUID PRIMARY KEY NOT NULL REFERENCES deployment_targets (id) ON DELETE CASCADE,
    client_subject TEXT NOT NULL,
    client_fingerprint TEXT NOT NULL,
    client_not_after TIMESTAMPTZ NOT NULL,
    authority_subject TEXT NOT NULL,
    authority_fingerprint TEXT NOT NULL,
    authority_not_after TIMESTAMPTZ NOT NULL,
    -- As the engine last showed it.
    server_subject TEXT NOT NULL,
    server_fingerprint TEXT NOT NULL,
    server_not_after TIMESTAMPTZ NOT NULL,
    -- Whether the engine refuses who has no certificate.
    guard TEXT NOT NULL CHECK (guard IN ('closed', 'open')),
    -- The end of the first of the three to end, and how many days before it people were last told.
    first_not_after TIMESTAMPTZ NOT NULL,
    told_days BIGINT,
    -- Goes up when the client's files are replaced.
    revision BIGINT NOT NULL CHECK (revision >= 1),
    checked_at TIMESTAMPTZ NOT NULL,
    -- Why the agent beside the server cannot work, in words for people.
    trouble TEXT,
    -- The server that has the agent beside it, and until when it may.
    holder UUID,
    lease_expires_at TIMESTAMPTZ NOT NULL,
    -- The server in whose folder the agent's identity is.
    home UUID,
    created_by UUID REFERENCES users (id) ON DELETE SET NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX docker_tls_targets_first ON docker_tls_targets (first_not_after);
CREATE INDEX docker_tls_targets_holder ON docker_tls_targets (holder);
CREATE INDEX docker_tls_targets_lease ON docker_tls_targets (lease_expires_at);
CREATE INDEX docker_tls_targets_creator ON docker_tls_targets (created_by);

-- A token for the agent of such a target, which no other host can use.
ALTER TABLE enrolment_tokens ADD COLUMN target_id UUID REFERENCES deployment_targets (id) ON DELETE CASCADE;
CREATE INDEX enrolment_tokens_target ON enrolment_tokens (target_id);
ALTER TABLE agents ADD COLUMN kind TEXT NOT NULL DEFAULT 'host' CHECK (kind IN ('host', 'docker_tls'));
