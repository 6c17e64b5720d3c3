//! What an operator does to an installation from its own machine, while no server runs on it; the
//! master key is exchanged, and backups are made, while servers run.

pub mod backup;
pub mod rotate_ca;
pub mod rotate_master_key;

use std::io::Write as _;

use crate::config::Config;
use crate::error::StartError;
use crate::serve::{expected_url, open_store};
use crate::store::password_resets::Maker;
use crate::store::{AuditExport, Result, Span, Store, StoreError};

/// Opens the store for one piece of work, and closes it whatever came of that.
async fn with_store<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Store) -> Result<T>,
) -> std::result::Result<T, StartError> {
    let store = open_store(config).await?;
    let done = work(&store).await;
    store.close().await;
    done.map_err(refused)
}

fn refused(error: StoreError) -> StartError {
    match error {
        StoreError::Conflict { message, remedy } => StartError::Refused { message, remedy },
        error => error.into(),
    }
}

/// After a restored backup: makes every fence given out from now on higher than any given out since the
/// backup was taken.
pub async fn raise_incarnation(config: Config) -> std::result::Result<(), StartError> {
    let raised = with_store(&config, async |store| store.raise_incarnation().await).await?;
    println!("The incarnation is {raised} now. Start the server; the agents go on by themselves.");
    Ok(())
}

/// Prints a link by which somebody chooses a new password: also the way back in for the only
/// administrator.
pub async fn reset_link(config: Config, email: String) -> std::result::Result<(), StartError> {
    let made = with_store(&config, async |store| {
        let account = store.account_by_email(&email).await?;
        let account = account.ok_or_else(|| StoreError::Conflict {
            message: format!("nobody here has the address {email}"),
            remedy: "check how it is spelled".to_owned(),
        })?;
        let made = store.make_reset(account.user, Maker::Operator).await?;
        Ok((made, store.server_authority().await?.fingerprint()))
    });
    let (made, authority) = made.await?;
    let trust = match config.public.certificate {
        Some(_) => String::new(),
        None => format!(".{authority}"),
    };
    println!(
        "Start the server. This link works once, until {}:\n\n  {}/reset#{}{trust}\n",
        made.expires_at.format("%Y-%m-%d %H:%M UTC"),
        expected_url(&config),
        *made.token
    );
    Ok(())
}

/// Checks that no entry of the audit log was changed or removed.
pub async fn verify_audit(config: Config) -> std::result::Result<(), StartError> {
    let report = with_store(&config, async |store| store.verify_audit().await).await?;
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

/// Writes the entries of the audit log to stdout, one JSON document a line.
pub async fn export_audit(config: Config, span: Span) -> std::result::Result<(), StartError> {
    let mut stdout = std::io::stdout().lock();
    with_store(&config, async |store| {
        let mut export = AuditExport::of_all(span);
        loop {
            let entries = store.export_audit(&mut export).await?;
            if entries.is_empty() {
                return Ok(stdout.flush());
            }
            let mut text = Vec::new();
            for entry in &entries {
                entry.write_line(&mut text)?;
            }
            if let Err(error) = stdout.write_all(&text) {
                return Ok(Err(error));
            }
        }
    })
    .await?
    .map_err(Into::into)
}
