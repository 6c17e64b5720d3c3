-- Plans, people, teams and their keys.

CREATE TABLE plans (
    id UUID PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- In cents of the currency, per month.
    price BIGINT NOT NULL CHECK (price >= 0),
    currency TEXT NOT NULL,
    -- NULL is unlimited.
    max_projects BIGINT CHECK (max_projects >= 0),
    max_deployments_per_day BIGINT CHECK (max_deployments_per_day >= 0),
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

INSERT INTO plans (id, name, price, currency, max_projects, max_deployments_per_day, created_at, updated_at) VALUES
    ('01980000-0000-7000-8000-000000000001', 'Free', 0, 'EUR', 3, 50, '2025-01-01T00:00:00+00:00', '2025-01-01T00:00:00+00:00'),
    ('01980000-0000-7000-8000-000000000002', 'Pro', 1900, 'EUR', 50, 1000, '2025-01-01T00:00:00+00:00', '2025-01-01T00:00:00+00:00'),
    ('01980000-0000-7000-8000-000000000003', 'Enterprise', 9900, 'EUR', NULL, NULL, '2025-01-01T00:00:00+00:00', '2025-01-01T00:00:00+00:00');

CREATE TABLE users (
    id UUID PRIMARY KEY,
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('user', 'admin')),
    plan_id UUID NOT NULL REFERENCES plans (id) ON DELETE RESTRICT,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX users_email ON users (lower(email));

CREATE TABLE teams (
    id UUID PRIMARY KEY,
    name TEXT NOT NULL,
    owner_id UUID NOT NULL REFERENCES users (id) ON DELETE RESTRICT,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX teams_owner ON teams (owner_id);

CREATE TABLE team_members (
    id UUID PRIMARY KEY,
    team_id UUID NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'viewer')),
    joined_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (team_id, user_id)
);
CREATE INDEX team_members_user ON team_members (user_id);

CREATE TABLE api_keys (
    id UUID PRIMARY KEY,
    team_id UUID NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    -- The first characters, by which people recognize a key.
    prefix TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    last_used_at TIMESTAMPTZ,
    expires_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX api_keys_team ON api_keys (team_id, id);
CREATE INDEX api_keys_user ON api_keys (user_id);

CREATE TABLE setup_links (
    id UUID PRIMARY KEY,
    token_hash TEXT NOT NULL UNIQUE,
    used_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
