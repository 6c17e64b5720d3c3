#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::*;
use crate::domain::push::Changes;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const BEFORE: &str = "1123456789abcdef0123456789abcdef01234567";
const NONE: &str = "0000000000000000000000000000000000000000";

type Headers<'a> = Vec<(&'static str, &'a str)>;

fn message<'a>(headers: &[(&'static str, &str)], body: &'a [u8]) -> Message<'a> {
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    Message {
        headers: headers.collect(),
        body,
    }
}

fn hub(body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("sha256={}", hex(hmac::sign(&key, body).as_ref()))
}

/// The vector of GitHub's documentation.
#[test]
fn a_signature_of_github_is_as_it_documents() {
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let told = message(&[("x-hub-signature-256", signature)], b"Hello, World!");
    assert!(Forge::GitHub.verify("It's a Secret to Everybody", &told, Utc::now()));
    assert!(!Forge::GitHub.verify("It's a Secret to everybody", &told, Utc::now()));
}

#[test]
fn only_who_knows_the_secret_is_believed() {
    let (body, now) = (b"{}".as_slice(), Utc::now());
    let (right, other) = (hub(body), hub(b"{ }"));
    let signed = SigningKey::parse(SECRET)
        .unwrap()
        .sign("m1", now.timestamp(), body);
    let old = SigningKey::parse(SECRET)
        .unwrap()
        .sign("m1", now.timestamp() - 400, body);
    let (time, before) = (
        now.timestamp().to_string(),
        (now.timestamp() - 400).to_string(),
    );
    let table: Vec<(Forge, Headers<'_>, bool)> = vec![
        (Forge::GitHub, vec![("x-hub-signature-256", &right)], true),
        (Forge::GitHub, vec![("x-hub-signature-256", &other)], false),
        (
            Forge::GitHub,
            vec![("x-hub-signature-256", "sha256=")],
            false,
        ),
        (
            Forge::GitHub,
            vec![("x-hub-signature-256", &right[..30])],
            false,
        ),
        (Forge::GitHub, vec![("x-hub-signature", &right)], false),
        (Forge::GitHub, vec![("x-gitlab-token", SECRET)], false),
        (Forge::GitHub, vec![], false),
        (Forge::Bitbucket, vec![("x-hub-signature", &right)], true),
        (
            Forge::Bitbucket,
            vec![("x-hub-signature-256", &right)],
            false,
        ),
        (Forge::GitLab, vec![("x-gitlab-token", SECRET)], true),
        (
            Forge::GitLab,
            vec![("x-gitlab-token", "whsec_other")],
            false,
        ),
        (Forge::GitLab, vec![("x-gitlab-token", "")], false),
        (Forge::GitLab, vec![("x-hub-signature-256", &right)], false),
        (
            Forge::GitLab,
            vec![
                ("webhook-id", "m1"),
                ("webhook-timestamp", &time),
                ("webhook-signature", &signed),
            ],
            true,
        ),
        (
            Forge::GitLab,
            vec![
                ("webhook-id", "m2"),
                ("webhook-timestamp", &time),
                ("webhook-signature", &signed),
            ],
            false,
        ),
        // Who signs is not believed by the token alone.
        (
            Forge::GitLab,
            vec![
                ("webhook-id", "m1"),
                ("webhook-timestamp", &before),
                ("webhook-signature", &old),
                ("x-gitlab-token", SECRET),
            ],
            false,
        ),
        (
            Forge::Generic,
            vec![
                ("webhook-id", "m1"),
                ("webhook-timestamp", &time),
                ("webhook-signature", &signed),
            ],
            true,
        ),
        (Forge::Generic, vec![("x-hub-signature-256", &right)], true),
        (Forge::Generic, vec![("x-gitlab-token", SECRET)], false),
    ];
    for (forge, headers, expected) in table {
        let told = message(&headers, body);
        assert_eq!(
            forge.verify(SECRET, &told, now),
            expected,
            "{forge} {headers:?}"
        );
    }
}

