-- Going back to an earlier release.

-- The deployment whose release, and whose images, this one brings back.
ALTER TABLE deployments ADD COLUMN rollback_of BLOB REFERENCES deployments (id) ON DELETE SET NULL;
-- What happens on the host when it does not come up.
ALTER TABLE deployments ADD COLUMN on_failure TEXT NOT NULL DEFAULT 'leave' CHECK (on_failure IN ('leave', 'roll_back'));
CREATE INDEX deployments_rollback ON deployments (rollback_of);
CREATE INDEX releases_project ON releases (project_id, id);
