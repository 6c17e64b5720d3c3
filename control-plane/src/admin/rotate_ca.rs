//! Exchanging the certificate authority: two are trusted while agents move from one to the other.
//!
//! A server that runs meanwhile, on PostgreSQL, follows within ten minutes.

use towline_pki::Rotation;

use super::with_store;
use crate::config::Config;
use crate::error::StartError;
use crate::store::{Dependent, Retirement};

/// Agents that are named; there is no use in longer lists.
const NAMED: u32 = 100;

/// Makes a new authority, trusted beside the old one.
pub async fn start(config: Config) -> Result<(), StartError> {
    let begun = with_store(&config, async |store| {
        store.ensure_authority().await?;
        Ok((
            store.introduce_authority().await?,
            store.dependents(NAMED).await?,
        ))
    });
    let (rotation, dependents) = begun.await?;
    print!("{}", describe(&rotation, &dependents));
    println!(
        "Start the server. Each agent gets a certificate of the new authority when it renews."
    );
    Ok(())
}

/// Shows who still lives by the old authority.
pub async fn status(config: Config) -> Result<(), StartError> {
    let looked = with_store(&config, async |store| {
        Ok((store.rotation().await?, store.dependents(NAMED).await?))
    });
    let (rotation, dependents) = looked.await?;
    print!("{}", describe(&rotation, &dependents));
    Ok(())
}

/// Trusts the old authority no more, if no agent lives by it.
pub async fn finish(config: Config) -> Result<(), StartError> {
    retire(config, Retirement::WhenUnused).await
}

/// Trusts the old authority no more, whoever lives by it.
pub async fn force(config: Config) -> Result<(), StartError> {
    retire(config, Retirement::Forced).await
}

async fn retire(config: Config, retirement: Retirement) -> Result<(), StartError> {
    let retired = with_store(&config, async |store| {
        let lost = store.dependents(NAMED).await?;
        Ok((store.retire_authority(retirement).await?, lost))
    });
    let (rotation, lost) = retired.await?;
    print!("{}", describe(&rotation, &[]));
    if !lost.is_empty() {
        println!("These agents are cut off, and must be enrolled again:");
        print!("{}", list(&lost));
    }
    println!(
        "Start the server. People whose `towline` trusts the old authority log in again with\n\
         `towline login URL --ca-fingerprint {}`.",
        rotation.server_issuer().fingerprint()
    );
    Ok(())
}

fn describe(rotation: &Rotation, dependents: &[Dependent]) -> String {
    match rotation {
        Rotation::Single(root) => {
            format!("One authority is trusted, {}.\n", root.fingerprint())
        }
        Rotation::Overlap { old, new } => format!(
            "Two authorities are trusted: {} goes, {} comes.\n{}",
            old.fingerprint(),
            new.fingerprint(),
            outlook(dependents)
        ),
    }
}

fn outlook(dependents: &[Dependent]) -> String {
    if dependents.is_empty() {
        return "No agent lives by the old one: `towline-server admin rotate-ca finish` ends it.\n"
            .to_owned();
    }
    format!(
        "These agents live by the old one until they have renewed and their former certificate has ended:\n{}",
        list(dependents)
    )
}

fn list(dependents: &[Dependent]) -> String {
    let line = |dependent: &Dependent| {
        format!(
            "  {} (team {}), certificate until {}\n",
            dependent.agent,
            dependent.team,
            dependent.certificate_ends.format("%Y-%m-%d %H:%M UTC")
        )
    };
    let mut text: String = dependents.iter().map(line).collect();
    if dependents.len() >= NAMED as usize {
        text.push_str("  and perhaps more\n");
    }
    text
}
