-- What teams have used of their plans, counted by UTC days in the transactions that use it. A counter
-- outlives its project: deleting one gives nothing back.
CREATE TABLE usage_metrics (
    id BLOB PRIMARY KEY NOT NULL,
    team_id BLOB NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    -- The team's owner when the counter began, whose plan it counts against.
    user_id BLOB REFERENCES users (id) ON DELETE SET NULL,
    project_id BLOB REFERENCES projects (id) ON DELETE SET NULL,
    metric_type TEXT NOT NULL CHECK (metric_type IN ('deployments', 'builds', 'build_seconds', 'log_bytes')),
    count INTEGER NOT NULL CHECK (count >= 0),
    period_start TEXT NOT NULL,
    period_end TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (team_id, period_start, metric_type, project_id)
) STRICT;
CREATE INDEX usage_metrics_project ON usage_metrics (project_id);
CREATE INDEX usage_metrics_user ON usage_metrics (user_id);
CREATE INDEX usage_metrics_age ON usage_metrics (period_end);

-- What was deployed before this table stood: an upgrade gives no quota back.
INSERT INTO usage_metrics (id, team_id, user_id, project_id, metric_type, count, period_start, period_end, created_at, updated_at)
SELECT randomblob(16), d.team_id, t.owner_id, d.project_id, 'deployments', COUNT(*), strftime('%Y-%m-%dT00:00:00+00:00', d.created_at),
    strftime('%Y-%m-%dT00:00:00+00:00', d.created_at, '+1 day'), MIN(d.created_at), MAX(d.created_at)
FROM deployments d JOIN teams t ON t.id = d.team_id
WHERE d.kind = 'deploy'
GROUP BY d.team_id, t.owner_id, d.project_id, strftime('%Y-%m-%dT00:00:00+00:00', d.created_at),
    strftime('%Y-%m-%dT00:00:00+00:00', d.created_at, '+1 day');
-- Nobody counts a team's last 24 hours any more.
DROP INDEX deployments_recent;

-- Since when the job's agent builds images; NULL when it does not.
ALTER TABLE jobs ADD COLUMN building_since TEXT;
