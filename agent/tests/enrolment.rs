//! Becoming an agent, against a real TLS server.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use chrono::{TimeDelta, Utc};
use serde_json::json;
use support::agent::TestHost;
use support::control_plane::ControlPlane;
use support::https::{Answered, Asked, serve};
use towline_agent::enroll::{EnrolError, Enrolment, Existing, enrol};
use towline_agent::identity::Identity;
use towline_pki::{AGENT_LEAF_LIFETIME, Authority, EnrollToken};
use towline_shared::enrolment::{ENROL_PATH, EnrolRequest, Enrolled};

fn enrolment(token: &EnrollToken) -> Enrolment {
    Enrolment {
        token: token.to_string(),
        name: "web-1".into(),
        existing: Existing::Keep,
    }
}

/// Answers as a control plane does, and remembers what it was asked.
fn honest(
    control: &Arc<ControlPlane>,
    asked: &Arc<Mutex<Vec<Asked>>>,
) -> impl Fn(&Asked) -> Answered + use<> {
    let (control, remembered) = (Arc::clone(control), Arc::clone(asked));
    move |asked| {
        remembered.lock().unwrap().push(asked.clone());
        let request: EnrolRequest = serde_json::from_str(&asked.body).unwrap();
        Answered::json(
            201,
            &Enrolled {
                agent: control.agent,
                certificate: control.certify(
                    request.csr.as_bytes(),
                    Utc::now(),
                    AGENT_LEAF_LIFETIME,
                ),
                roots: control.authority.cert_pem(),
                agent_address: control.address(),
            },
        )
    }
}

#[tokio::test]
async fn a_host_enrols_and_connects() {
    let control = Arc::new(ControlPlane::start().await);
    let asked = Arc::default();
    let (url, server) = serve(
        control.public_acceptor(Utc::now()),
        honest(&control, &asked),
    )
    .await;
    let token = EnrollToken::mint(&url, control.authority.fingerprint()).unwrap();
    let host = TestHost::new();
    let new = enrol(&host.dir(), &host.dialer(), &enrolment(&token))
        .await
        .unwrap();
    assert_eq!((new.identity.agent(), new.clock), (control.agent, None));
    {
        let asked = asked.lock().unwrap();
        assert_eq!(asked[0].path, ENROL_PATH);
        let request: EnrolRequest = serde_json::from_str(&asked[0].body).unwrap();
        assert_eq!(
            (request.secret.as_str(), request.hostname.as_str()),
            (token.secret.reveal().as_str(), "web-1")
        );
        assert!(!asked[0].body.contains("PRIVATE KEY"));
    }
    let mode = std::fs::metadata(host.dir().identity())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let agent = host.start();
    control.welcome_idle().await;
    agent.stop().await.unwrap();
    // Once more is refused, unless it is meant.
    let error = enrol(&host.dir(), &host.dialer(), &enrolment(&token))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("use --force to replace it"),
        "{error}"
    );
    let meant = Enrolment {
        existing: Existing::Replace,
        ..enrolment(&token)
    };
    enrol(&host.dir(), &host.dialer(), &meant).await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 2);
    server.abort();
}

/// Enrols by a server that gives this answer, and gives the error's words.
async fn refusal(answer: impl Fn(&Asked) -> Answered + Send + Sync + 'static) -> String {
    let control = ControlPlane::start().await;
    let (url, server) = serve(control.public_acceptor(Utc::now()), answer).await;
    let token = EnrollToken::mint(&url, control.authority.fingerprint()).unwrap();
    let host = TestHost::new();
    let error = enrol(&host.dir(), &host.dialer(), &enrolment(&token))
        .await
        .unwrap_err();
    assert!(!host.dir().identity().exists());
    server.abort();
    error.to_string()
}

#[tokio::test]
async fn refusals_are_told_in_the_control_planes_words_with_what_to_do() {
    let used = json!({"title": "Gone", "status": 410, "detail": "the token was used already"});
    let error = refusal(move |_| Answered::json(410, &used)).await;
    assert_eq!(
        error,
        "the control plane refused: the token was used already; make a new token with `towline agents token`"
    );
    let expired = json!({"title": "Gone", "detail": "the token expired at noon", "remedy": "ask for another"});
    let error = refusal(move |_| Answered::json(410, &expired)).await;
    assert_eq!(
        error,
        "the control plane refused: the token expired at noon; ask for another"
    );
    let late = json!({"title": "Gone", "detail": "the token expired at noon"});
    let error = refusal(move |_| {
        let date = (Utc::now() + TimeDelta::minutes(61)).to_rfc2822();
        Answered {
            headers: format!("date: {date}\r\n"),
            ..Answered::json(410, &late)
        }
    })
    .await;
    assert!(
        error.contains("the token expired at noon")
            && error.contains("this host's clock is 60 min behind"),
        "{error}"
    );
}

