//! Every statement that a test makes the store run on SQLite is explained first: none may walk through a whole table
//! whose rows grow in number with teams, agents or time. PostgreSQL has the same indexes; its plans depend on what it
//! has counted of the rows, and tell nothing in a test.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex};

use sqlx::{AssertSqlSafe, SqliteConnection};

/// Tables with a handful of rows.
const SMALL: [&str; 7] = [
    "_sqlx_migrations",
    "authorities",
    "installation",
    "master_keys",
    "plans",
    "setup_links",
    "sqlite_master",
];

/// Indexes of nothing but what is at work or due, or of the few administrators, which is never much; each statement takes all of it, or the first.
const OF_THE_LIVE: [&str; 12] = [
    "jobs_live",
    "jobs_queue",
    "jobs_leases",
    "logs_to_compact",
    "webhook_deliveries_due",
    "notification_deliveries_due",
    "plugin_runs_due",
    "push_deploys_due",
    "commit_statuses_due",
    "agents_absent",
    "users_admins",
    "billing_subscriptions_due",
];

/// Statements that are there to take all rows, or seem to.
const WHOLE: [&str; 11] = [
    // The database's own catalogue.
    "SELECT m.name, ",
    // When a backup is restored.
    "DELETE FROM sessions WHERE TRUE",
    "DELETE FROM password_resets WHERE used_at IS NULL",
    "UPDATE enrolment_tokens SET revoked_at = $1, updated_at = $1 WHERE used_at IS NULL",
    // When the server starts.
    "UPDATE agents SET session_id = NULL WHERE session_id IS NOT NULL",
    // When the first person is made.
    "SELECT COUNT(*) FROM users",
    // What an operator asks for.
    "SELECT id FROM (SELECT id FROM audit_heads",
    "UPDATE deployment_targets SET fence_epoch = 0",
    "SELECT key_version, COUNT(*) FROM",
    // Once an hour, over what is never old, nor more than a thousand of a person for longer than that.
    "SELECT user_id FROM notifications GROUP BY user_id",
    // The plan has the check of those who name a target whose id changes; it stays.
    "INSERT INTO deployment_targets",
];

static SEEN: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Panics when the plan of a statement of `module` walks through a table. What tests do themselves is their matter.
pub(crate) async fn explain(connection: &mut SqliteConnection, module: &str, sql: &str) {
    let is_new = || SEEN.lock().unwrap().insert(sql.to_owned());
    if module.contains("::tests") || module.contains("fixture") || !is_new() {
        return;
    }
    let words = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    if WHOLE.iter().any(|whole| words.starts_with(whole)) {
        return;
    }
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let plan: Vec<(i64, i64, i64, String)> =
        sqlx::query_as(explain).fetch_all(connection).await.unwrap();
    for (.., step) in plan {
        assert!(
            is_bounded(&step),
            "{step}: an index is missing, or a condition, in\n{words}"
        );
    }
}

fn is_bounded(step: &str) -> bool {
    let mut words = step.split(' ');
    if words.next() != Some("SCAN") {
        return true;
    }
    let table = words.next().unwrap_or_default();
    let virtual_table = step.contains("VIRTUAL TABLE") || table.starts_with('(');
    let live = words.any(|word| OF_THE_LIVE.contains(&word));
    live || virtual_table || SMALL.contains(&table) || table == "CONSTANT"
}

#[test]
fn walks_are_told_from_looking_up() {
    let table = [
        ("SEARCH jobs USING INDEX jobs_team (team_id=?)", true),
        ("SCAN jobs", false),
        ("SCAN jobs USING COVERING INDEX jobs_team", false),
        ("SCAN j USING INDEX jobs_live", true),
        ("SCAN plans", true),
        ("SCAN json_each VIRTUAL TABLE INDEX 1:", true),
        ("SCAN (subquery-1)", true),
        ("USE TEMP B-TREE FOR ORDER BY", true),
    ];
    for (step, bounded) in table {
        assert_eq!(is_bounded(step), bounded, "{step}");
    }
}
