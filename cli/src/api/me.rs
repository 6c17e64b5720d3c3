//! Who one is.

use serde::{Deserialize, Serialize};

use super::{Client, More, Named, setup::User};
use crate::exit::Failure;

/// The user, team and key of a request.
#[derive(Debug, Deserialize, Serialize)]
pub struct Me {
    /// The user.
    pub user: User,
    /// The team.
    pub team: Named,
    /// The key, without its secret.
    pub key: Named,
    #[serde(flatten)]
    more: More,
}

/// Asks who one is.
pub async fn get(client: &Client) -> Result<Me, Failure> {
    client.get(&["me"], &[]).await
}
