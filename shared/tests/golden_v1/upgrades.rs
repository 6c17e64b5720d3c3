//! What is said of upgrades.

use towline_shared::protocol::v1::{FromAgent, FromServer, QueryReply};
use towline_shared::query::Reply;
use towline_shared::relay::Digest;
use towline_shared::upgrade::{AskUpgrade, Upgrade, UpgradeReport, UpgradeState, UpgradeWish};

use super::samples::{Sample, agent, server};

pub(super) fn upgrades() -> Vec<Sample> {
    let why = || "why".to_owned();
    vec![
        server("server/ask-upgrade-show", ask(UpgradeWish::Show)),
        server(
            "server/ask-upgrade-begin",
            ask(UpgradeWish::Begin(upgrade())),
        ),
        agent("agent/reply-upgrade-idle", report(UpgradeState::Idle)),
        agent(
            "agent/reply-upgrade-preparing",
            report(UpgradeState::Preparing),
        ),
        agent("agent/reply-upgrade-waiting", report(UpgradeState::Waiting)),
        agent("agent/reply-upgrade-proving", report(UpgradeState::Proving)),
        agent("agent/reply-upgrade-done", report(UpgradeState::Done)),
        agent(
            "agent/reply-upgrade-refused",
            report(UpgradeState::Refused(why())),
        ),
        agent(
            "agent/reply-upgrade-rolled-back",
            report(UpgradeState::RolledBack(why())),
        ),
    ]
}

fn ask(wish: UpgradeWish) -> FromServer {
    FromServer::AskUpgrade(AskUpgrade { id: 70_000, wish })
}

fn upgrade() -> Upgrade {
    Upgrade {
        sha256: Digest([0xab; 32]),
        bytes: 300,
        signature: "untrusted comment: x".into(),
    }
}

fn report(state: UpgradeState) -> FromAgent {
    let report = UpgradeReport {
        version: "1.2.3".into(),
        sha256: Digest([0xab; 32]),
        state,
    };
    FromAgent::Reply(QueryReply {
        id: 70_000,
        reply: Reply::Upgrade(report),
    })
}
