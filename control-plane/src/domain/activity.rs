//! What of the audit log everybody in the team sees as activity.

/// Steps between others, and what only those who guard the team look for.
const KEPT_TO_THE_AUDIT_LOG: [&str; 10] = [
    "job.offer",
    "job.accept",
    "job.run",
    "job.note",
    "job.requeue",
    "agent.renew",
    "agent.violation",
    "agent.report_refused",
    "access.refuse",
    "docker.request",
];

/// Whether an action of the audit log is one that people see.
pub fn is_seen(action: &str) -> bool {
    !KEPT_TO_THE_AUDIT_LOG.contains(&action)
}
