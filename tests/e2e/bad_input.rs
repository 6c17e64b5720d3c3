//! Bad input gets a clear error and changes nothing.

use serde_json::{Value, json};
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::process::{guarded, output};
use towline_tests::scratch::Scratch;
use towline_tests::server::{DatabaseKind, ServerPlan, ServerProcess};
use towline_tests::story::Installation;

use crate::DEPLOY_LIMIT;

/// The refusal of a deploy, wherever it comes: at once as a problem, or by the host as a failed deployment.
fn refusal(story: &Installation, compose: &str) -> String {
    let files = ComposeFolder::new("services: {web: {image: towline-test/busybox:1}}\n");
    let project = story.project("bad", &files);
    let uploaded = project.upload(&ComposeFolder::new(compose));
    if uploaded.status >= 400 {
        return uploaded.body.to_string();
    }
    let asked = project.request_deployment(&json!({ "target": story.target() }));
    if asked.status >= 400 {
        return asked.body.to_string();
    }
    let deployment = project.deployment(&asked.body);
    let shown = deployment.wait("failed", DEPLOY_LIMIT);
    assert_eq!(story.engine.creations(&project.name), 0, "it had an effect");
    format!("{shown} {}", deployment.log().join("\n"))
}

#[test]
fn a_bad_compose_file_is_refused_with_its_line_and_rule() {
    let story = crate::embedded();
    let service =
        |line: &str| format!("services:\n  web:\n    image: towline-test/busybox:1\n    {line}\n");
    for (compose, words) in [
        (
            "services:\n  web: [oops\n".to_owned(),
            vec!["docker-compose.yml"],
        ),
        (service("imagee: x"), vec!["imagee", "4"]),
        (
            "services:\n  web:\n    command: sleep 1\n".to_owned(),
            vec!["web", "image"],
        ),
        (service("privileged: true"), vec!["privileged", "4"]),
        (service("network_mode: host"), vec!["host", "4"]),
        (service("pid: host"), vec!["host_namespaces", "4"]),
        (service("volumes: [\"/etc:/host\"]"), vec!["bind", "4"]),
        (
            service("volumes: [\"/var/run/docker.sock:/s\"]"),
            vec!["docker.sock", "4"],
        ),
        (service("cap_add: [SYS_ADMIN]"), vec!["SYS_ADMIN", "4"]),
        (
            service("devices: [\"/dev/sda:/dev/sda\"]"),
            vec!["devices", "4"],
        ),
        (service("env_file: /etc/shadow"), vec!["env_file", "4"]),
        (service("env_file: ../../secrets"), vec!["env_file", "4"]),
    ] {
        let answer = refusal(&story, &compose);
        for word in words {
            assert!(
                answer.contains(word),
                "{word:?} is missing for:\n{compose}\nin: {answer}"
            );
        }
    }
}

#[test]
fn a_giant_or_hostile_archive_is_refused() {
    let story = crate::embedded();
    let project = story.project("archive", &ComposeFolder::of(&[Service::idle("web")]));
    let refused = |archive: Vec<u8>, words: &[&str]| {
        let answer = project.upload_archive(archive);
        assert!((400..500).contains(&answer.status), "{answer:?}");
        for word in words {
            assert!(
                answer.body.to_string().contains(word),
                "{word:?} is missing: {answer:?}"
            );
        }
    };
    let folder = ComposeFolder::of(&[Service::idle("web")]);
    folder.write(
        "docker-compose.yml",
        &format!("# {}\n", "x".repeat(10 * 1024 * 1024)),
    );
    refused(folder.archive(), &[]);
    refused(b"not an archive at all".to_vec(), &[]);
    for path in ["../outside", "/etc/passwd", "a/../../b"] {
        let mut header = tar::Header::new_old();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(0);
        header.set_mode(0o644);
        header.set_cksum();
        let mut archive = tar::Builder::new(Vec::new());
        archive.append(&header, &[][..]).unwrap();
        refused(archive.into_inner().unwrap(), &[path]);
    }
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    archive.append_link(&mut header, "link", "/etc").unwrap();
    refused(archive.into_inner().unwrap(), &["link"]);
    let files = story
        .api
        .get(&format!("/projects/{}/files", project.id))
        .ok();
    assert!(
        files.to_string().contains("docker-compose.yml"),
        "a refused upload changed the files: {files}"
    );
}

