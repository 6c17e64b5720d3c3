//! `towline`: the command line of a Towline installation, a thin client of its public API.

mod api;
mod arguments;
mod bundle;
mod commands;
mod config;
mod connection;
mod exit;
mod folder;
mod follow;
mod output;
mod private_files;
mod prompt;
mod trust;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, misused};
use commands::Session;
use exit::{Exit, Failure};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misused(&error),
    };
    let session = Session::new(&arguments);
    let ended = run(arguments, &session);
    let exit = ended.unwrap_or_else(|failure| {
        session.output.failure(&failure);
        failure.exit()
    });
    ExitCode::from(exit.code())
}

fn run(arguments: Arguments, session: &Session) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage("The program cannot start").detail(error.to_string()))?;
    let ended = runtime.block_on(commands::run(arguments.command, session));
    // A thread may still wait for a line from the terminal; nobody waits for it.
    runtime.shutdown_background();
    ended
}
