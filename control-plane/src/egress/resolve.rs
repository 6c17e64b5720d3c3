//! Names to addresses, of which only those are given on that may be called.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

use super::{Network, Policy, Refused, judge::judge};

/// Resolves and judges.
#[derive(Debug)]
pub struct Resolver {
    policy: Arc<Policy>,
}

impl Resolver {
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            policy: Arc::clone(policy),
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.policy);
        Box::pin(async move {
            let passed = allowed(&policy.allow, name.as_str()).await??;
            Ok(Box::new(passed.into_iter()) as Addrs)
        })
    }
}

/// The addresses of a name that may be called; when it has none but others, why not.
pub async fn allowed(
    allow: &[Network],
    name: &str,
) -> io::Result<Result<Vec<SocketAddr>, Refused>> {
    let (mut passed, mut refused) = (Vec::new(), None);
    for address in lookup_host((name, 0)).await? {
        match judge(allow, address.ip()) {
            Ok(()) => passed.push(address),
            Err(why) => refused = Some(why),
        }
    }
    Ok(match refused {
        Some(refused) if passed.is_empty() => Err(refused),
        _ => Ok(passed),
    })
}
