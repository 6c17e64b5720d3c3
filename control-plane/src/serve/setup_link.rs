//! The one-time link that makes the first user.

use std::io::Write as _;

use crate::config::PublicUrl;
use crate::error::StartError;
use crate::store::Store;

use super::certificates::Pinning;

/// Prints the link on standard output, at each start until it was used; each start's link is a new one
/// and outdates the former.
///
/// Token and fingerprint stand behind the `#`: browsers keep that to themselves.
pub async fn print(store: &Store, url: &PublicUrl, pinning: Pinning) -> Result<(), StartError> {
    let Some(token) = store.ensure_setup_link().await? else {
        return Ok(());
    };
    let trust = match pinning {
        Pinning::BuiltIn => format!(".{}", store.server_authority().await?.fingerprint()),
        Pinning::Operator => String::new(),
    };
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Nobody has set up this installation yet. Open this link, or give it to `towline setup`; it works once:\n\n  \
         {url}/setup#{}{trust}\n",
        *token
    )?;
    Ok(out.flush()?)
}