#[test]
fn bad_requests_name_their_field() {
    let story = crate::embedded();
    let project = story.project("fields", &ComposeFolder::of(&[Service::idle("web")]));
    let deployments = format!("/projects/{}/deployments", project.id);
    let cases: [(&str, Value, &str); 5] = [
        ("/projects", json!({ "name": "Not A Name" }), "name"),
        (
            "/projects",
            json!({ "name": "fine", "colour": "red" }),
            "colour",
        ),
        (&deployments, json!({ "target": "no-such-host" }), "target"),
        (&deployments, json!({}), "target"),
        (
            "/enrolment-tokens",
            json!({ "name": "x", "ttl_minutes": 9999 }),
            "ttl_minutes",
        ),
    ];
    for (path, body, field) in cases {
        let answer = story.api.post(path, &body);
        assert!((400..500).contains(&answer.status), "{answer:?}");
        assert!(
            answer.body.to_string().contains(field),
            "{field} is not named: {answer:?}"
        );
    }
    story.api.with_key("twk_wrong").get("/agents").problem(401);
    story
        .api
        .get("/deployments/0197c0de-0000-7000-8000-000000000000")
        .problem(404);
}

/// Starts a server that must refuse, and returns what it says.
fn server_refusal(server: &ServerProcess) -> String {
    let ended = server.command("serve").output().unwrap();
    assert!(!ended.status.success(), "it started");
    String::from_utf8_lossy(&ended.stderr).into_owned() + &String::from_utf8_lossy(&ended.stdout)
}

#[test]
fn two_servers_on_one_data_directory_are_refused() {
    let server = ServerProcess::start(ServerPlan::new(DatabaseKind::Sqlite));
    let said = server_refusal(&server);
    assert!(said.contains("another"), "{said}");
}

#[test]
fn a_data_directory_that_is_a_file_is_refused() {
    let server = ServerProcess::prepare(ServerPlan::new(DatabaseKind::Sqlite));
    std::fs::write(server.data_dir(), "in the way").unwrap();
    let said = server_refusal(&server);
    assert!(said.contains("data"), "{said}");
}

/// `curl` sends on until it is answered; a connection that is reset meanwhile would lose the answer.
#[test]
fn whoever_sends_too_much_reads_why() {
    let server = ServerProcess::start(ServerPlan::new(DatabaseKind::Sqlite));
    let folder = Scratch::new("too-much");
    let body = folder.join("body.json");
    let mut text = br#"{"token":""#.to_vec();
    text.resize(8 * 1024 * 1024, b'x');
    std::fs::write(&body, text).unwrap();
    for version in ["--http1.1", "--http2"] {
        for _ in 0..5 {
            let mut curl = guarded("curl");
            curl.args(["--silent", "--show-error", version, "--header", "Expect:"])
                .args(["--header", "Content-Type: application/json", "--cacert"])
                .arg(server.ca())
                .arg("--data-binary")
                .arg(format!("@{}", body.display()))
                .arg(format!("{}/api/v1/setup", server.url()));
            let answer = output(curl);
            assert!(answer.contains(r#""status":413"#), "{version}: {answer}");
        }
    }
}

/// Who asks first whether to send is answered without having sent.
#[test]
fn whoever_asks_before_sending_is_spared_it() {
    let server = ServerProcess::start(ServerPlan::new(DatabaseKind::Sqlite));
    let folder = Scratch::new("asks-first");
    let body = folder.join("body.json");
    std::fs::write(&body, vec![b'x'; 8 * 1024 * 1024]).unwrap();
    let mut curl = guarded("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--http1.1",
        "--output",
        "/dev/null",
    ])
    .args([
        "--header",
        "Expect: 100-continue",
        "--expect100-timeout",
        "30",
    ])
    .args(["--write-out", "%{http_code} %{size_upload}", "--cacert"])
    .arg(server.ca())
    .arg("--data-binary")
    .arg(format!("@{}", body.display()))
    .arg(format!("{}/api/v1/projects", server.url()));
    assert_eq!(output(curl), "401 0");
}
