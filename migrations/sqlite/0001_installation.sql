-- The installation itself and its certificate authorities.

CREATE TABLE installation (
    id BLOB PRIMARY KEY NOT NULL,
    -- There is one row.
    singleton INTEGER NOT NULL UNIQUE CHECK (singleton = 1),
    -- Raised after a restore from backup; new targets begin with it.
    incarnation INTEGER NOT NULL CHECK (incarnation >= 1),
    -- A sealed value by which a wrong master key shows at once.
    key_check BLOB NOT NULL,
    key_version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

CREATE TABLE authorities (
    id BLOB PRIMARY KEY NOT NULL,
    fingerprint TEXT NOT NULL UNIQUE,
    certificate TEXT NOT NULL,
    key_encrypted BLOB NOT NULL,
    key_version INTEGER NOT NULL,
    -- current signs agents; retiring is still trusted during a rotation.
    state TEXT NOT NULL CHECK (state IN ('current', 'retiring', 'retired')),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX authorities_one_per_state ON authorities (state) WHERE state <> 'retired';