fn read(forge: Forge, event: (&'static str, &str), body: &Value) -> Told {
    let body = body.to_string();
    forge.read(&message(&[event], body.as_bytes())).told
}

fn one(told: Told) -> Push {
    match told {
        Told::Pushes(mut pushes) if pushes.len() == 1 => pushes.remove(0),
        other => panic!("{other:?}"),
    }
}

const GITHUB: (&str, &str) = ("x-github-event", "push");
const GITLAB: (&str, &str) = ("x-gitlab-event", "Push Hook");
const BITBUCKET: (&str, &str) = ("x-event-key", "repo:push");

fn github() -> Value {
    json!({
        "ref": "refs/heads/main", "before": BEFORE, "after": COMMIT,
        "created": false, "deleted": false, "forced": false,
        "commits": [
            {"id": BEFORE, "message": "one", "author": {"name": "Mallory"}, "added": ["a"], "removed": [], "modified": ["b"]},
            {"id": COMMIT, "message": "two\n\nmore", "added": [], "removed": ["c"], "modified": ["b"]},
        ],
        "head_commit": {"id": COMMIT, "message": "two\n\nmore", "added": [], "removed": ["c"], "modified": ["b"]},
        "repository": {"default_branch": "main"},
        "pusher": {"name": "ada"}, "sender": {"login": "ada"},
    })
}

fn list(paths: &[&str]) -> Changes {
    Changes::Paths(paths.iter().map(|path| (*path).to_owned()).collect())
}

#[test]
fn a_push_of_github_is_read() {
    let push = one(read(Forge::GitHub, GITHUB, &github()));
    assert_eq!(push.branch(), Some("main"));
    assert_eq!(push.commit.as_deref(), Some(COMMIT));
    assert_eq!(push.title(), "two");
    assert_eq!(push.sender.as_deref(), Some("ada"));
    assert_eq!(push.default_branch.as_deref(), Some("main"));
    assert_eq!(push.changes, list(&["a", "b", "c"]));
    let unknown = |field: &str, value: Value| {
        let mut body = github();
        body[field] = value;
        one(read(Forge::GitHub, GITHUB, &body)).changes == Changes::Unknown
    };
    assert!(unknown("forced", json!(true)));
    assert!(unknown("created", json!(true)));
    assert!(unknown("total_commits", json!(7)));
    assert!(!unknown("total_commits", json!(2)));
    assert!(unknown("commits", json!([])));
    let mut many = github();
    many["commits"] = vec![many["commits"][0].clone(); 2048].into();
    assert_eq!(
        one(read(Forge::GitHub, GITHUB, &many)).changes,
        Changes::Unknown
    );
    let mut deleted = github();
    deleted["deleted"] = json!(true);
    deleted["after"] = json!(NONE);
    deleted["head_commit"] = Value::Null;
    assert_eq!(one(read(Forge::GitHub, GITHUB, &deleted)).commit, None);
}

#[test]
fn what_is_no_push_says_why() {
    let said = |forge, event, body: &Value| match read(forge, event, body) {
        Told::Nothing(why) => why,
        Told::Pushes(pushes) => panic!("{pushes:?}"),
    };
    let table = [
        (
            Forge::GitHub,
            ("x-github-event", "ping"),
            github(),
            "it does",
        ),
        (
            Forge::GitHub,
            ("x-github-event", "issues"),
            github(),
            "no push",
        ),
        (Forge::GitHub, GITHUB, json!({"ref": 1}), "cannot be read"),
        (
            Forge::GitHub,
            GITHUB,
            json!("payload=%7B"),
            "application/json",
        ),
        (
            Forge::GitLab,
            ("x-gitlab-event", "Issue Hook"),
            json!({}),
            "no push",
        ),
        (Forge::GitLab, GITLAB, json!({}), "cannot be read"),
        (
            Forge::Bitbucket,
            ("x-event-key", "repo:fork"),
            json!({}),
            "no push",
        ),
        (
            Forge::Bitbucket,
            BITBUCKET,
            json!({"push": {"changes": []}}),
            "moved nothing",
        ),
        (
            Forge::Generic,
            ("webhook-id", "1"),
            json!({"branch": "main"}),
            "commit",
        ),
        (
            Forge::Generic,
            ("webhook-id", "1"),
            json!({"branch": "b", "commit": COMMIT, "author": "x"}),
            "author",
        ),
    ];
    for (forge, event, body, expected) in table {
        let why = said(forge, event, &body);
        assert!(why.contains(expected), "{forge}: {why}");
    }
}

#[test]
fn a_push_of_gitlab_is_read() {
    let body = json!({
        "object_kind": "push", "event_name": "push", "before": BEFORE, "after": COMMIT,
        "ref": "refs/heads/main", "checkout_sha": COMMIT, "user_name": "Ada L.", "user_username": "ada",
        "project": {"default_branch": "main"},
        "commits": [
            {"id": COMMIT, "message": "two [skip ci]", "added": ["a"], "modified": [], "removed": []},
            {"id": BEFORE, "message": "one", "added": [], "modified": ["b"], "removed": []},
        ],
        "total_commits_count": 2,
    });
    let push = one(read(Forge::GitLab, GITLAB, &body));
    assert_eq!(
        (push.commit.as_deref(), push.message.as_str()),
        (Some(COMMIT), "two [skip ci]")
    );
    assert_eq!(
        (push.sender.as_deref(), &push.changes),
        (Some("ada"), &list(&["a", "b"]))
    );
    for (field, value) in [("total_commits_count", json!(21)), ("before", json!(NONE))] {
        let mut cut = body.clone();
        cut[field] = value;
        assert_eq!(
            one(read(Forge::GitLab, GITLAB, &cut)).changes,
            Changes::Unknown,
            "{field}"
        );
    }
    let mut deleted = body;
    deleted["after"] = json!(NONE);
    assert_eq!(one(read(Forge::GitLab, GITLAB, &deleted)).commit, None);
    let tag = json!({"ref": "refs/tags/v1", "before": NONE, "after": COMMIT, "commits": []});
    let tag = one(read(
        Forge::GitLab,
        ("x-gitlab-event", "Tag Push Hook"),
        &tag,
    ));
    assert_eq!(tag.branch(), None);
}

#[test]
fn a_push_of_bitbucket_has_several_branches() {
    let place = |kind: &str, name: &str| json!({"type": kind, "name": name, "target": {"hash": COMMIT, "message": "m"}});
    let body = json!({
        "actor": {"nickname": "ada", "display_name": "Ada L."},
        "repository": {"full_name": "ada/shop"},
        "push": {"changes": [
            {"old": null, "new": place("branch", "main"), "truncated": false},
            {"old": place("branch", "gone"), "new": null},
            {"old": null, "new": place("tag", "v1")},
            {"old": null, "new": null},
        ]},
    });
    let Told::Pushes(pushes) = read(Forge::Bitbucket, BITBUCKET, &body) else {
        panic!("no pushes");
    };
    let seen: Vec<_> = pushes
        .iter()
        .map(|push| (push.reference.as_str(), push.commit.is_some()))
        .collect();
    assert_eq!(
        seen,
        [
            ("refs/heads/main", true),
            ("refs/heads/gone", false),
            ("refs/tags/v1", true)
        ]
    );
    assert!(
        pushes
            .iter()
            .all(|push| push.sender.as_deref() == Some("ada") && push.changes == Changes::Unknown)
    );
}

#[test]
fn a_message_is_known_by_its_id_or_its_body() {
    let body = json!({"branch": "main", "commit": COMMIT, "paths": ["a"]}).to_string();
    let id = |forge: Forge, headers: &[(&'static str, &str)]| {
        forge.read(&message(headers, body.as_bytes())).id
    };
    let long = "x".repeat(MAX_ID + 1);
    assert_eq!(id(Forge::GitHub, &[("x-github-delivery", "d-1")]), "d-1");
    assert_eq!(
        id(
            Forge::GitLab,
            &[("x-gitlab-event-uuid", "e"), ("idempotency-key", "k")]
        ),
        "k"
    );
    assert_eq!(id(Forge::Bitbucket, &[("x-request-uuid", "r")]), "r");
    for headers in [
        vec![],
        vec![("webhook-id", "")],
        vec![("webhook-id", "a b")],
        vec![("webhook-id", long.as_str())],
    ] {
        assert!(
            id(Forge::Generic, &headers).starts_with("sha256-"),
            "{headers:?}"
        );
    }
    let push = one(Forge::Generic.read(&message(&[], body.as_bytes())).told);
    assert_eq!(
        (push.branch(), &push.changes),
        (Some("main"), &list(&["a"]))
    );
}
