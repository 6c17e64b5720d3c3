//! `./dev failpoints`: aborts the real programs at each failpoint, starts them again, and checks that nothing was lost,
//! done twice or left behind.
//!
//! Each case sets one point, walks a way that leads past it, sees the process die there, starts it again and looks at
//! the engine, the database, the log and the agent's folders. A point that no case reaches is a failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a case says what went wrong"
)]

mod cases;
mod order;
mod rest;
mod stage;
mod tally;
mod ways;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Parser;
use towline_tests::server::DatabaseKind;

use crate::cases::Case;
use crate::stage::Stage;
use crate::tally::Tally;

#[derive(Parser)]
#[command(
    about = "Aborts Towline's programs at each failpoint and checks what becomes of the work"
)]
struct Arguments {
    /// Only the cases whose name contains this.
    filter: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = arguments.filter.as_deref().unwrap_or_default();
    let tally = Tally::default();
    let began = Instant::now();
    let lines: Vec<Line> = DatabaseKind::ALL
        .into_iter()
        .map(|database| Line::new(database, filter))
        .collect();
    std::thread::scope(|scope| {
        for line in &lines {
            for number in 0..line.workers {
                let worker = std::thread::Builder::new()
                    .name(format!("{:?} {number}", line.database).to_lowercase());
                worker
                    .spawn_scoped(scope, || work(line, &tally))
                    .expect("a thread can be started");
            }
        }
    });
    let is_whole = filter.is_empty();
    println!("{}", tally.table(began.elapsed(), is_whole));
    if tally.is_good(is_whole) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The cases on one database that wait for a worker.
struct Line {
    database: DatabaseKind,
    /// How many installations work side by side.
    workers: usize,
    waiting: Mutex<VecDeque<Case>>,
}

impl Line {
    fn new(database: DatabaseKind, filter: &str) -> Self {
        let cases = cases::on(database)
            .into_iter()
            .filter(|case| case.name().contains(filter));
        // So that both lines end at about the same time: the embedded database has all the cases.
        let workers = match database {
            DatabaseKind::Sqlite => 3,
            DatabaseKind::Postgres => 2,
        };
        Self {
            database,
            workers,
            waiting: Mutex::new(cases.collect()),
        }
    }

    fn next(&self) -> Option<Case> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    }
}

/// Takes cases until there are no more, all on one installation; after a failure on a new one.
fn work(line: &Line, tally: &Tally) {
    let mut kept: Option<Stage<'_>> = None;
    while let Some(case) = line.next() {
        let began = Instant::now();
        let walked = catch_unwind(AssertUnwindSafe(|| {
            let stage = kept.get_or_insert_with(|| Stage::start(line.database, tally));
            ways::walk(stage, &case);
        }));
        let name = format!("{:?} {}", line.database, case.name()).to_lowercase();
        tally.ended(&name, began.elapsed(), walked.is_ok());
        if walked.is_err() {
            kept = None;
        }
    }
    let closed = catch_unwind(AssertUnwindSafe(|| kept.into_iter().for_each(Stage::close)));
    if closed.is_err() {
        tally.failed(&format!(
            "the end of an installation on {:?}",
            line.database
        ));
    }
}
