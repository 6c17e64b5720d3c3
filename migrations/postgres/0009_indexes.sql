-- The deployments of a team's last day, which its plan counts.
CREATE INDEX deployments_recent ON deployments (team_id, created_at);
-- What is deleted because it is old.
CREATE INDEX certificates_age ON certificates (not_after);
-- Waiting times are looked at together with all other queued jobs.
DROP INDEX jobs_delayed;
