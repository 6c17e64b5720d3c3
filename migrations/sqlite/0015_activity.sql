-- What people see of what was done in their team, beside the audit log, whose ids the rows have.

CREATE TABLE activity_logs (
    id BLOB PRIMARY KEY NOT NULL,
    team_id BLOB NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    -- Nobody, where an agent or the control plane did it by itself.
    user_id BLOB REFERENCES users (id) ON DELETE SET NULL,
    project_id BLOB REFERENCES projects (id) ON DELETE SET NULL,
    action TEXT NOT NULL,
    subject_type TEXT NOT NULL,
    subject_id BLOB,
    metadata TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX activity_logs_team ON activity_logs (team_id, id);
CREATE INDEX activity_logs_of_project ON activity_logs (team_id, project_id, id);
CREATE INDEX activity_logs_of_user ON activity_logs (team_id, user_id, id);
CREATE INDEX activity_logs_of_action ON activity_logs (team_id, action, id);
CREATE INDEX activity_logs_user ON activity_logs (user_id);
CREATE INDEX activity_logs_project ON activity_logs (project_id);
CREATE INDEX audit_logs_actor ON audit_logs (team_id, actor_id, id);

-- What was done before.
INSERT INTO activity_logs (id, team_id, user_id, project_id, action, subject_type, subject_id, metadata, created_at)
SELECT l.id, t.id, u.id, COALESCE(p.id, d.project_id), l.action, l.subject_type, l.subject_id, l.detail, l.created_at
FROM audit_logs l
    JOIN teams t ON t.id = l.team_id
    LEFT JOIN users u ON u.id = l.actor_id
    LEFT JOIN projects p ON p.id = l.subject_id
    LEFT JOIN deployments d ON d.id = l.subject_id
WHERE l.action NOT IN ('job.offer', 'job.accept', 'job.run', 'job.note', 'job.requeue', 'agent.renew', 'agent.violation',
    'agent.report_refused');

-- Lists of one project's, target's or status's deployments.
CREATE INDEX deployments_of_project ON deployments (team_id, project_id, id);
CREATE INDEX deployments_on_target ON deployments (team_id, target_id, id);
CREATE INDEX deployments_with_status ON deployments (team_id, status, id);
-- What is deleted because it is old.
CREATE INDEX enrolment_tokens_age ON enrolment_tokens (expires_at);
