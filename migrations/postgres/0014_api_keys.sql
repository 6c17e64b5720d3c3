-- What an API key is for, and how often keys may ask.

-- The one project that it is for; with none it is for all that its person's role reaches.
ALTER TABLE api_keys ADD COLUMN project_id UUID REFERENCES projects (id) ON DELETE CASCADE;
-- NULL: as often as the plan allows.
ALTER TABLE api_keys ADD COLUMN requests_per_minute BIGINT CHECK (requests_per_minute > 0);
CREATE INDEX api_keys_project ON api_keys (project_id);

-- Of all of a team's requests together. NULL: without limit.
ALTER TABLE plans ADD COLUMN max_requests_per_minute BIGINT CHECK (max_requests_per_minute >= 0);
UPDATE plans SET max_requests_per_minute = 600 WHERE name = 'Free';
UPDATE plans SET max_requests_per_minute = 3000 WHERE name = 'Pro';
