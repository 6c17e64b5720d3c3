-- Signing in at a provider of identities (OAuth, OpenID Connect).

CREATE TABLE oauth_identities (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The provider's id in the configuration.
    provider TEXT NOT NULL,
    -- By what the provider knows the person.
    subject TEXT NOT NULL,
    -- As the provider has verified it last, to be shown; it decides nothing.
    email TEXT,
    last_used_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (provider, subject)
);
CREATE INDEX oauth_identities_user ON oauth_identities (user_id, id);

-- Somebody was sent to a provider and has not come back yet.
CREATE TABLE oauth_attempts (
    id UUID PRIMARY KEY,
    provider TEXT NOT NULL,
    state_hash TEXT NOT NULL UNIQUE,
    -- Of the secret in the cookie of the browser that was sent.
    browser_hash TEXT NOT NULL,
    -- The verifier of PKCE and the nonce.
    secrets_encrypted BYTEA NOT NULL,
    key_version BIGINT NOT NULL,
    -- To whose account to link; NULL when somebody signs in.
    user_id UUID REFERENCES users (id) ON DELETE CASCADE,
    expires_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX oauth_attempts_user ON oauth_attempts (user_id);
CREATE INDEX oauth_attempts_key_version ON oauth_attempts (key_version, id);
CREATE INDEX oauth_attempts_age ON oauth_attempts (expires_at);

-- A provider has shown who it is; a code of the second factor is missing.
CREATE TABLE waiting_sign_ins (
    id UUID PRIMARY KEY,
    identity_id UUID NOT NULL REFERENCES oauth_identities (id) ON DELETE CASCADE,
    browser_hash TEXT NOT NULL UNIQUE,
    expires_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX waiting_sign_ins_identity ON waiting_sign_ins (identity_id);
CREATE INDEX waiting_sign_ins_age ON waiting_sign_ins (expires_at);