#[tokio::test]
async fn servers_that_are_no_control_plane_are_told_as_such() {
    let html = |status| {
        move |_: &Asked| Answered {
            status,
            headers: String::new(),
            body: "<html>".into(),
        }
    };
    for status in [200, 404, 502] {
        let error = refusal(html(status)).await;
        assert!(
            error.contains(&status.to_string()) && error.contains("no Towline control plane"),
            "{error}"
        );
    }
    let error = refusal(|_| Answered {
        status: 200,
        headers: String::new(),
        body: "x".repeat(300 * 1024),
    })
    .await;
    assert!(error.contains("more than 262144 bytes"), "{error}");
}

type Change = Box<dyn Fn(&mut serde_json::Value) + Send + Sync>;

#[tokio::test]
async fn an_answer_that_does_not_fit_the_request_is_not_stored() {
    let control = Arc::new(ControlPlane::start().await);
    let changes: [(Change, &str); 3] = [
        (
            Box::new(|answer| answer["agent"] = json!("01900000-0000-7000-8000-000000000000")),
            "the certificate is for agent",
        ),
        (
            Box::new(|answer| answer["agent_address"] = json!("nowhere")),
            "is no address",
        ),
        (
            Box::new(|answer| answer["certificate"] = answer["roots"].clone()),
            "not usable",
        ),
    ];
    for (change, expected) in changes {
        let honest = honest(&control, &Arc::default());
        let (url, server) = serve(control.public_acceptor(Utc::now()), move |asked| {
            let Answered {
                status,
                headers,
                body,
            } = honest(asked);
            let mut answer = serde_json::from_str(&body).unwrap();
            change(&mut answer);
            Answered {
                headers,
                ..Answered::json(status, &answer)
            }
        })
        .await;
        let token = EnrollToken::mint(&url, control.authority.fingerprint()).unwrap();
        let host = TestHost::new();
        let error = enrol(&host.dir(), &host.dialer(), &enrolment(&token))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!host.dir().identity().exists());
        server.abort();
    }
}

#[tokio::test]
async fn connections_that_cannot_be_trusted_send_no_secret() {
    let control = Arc::new(ControlPlane::start().await);
    let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let host = TestHost::new();
    let (url, _server) = serve(
        control.public_acceptor(Utc::now()),
        honest(&control, &asked),
    )
    .await;
    // The token of another installation.
    let other = Authority::generate("Other", Utc::now())
        .unwrap()
        .fingerprint();
    // A server whose certificate starts in an hour: this host's clock is slow.
    let future = Utc::now() + TimeDelta::minutes(65);
    let (ahead, _server) = serve(control.public_acceptor(future), honest(&control, &asked)).await;
    // A port where nobody listens, one that speaks no TLS, a name that the certificate has not.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("https://{}", closed.local_addr().unwrap());
    drop(closed);
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let no_tls = format!("https://{}", plain.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut client, _) = plain.accept().await.unwrap();
        let _ =
            tokio::io::AsyncWriteExt::write_all(&mut client, b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    });
    let named = url.replace("127.0.0.1", "127.0.0.2");
    let ours = control.authority.fingerprint();
    for (address, ca, expected) in [
        (&url, other, "make a new token on this server"),
        (&ahead, ours, "not valid yet by this host's clock"),
        (&nobody, ours, "cannot reach"),
        (&no_tls, ours, "does not speak TLS"),
        (&named, ours, ""),
    ] {
        let token = EnrollToken::mint(address, ca).unwrap();
        let error = enrol(&host.dir(), &host.dialer(), &enrolment(&token))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_state_folder_that_cannot_be_written_spends_no_token() {
    let control = Arc::new(ControlPlane::start().await);
    let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let (url, _server) = serve(
        control.public_acceptor(Utc::now()),
        honest(&control, &asked),
    )
    .await;
    let token = EnrollToken::mint(&url, control.authority.fingerprint()).unwrap();
    let host = TestHost::new();
    let dir = host.dir();
    // A folder stands where a file would be written, which not even root can change by writing.
    std::fs::create_dir(host.path().join("probe.new")).unwrap();
    let error = enrol(&dir, &host.dialer(), &enrolment(&token))
        .await
        .unwrap_err();
    assert!(matches!(error, EnrolError::State(_)), "{error}");
    assert!(asked.lock().unwrap().is_empty());
    for (text, expected) in [
        ("hello", "starts with `twl1_`"),
        (&token.to_string()[..60], "truncated"),
    ] {
        let wrong = Enrolment {
            token: text.into(),
            ..enrolment(&token)
        };
        let error = enrol(&dir, &host.dialer(), &wrong)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_damaged_identity_is_told_and_not_overwritten() {
    let host = TestHost::new();
    std::fs::write(host.dir().identity(), b"{").unwrap();
    let error = Identity::load(&host.dir()).unwrap_err().to_string();
    assert!(
        error.contains("is damaged") && error.contains("--force"),
        "{error}"
    );
    let missing = TestHost::new();
    let error = Identity::load(&missing.dir()).unwrap_err().to_string();
    assert!(error.contains("towline agents token"), "{error}");
}
