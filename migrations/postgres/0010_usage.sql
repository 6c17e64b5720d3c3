-- What teams have used of their plans, counted by UTC days in the transactions that use it. A counter
-- outlives its project: deleting one gives nothing back.
CREATE TABLE usage_metrics (
    id UUID PRIMARY KEY,
    team_id UUID NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    -- The team's owner when the counter began, whose plan it counts against.
    user_id UUID REFERENCES users (id) ON DELETE SET NULL,
    project_id UUID REFERENCES projects (id) ON DELETE SET NULL,
    metric_type TEXT NOT NULL CHECK (metric_type IN ('deployments', 'builds', 'build_seconds', 'log_bytes')),
    count BIGINT NOT NULL CHECK (count >= 0),
    period_start TIMESTAMPTZ NOT NULL,
    period_end TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (team_id, period_start, metric_type, project_id)
);
CREATE INDEX usage_metrics_project ON usage_metrics (project_id);
CREATE INDEX usage_metrics_user ON usage_metrics (user_id);
CREATE INDEX usage_metrics_age ON usage_metrics (period_end);

-- What was deployed before this table stood: an upgrade gives no quota back.
INSERT INTO usage_metrics (id, team_id, user_id, project_id, metric_type, count, period_start, period_end, created_at, updated_at)
SELECT gen_random_uuid(), d.team_id, t.owner_id, d.project_id, 'deployments', COUNT(*), date_trunc('day', d.created_at, 'UTC'),
    date_trunc('day', d.created_at, 'UTC') + INTERVAL '24 hours', MIN(d.created_at), MAX(d.created_at)
FROM deployments d JOIN teams t ON t.id = d.team_id
WHERE d.kind = 'deploy'
GROUP BY d.team_id, t.owner_id, d.project_id, date_trunc('day', d.created_at, 'UTC'),
    date_trunc('day', d.created_at, 'UTC') + INTERVAL '24 hours';
-- Nobody counts a team's last 24 hours any more.
DROP INDEX deployments_recent;

-- Since when the job's agent builds images; NULL when it does not.
ALTER TABLE jobs ADD COLUMN building_since TIMESTAMPTZ;
