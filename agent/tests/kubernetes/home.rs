//! What an agent has in the cluster of its own: a lease that one of many has, and its identity.

use std::time::Duration;

use tokio::time::timeout;
use towline_agent::executor::kubernetes::Home;

use crate::host::Host;

async fn home(host: &Host, holder: &str) -> Home {
    let opened = Home::open(&host.config.access, &host.namespace, holder).await;
    opened.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_agent_leads_and_the_next_waits_until_it_leaves() {
    let host = Host::new().await;
    let (first, second) = (home(&host, "first").await, home(&host, "second").await);
    let lead = first.lead().await.unwrap();
    let waiting = tokio::spawn({
        let second = second.clone();
        async move { second.lead().await }
    });
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(!waiting.is_finished() && !lead.lost().is_cancelled());
    let lease = host.object("lease", "towline-agent").await.unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "first");
    lead.leave().await;
    let taken = timeout(Duration::from_secs(20), waiting).await;
    let _lead = taken.unwrap().unwrap().unwrap();
    let lease = host.object("lease", "towline-agent").await.unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_renew_the_lease_stops_before_another_may_have_it() {
    let host = Host::in_memory().await;
    let lead = home(&host, "only").await.lead().await.unwrap();
    host.fake().away(Duration::from_secs(40));
    timeout(Duration::from_secs(15), lead.lost().cancelled())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_is_kept_and_replaced() {
    let host = Host::new().await;
    let home = home(&host, "only").await;
    assert!(home.identity().await.unwrap().is_none());
    for identity in [&b"first"[..], b"second"] {
        home.keep_identity(identity).await.unwrap();
        assert_eq!(home.identity().await.unwrap().unwrap().as_slice(), identity);
    }
}
