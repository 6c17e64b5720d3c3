-- The installation itself and its certificate authorities.

CREATE TABLE installation (
    id UUID PRIMARY KEY,
    -- There is one row.
    singleton BIGINT NOT NULL UNIQUE CHECK (singleton = 1),
    -- Raised after a restore from backup; new targets begin with it.
    incarnation BIGINT NOT NULL CHECK (incarnation >= 1),
    -- A sealed value by which a wrong master key shows at once.
    key_check BYTEA NOT NULL,
    key_version BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE authorities (
    id UUID PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE,
    certificate TEXT NOT NULL,
    key_encrypted BYTEA NOT NULL,
    key_version BIGINT NOT NULL,
    -- current signs agents; retiring is still trusted during a rotation.
    state TEXT NOT NULL CHECK (state IN ('current', 'retiring', 'retired')),
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX authorities_one_per_state ON authorities (state) WHERE state <> 'retired';
