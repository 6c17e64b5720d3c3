//! Salt, which `tests/setup --bench` brought: a peer that pushes work to agents over an open connection.

use towline_tests::parts::{Parts, repository};
use towline_tests::process::{guarded, output};
use towline_tests::scratch::Scratch;

/// Milliseconds from each call of Salt's client to the start of the process that it asks for.
pub fn dispatches(rounds: usize) -> Vec<f64> {
    let folder = Scratch::new("salt");
    let mut command = guarded(Parts::locate().salt());
    command
        .arg(repository().join("tests/peers/salt_dispatch.py"))
        .arg(folder.path())
        .arg(rounds.to_string());
    let printed = output(command);
    let figures: Vec<f64> = printed
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    assert_eq!(figures.len(), rounds, "{printed}");
    figures
}
