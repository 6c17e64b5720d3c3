//! What the walk has come to.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use towline_shared::failpoint::{POINTS, Point};
use towline_tests::server::DatabaseKind;

/// Figures of all cases, taken from all workers.
#[derive(Default)]
pub struct Tally(Mutex<Figures>);

#[derive(Default)]
struct Figures {
    embedded: BTreeSet<&'static str>,
    server: BTreeSet<&'static str>,
    cases: usize,
    survived: usize,
    longest: Duration,
    slowest: String,
    effects: Effects,
    failures: Vec<String>,
}

/// What was to happen on hosts, and what did.
#[derive(Clone, Copy, Default)]
pub struct Effects {
    /// Containers that should have been made or started.
    pub expected: usize,
    /// Those that were.
    pub seen: usize,
}

impl Tally {
    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process has died where it should.
    pub fn reached(&self, database: DatabaseKind, point: &'static str) {
        let mut figures = self.figures();
        match database {
            DatabaseKind::Sqlite => figures.embedded.insert(point),
            DatabaseKind::Postgres => figures.server.insert(point),
        };
    }

    /// How long it took from the restart until all was as it should be.
    pub fn recovered(&self, after: Duration, case: &str) {
        let mut figures = self.figures();
        if after > figures.longest {
            figures.longest = after;
            case.clone_into(&mut figures.slowest);
        }
    }

    /// What has happened on a host.
    pub fn effects(&self, effects: Effects) {
        let mut figures = self.figures();
        figures.effects.expected += effects.expected;
        figures.effects.seen += effects.seen;
    }

    /// A case has ended.
    pub fn ended(&self, case: &str, after: Duration, is_good: bool) {
        let word = if is_good { "ok" } else { "FAILED" };
        println!("{word:>6} {:5.1} s  {case}", after.as_secs_f64());
        self.figures().cases += 1;
        if is_good {
            self.figures().survived += 1;
        } else {
            self.failed(case);
        }
    }

    /// Something was not as it should be.
    pub fn failed(&self, what: &str) {
        self.figures().failures.push(what.to_owned());
    }

    /// Whether nothing failed and, where all cases ran, no point was missed.
    pub fn is_good(&self, is_whole: bool) -> bool {
        let figures = self.figures();
        let missed = is_whole
            && !(figures.missed_embedded().is_empty() && figures.missed_server().is_empty());
        figures.cases > 0 && figures.failures.is_empty() && !missed
    }

    /// The figures, for a person.
    pub fn table(&self, took: Duration, is_whole: bool) -> String {
        let figures = self.figures();
        let Effects { expected, seen } = figures.effects;
        let rows = [
            (
                "points reached",
                format!("{} / {}", figures.embedded.len(), POINTS.len()),
            ),
            (
                "of the control plane on PostgreSQL",
                format!(
                    "{} / {}",
                    figures.server.len(),
                    points_of_the_plane().count()
                ),
            ),
            ("cases", figures.cases.to_string()),
            ("kills survived", figures.survived.to_string()),
            (
                "longest recovery",
                format!(
                    "{:.1} s ({})",
                    figures.longest.as_secs_f64(),
                    figures.slowest
                ),
            ),
            (
                "effects expected / seen / doubled",
                format!("{expected} / {seen} / {}", seen.saturating_sub(expected)),
            ),
            ("failures", figures.failures.len().to_string()),
            ("time", format!("{:.0} s", took.as_secs_f64())),
        ];
        let mut table = String::from("\n");
        for (name, value) in rows {
            // Writing to a string cannot fail.
            let _ = writeln!(table, "{name:<36}{value}");
        }
        for failure in &figures.failures {
            let _ = writeln!(table, "failed: {failure}");
        }
        if is_whole {
            for point in figures.missed_embedded() {
                let _ = writeln!(table, "never reached: {point}");
            }
            for point in figures.missed_server() {
                let _ = writeln!(table, "never reached on PostgreSQL: {point}");
            }
        }
        table
    }
}

impl Figures {
    fn missed_embedded(&self) -> Vec<&'static str> {
        missed(POINTS.iter(), &self.embedded)
    }

    fn missed_server(&self) -> Vec<&'static str> {
        missed(points_of_the_plane(), &self.server)
    }
}

fn points_of_the_plane() -> impl Iterator<Item = &'static Point> {
    POINTS
        .iter()
        .filter(|point| point.name.starts_with("plane: "))
}

fn missed(
    points: impl Iterator<Item = &'static Point>,
    reached: &BTreeSet<&'static str>,
) -> Vec<&'static str> {
    points
        .map(|point| point.name)
        .filter(|name| !reached.contains(name))
        .collect()
}
