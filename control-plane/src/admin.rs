//! What an operator does to an installation from its own machine, while no server runs on it.

use crate::config::Config;
use crate::error::StartError;
use crate::serve::open_store;

/// After a restored backup: makes every fence given out from now on higher than any given out since the
/// backup was taken.
pub async fn raise_incarnation(config: Config) -> Result<(), StartError> {
    let store = open_store(&config).await?;
    let raised = store.raise_incarnation().await;
    store.close().await;
    println!(
        "The incarnation is {} now. Start the server; the agents go on by themselves.",
        raised?
    );
    Ok(())
}

/// Checks that no entry of the audit log was changed or removed.
pub async fn verify_audit(config: Config) -> Result<(), StartError> {
    let store = open_store(&config).await?;
    let report = store.verify_audit().await;
    store.close().await;
    let report = report?;
    for broken in &report.broken {
        println!("{broken}");
    }
    if report.broken.is_empty() {
        println!(
            "The audit log is whole: {} entries in {} chains.",
            report.rows, report.chains
        );
        Ok(())
    } else {
        Err(StartError::Audit(report.broken.len()))
    }
}
