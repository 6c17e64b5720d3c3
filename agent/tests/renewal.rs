//! Certificates: renewed in time, and after.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde_json::json;
use support::agent::TestHost;
use support::control_plane::ControlPlane;
use support::eventually;
use support::https::{Answered, serve};
use support::peer::{attempt, target};
use towline_agent::agent::LastConnection;
use towline_agent::executor::fake::{Script, ScriptEnd};
use towline_pki::{AGENT_LEAF_LIFETIME, AgentCsr, renew};
use towline_shared::enrolment::{RENEW_PATH, RenewRequest, Renewed};
use towline_shared::protocol::v1::{Certificate, FromAgent, FromServer, RenewRefused};
use towline_shared::spec::Interruption;

const NOWHERE: &str = "https://127.0.0.1:1";

#[tokio::test]
async fn a_certificate_is_renewed_with_a_new_key_at_half_of_its_life() {
    let control = ControlPlane::start().await;
    // Valid since five minutes and four days, for three more.
    let old = control.identity_issued(
        Utc::now() - TimeDelta::days(4),
        AGENT_LEAF_LIFETIME,
        NOWHERE,
    );
    let host = TestHost::with(&old);
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    let FromAgent::Renew(renew) = peer.next().await else {
        panic!()
    };
    // What does not fit is not taken.
    let roots = control.authority.cert_pem();
    let unfit = old.parts().certificate.clone();
    peer.send(&FromServer::Certificate(Certificate {
        certificate: unfit,
        roots: roots.clone(),
    }))
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(host.identity().parts().certificate, old.parts().certificate);
    drop(peer);
    let mut peer = control.welcome_idle().await;
    let FromAgent::Renew(again) = peer.next().await else {
        panic!()
    };
    assert_ne!(again.csr, renew.csr, "each request has its own key");
    let certificate = control.certify(&again.csr, Utc::now(), AGENT_LEAF_LIFETIME);
    peer.send(&FromServer::Certificate(Certificate {
        certificate: certificate.clone(),
        roots,
    }))
    .await;
    // It has nothing to do, so it comes back at once by the new certificate.
    peer.assert_ends().await;
    let mut peer = control.welcome_idle().await;
    let new = host.identity();
    assert_eq!(new.parts().certificate, certificate);
    assert_ne!(*new.parts().key, *old.parts().key);
    peer.assert_quiet(500).await;
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_refused_renewal_is_tried_again_later_and_a_job_keeps_its_link() {
    let control = ControlPlane::start().await;
    let old = control.identity_issued(
        Utc::now() - TimeDelta::days(4),
        AGENT_LEAF_LIFETIME,
        NOWHERE,
    );
    let host = TestHost::with(&old);
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    assert!(matches!(peer.next().await, FromAgent::Renew(_)));
    peer.send(&FromServer::RenewRefused(RenewRefused {
        message: "not today".into(),
    }))
    .await;
    peer.assert_quiet(500).await;
    drop(peer);
    let mut peer = control.welcome_idle().await;
    let FromAgent::Renew(renew) = peer.next().await else {
        panic!()
    };
    let hang = Script {
        end: ScriptEnd::Hang,
        ..Script::default()
    };
    let job = attempt(1);
    peer.begin(job, &hang.job(target(), Interruption::Resume))
        .await;
    peer.until("Progress").await;
    let certificate = control.certify(&renew.csr, Utc::now(), AGENT_LEAF_LIFETIME);
    let roots = control.authority.cert_pem();
    peer.send(&FromServer::Certificate(Certificate {
        certificate: certificate.clone(),
        roots,
    }))
    .await;
    peer.assert_quiet(500).await;
    assert_eq!(host.identity().parts().certificate, certificate);
    peer.send(&FromServer::Cancel(job)).await;
    peer.until("Finished").await;
    peer.send(&FromServer::Forget(job)).await;
    peer.assert_ends().await;
    control.welcome_idle().await;
    agent.stop().await.unwrap();
}

fn leaf_of(pem: &str) -> towline_pki::CertificateDer<'static> {
    let text: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text)
        .unwrap()
        .into()
}

#[tokio::test]
async fn an_agent_that_slept_past_its_expiry_renews_by_its_key() {
    let control = Arc::new(ControlPlane::start().await);
    let asked = Arc::new(AtomicUsize::new(0));
    let (judge, counted) = (Arc::clone(&control), Arc::clone(&asked));
    let (url, _server) = serve(control.public_acceptor(Utc::now()), move |request| {
        assert_eq!(request.path, RENEW_PATH);
        // The control plane is away at first.
        if counted.fetch_add(1, Ordering::Relaxed) == 0 {
            return Answered::json(503, &json!({"detail": "starting"}));
        }
        let body: RenewRequest = serde_json::from_str(&request.body).unwrap();
        let csr = AgentCsr::parse(body.csr.as_bytes()).unwrap();
        let leaf = leaf_of(&body.certificate);
        let roots = towline_pki::TrustRoots::single(judge.authority.root().clone());
        let peer = renew::expired_renewal(&leaf, &csr, &roots, Utc::now()).unwrap();
        assert_eq!(peer.agent, judge.agent.uuid());
        Answered::json(
            200,
            &Renewed {
                certificate: judge.certify(body.csr.as_bytes(), Utc::now(), AGENT_LEAF_LIFETIME),
                roots: judge.authority.cert_pem(),
            },
        )
    })
    .await;
    let old = control.identity_issued(Utc::now() - TimeDelta::days(10), AGENT_LEAF_LIFETIME, &url);
    assert!(old.not_after() < Utc::now());
    let host = TestHost::with(&old);
    let agent = host.start();
    control.welcome_idle().await;
    assert!(host.identity().not_after() > Utc::now());
    assert!(asked.load(Ordering::Relaxed) >= 2);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn an_expired_certificate_that_is_not_renewed_says_why() {
    let control = ControlPlane::start().await;
    let late = json!({"detail": "the certificate expired more than 30 days ago", "remedy": "enrol the agent again"});
    let (url, _server) = serve(control.public_acceptor(Utc::now()), move |_| {
        Answered::json(403, &late)
    })
    .await;
    let old = control.identity_issued(Utc::now() - TimeDelta::days(50), AGENT_LEAF_LIFETIME, &url);
    let host = TestHost::with(&old);
    let agent = host.start();
    // It is tried all the same, in case that this host's clock is wrong, and the listener refuses it.
    let tcp = control.accept_tcp().await;
    assert!(control.acceptor().accept(tcp).await.is_err());
    eventually("an error", || {
        LastConnection::load(&host.dir()).error.is_some()
    })
    .await;
    agent.stop().await.unwrap();
}
