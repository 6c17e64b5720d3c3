//! `towline-sim`: runs seeds of the simulation, or tells one of them.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use towline_simulation::{Figures, Store, many, run};

/// Simulates control plane and agents in a faulty world
#[derive(Debug, Parser)]
#[command(name = "towline-sim")]
struct Arguments {
    /// Tell the story of this seed
    #[arg(long, conflicts_with_all = ["seeds", "hours"])]
    seed: Option<u64>,
    /// How many seeds to run
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run for so many hours instead
    #[arg(long, conflicts_with = "seeds")]
    hours: Option<f64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return tell(seed);
    }
    let began = Instant::now();
    let (figures, broken) = match arguments.hours {
        Some(hours) => soak(arguments.from, Duration::from_secs_f64(hours * 3600.0)),
        None => many(
            arguments.from..arguments.from + arguments.seeds,
            Store::Model,
        ),
    };
    println!("{figures}in {:.1} s", began.elapsed().as_secs_f64());
    for (seed, what) in &broken {
        println!("seed {seed}: {what}");
    }
    if broken.is_empty() {
        ExitCode::SUCCESS
    } else {
        println!(
            "tell the story of one with: ./dev sim --seed {}",
            broken[0].0
        );
        ExitCode::FAILURE
    }
}

fn tell(seed: u64) -> ExitCode {
    let ran = run(seed, Store::Model, true);
    for line in &ran.trace {
        println!("{line}");
    }
    print!("\n{}", ran.figures);
    if let Some(what) = ran.broken {
        println!("\nBROKEN: {what}");
        return ExitCode::FAILURE;
    }
    println!("\nevery invariant holds");
    ExitCode::SUCCESS
}

/// Batches of seeds until the time is over or one breaks.
fn soak(from: u64, limit: Duration) -> (Figures, Vec<(u64, String)>) {
    let (began, mut next) = (Instant::now(), from);
    let mut total = Figures::default();
    loop {
        let (figures, broken) = many(next..next + 1000, Store::Model);
        total.add(&figures);
        next += 1000;
        eprintln!(
            "{} seeds, {:.0} s",
            total.seeds,
            began.elapsed().as_secs_f64()
        );
        if !broken.is_empty() || began.elapsed() >= limit {
            return (total, broken);
        }
    }
}
