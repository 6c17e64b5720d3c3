//! Names to addresses, of which only those are given on that may be called.

use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

use super::{Policy, judge::judge};

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
            let (mut passed, mut refused) = (Vec::new(), None);
            for address in lookup_host((name.as_str(), 0)).await? {
                match judge(&policy.allow, address.ip()) {
                    Ok(()) => passed.push(address),
                    Err(why) => refused = Some(why),
                }
            }
            match refused {
                Some(refused) if passed.is_empty() => Err(refused.into()),
                _ => Ok(Box::new(passed.into_iter()) as Addrs),
            }
        })
    }
}
