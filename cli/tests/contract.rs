//! The program against a control plane that speaks the contract over real TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "contract/account.rs"]
mod account;
#[path = "contract/clusters.rs"]
mod clusters;
#[path = "contract/integrations.rs"]
mod integrations;
#[path = "contract/pki.rs"]
mod pki;
mod plane;
#[path = "contract/plugins.rs"]
mod plugins;
#[path = "contract/registries.rs"]
mod registries;
#[path = "contract/releases.rs"]
mod releases;
#[path = "contract/settings.rs"]
mod settings;
#[path = "contract/told.rs"]
mod told;
#[path = "contract/usage.rs"]
mod usage;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
    time::Duration,
};

use plane::{Cancelling, DEPLOYMENT, KEY, Plane, Ran, Rival, SETUP_TOKEN, TARGET, Waits, World};
use serde_json::{Value, json};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("compose.yaml"), "services: {}").unwrap();
    fs::write(folder.path().join("secret.txt"), "from a file\n").unwrap();
    fs::write(folder.path().join(".towlineignore"), "secret.txt").unwrap();
    folder
}

fn deploy(plane: &Plane, more: &[&str]) -> Ran {
    let folder = folder();
    let path = folder.path().to_str().unwrap();
    let arguments = ["deploy", path, "--target", "web-1", "--project", "shop"];
    plane.run(&[&arguments, more].concat())
}

#[test]
fn a_set_up_installation_is_logged_in_to_and_pinned() {
    let plane = Plane::start(World::default());
    let link = |token: &str| format!("{}/setup#{token}.{}", plane.url, plane.fingerprint);
    let person = ["--email", "ann@example.org", "--name", "Ann"];
    let set_up = |link: &str| {
        let arguments = [&["setup", link], person.as_slice()].concat();
        Ran::of(&plane.stranger(&arguments).output().unwrap())
    };

    let used = set_up(&link("another"));
    assert_eq!(used.code, Some(1), "{used:?}");
    assert!(
        used.stderr.contains("the link was used") && used.stderr.contains("try: log in instead")
    );

    let done = set_up(&link(SETUP_TOKEN));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("towline agents token") && !done.stdout.contains(KEY));
    let file = plane.home().join("config.toml");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .contains(&plane.fingerprint)
    );

    let me = Ran::of(&plane.stranger(&["whoami", "--json"]).output().unwrap());
    let me: Value = serde_json::from_str(&me.stdout).unwrap();
    assert_eq!(me["user"]["name"], "Ann");

    let out = Ran::of(&plane.stranger(&["logout"]).output().unwrap());
    assert_eq!(out.code, Some(0), "{out:?}");
    let gone = Ran::of(&plane.stranger(&["whoami"]).output().unwrap());
    assert_eq!(gone.code, Some(2));
    assert!(gone.stderr.contains("You are not logged in") && gone.stderr.contains("towline login"));
}

#[test]
fn a_key_from_stdin_logs_in_to_the_pinned_authority_only() {
    let plane = Plane::start(World::default());
    let login = |fingerprint: Option<&str>, key: &str| {
        let mut arguments = vec!["login", &plane.url, "--key-stdin"];
        arguments.extend(
            fingerprint
                .into_iter()
                .flat_map(|print| ["--ca-fingerprint", print]),
        );
        let mut command = plane.stranger(&arguments);
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(process.stdin.take().unwrap(), "{key}").unwrap();
        Ran::of(&process.wait_with_output().unwrap())
    };
    let another = "ab".repeat(32);
    let table = [
        (
            Some(another.as_str()),
            KEY,
            4,
            "is not the control plane it should be",
        ),
        (None, KEY, 4, "--ca-fingerprint"),
        (
            Some(plane.fingerprint.as_str()),
            "wrong",
            1,
            "the API key is not valid",
        ),
        (Some(plane.fingerprint.as_str()), "", 2, "no API key"),
        (Some(plane.fingerprint.as_str()), KEY, 0, ""),
    ];
    for (fingerprint, key, code, part) in table {
        let ran = login(fingerprint, key);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stderr.contains(part), "{part:?} in {ran:?}");
        assert_eq!(plane.home().join("config.toml").exists(), code == 0);
    }
}

#[test]
fn a_deploy_uploads_sets_secrets_watches_and_ends_as_the_deployment_does() {
    let plane = Plane::start(World::default());
    let folder = folder();
    let secret = format!("B=@{}", folder.path().join("secret.txt").display());
    let path = folder.path().to_str().unwrap();
    let ran = plane.run(&[
        "deploy",
        path,
        "--target",
        "web-1",
        "--project",
        "shop",
        "--secret",
        "A=b=c",
        "--secret",
        &secret,
        "--settle",
        "500ms",
        "--timeout",
        "10m",
        "--idempotency-key",
        "once",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.line_numbers(), [0, 1, 2]);
    for said in [
        "Made the project shop",
        "compose.yaml:2: web has no tag (latest)",
        "applying on web-1",
        "succeeded",
    ] {
        assert!(ran.stderr.contains(said), "{said:?} in {ran:?}");
    }
    let world = plane.world();
    assert_eq!(world.projects, ["shop"]);
    assert_eq!(
        world.files,
        [("compose.yaml".into(), "services: {}".into())]
    );
    assert_eq!(
        world.secrets,
        [
            ("A".into(), json!("b=c")),
            ("B".into(), json!("from a file\n"))
        ]
    );
    let body = json!({ "target": TARGET, "settle_ms": 500, "deadline_s": 600 });
    assert_eq!(world.asked, [("once".into(), body)]);
}

#[test]
fn two_first_deploys_of_a_project_share_it() {
    let plane = Plane::start(World {
        rival: Rival::First,
        ..World::default()
    });
    let ran = deploy(&plane, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.stderr.contains("Made the project"), "{ran:?}");
    assert_eq!(plane.world().projects, ["shop"]);
}

#[test]
fn the_exit_code_is_the_deployments() {
    let table = [
        (json!({ "status": "succeeded" }), 0),
        (
            json!({ "status": "failed", "reason": "crash_loop", "message": "web exits" }),
            1,
        ),
        (json!({ "status": "cancelled" }), 3),
    ];
    for (end, code) in table {
        let plane = Plane::start(World {
            end: end.clone(),
            ..World::default()
        });
        let people = deploy(&plane, &[]);
        assert_eq!(people.code, Some(code), "{people:?}");
        let program = deploy(&plane, &["--json"]);
        assert_eq!(program.code, Some(code), "{program:?}");
        let printed: Value = serde_json::from_str(&program.stdout).unwrap();
        assert_eq!(printed["status"], end["status"]);
        assert_eq!(plane::numbers(&program.stderr), [0, 1, 2]);
    }
}

#[test]
fn no_line_is_lost_or_repeated_over_cuts_repeats_and_gaps() {
    let plane = Plane::start(World {
        lines: 40,
        cuts: vec![0, 1, 5, 9, 12, 2, 30],
        repeats: 3,
        skips: vec![7, 8, 39],
        ..World::default()
    });
    let ran = deploy(&plane, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.line_numbers(), (0..40).collect::<Vec<_>>());
    assert!(ran.stderr.contains("connecting again …"), "{ran:?}");
    assert!(
        !ran.stderr.contains("were lost by the control plane"),
        "{ran:?}"
    );
    let world = plane.world();
    assert!(world.cuts.is_empty() && world.streams.len() > 7);
    assert_eq!(world.streams[0], ("0".into(), None));
    for (from, last) in &world.streams[1..] {
        let from: u64 = from.parse().unwrap();
        assert_eq!(
            last.as_ref().map(|id| id.parse::<u64>().unwrap() + 1),
            (from > 0).then_some(from)
        );
    }
}

#[test]
fn lines_that_do_not_exist_any_more_are_said_so() {
    let plane = Plane::start(World {
        lines: 6,
        lost: vec![2, 3, 5],
        ..World::default()
    });
    let ran = deploy(&plane, &[]);
    assert_eq!(ran.line_numbers(), [0, 1, 4]);
    for said in ["2 lines were lost", "1 lines were lost"] {
        assert!(ran.stderr.contains(said), "{said:?} in {ran:?}");
    }
}

#[test]
fn a_lost_answer_is_asked_for_again_under_the_same_key() {
    let plane = Plane::start(World {
        lost_answers: 2,
        ..World::default()
    });
    let ran = deploy(&plane, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let world = plane.world();
    assert_eq!(world.asked.len(), 3);
    assert!(world.asked.iter().all(|asked| *asked == world.asked[0]));
}

/// A deploy that is interrupted when three lines have come, and once more where nobody hears of its
/// cancelling.
fn interrupted(more: &[&str], cancelling: Cancelling) -> (Ran, u32) {
    let plane = Plane::start(World {
        waits_for_cancel: Waits::Yes,
        cancelling,
        ..World::default()
    });
    let folder = folder();
    let path = folder.path().to_str().unwrap();
    let arguments = [&["deploy", path, "-t", "web-1", "-p", "shop"], more].concat();
    let mut command = plane.command(&arguments);
    let mut process = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(process.stdout.take().unwrap());
    let mut text = String::new();
    while plane::numbers(&text).len() < 3 {
        assert_ne!(stdout.read_line(&mut text).unwrap(), 0, "{text}");
    }
    let pid = rustix::process::Pid::from_child(&process);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    if cancelling == Cancelling::Hangs {
        while plane.world().cancels == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }
    stdout.read_to_string(&mut text).unwrap();
    let ran = Ran::of(&process.wait_with_output().unwrap());
    let cancels = plane.world().cancels;
    (ran, cancels)
}

#[test]
fn an_interrupt_leaves_the_deployment_alone_or_cancels_it() {
    let (left, cancels) = interrupted(&[], Cancelling::Heard);
    assert_eq!((left.code, cancels), (Some(5), 0), "{left:?}");
    assert!(
        left.stderr
            .contains(&format!("towline cancel {DEPLOYMENT}")),
        "{left:?}"
    );

    let cancel = ["--cancel-on-interrupt"];
    let (cancelled, cancels) = interrupted(&cancel, Cancelling::Heard);
    assert_eq!((cancelled.code, cancels), (Some(3), 1), "{cancelled:?}");
    assert!(
        cancelled.stderr.contains("web was left running"),
        "{cancelled:?}"
    );

    let (cancelled, cancels) = interrupted(&cancel, Cancelling::UnavailableOnce);
    assert_eq!((cancelled.code, cancels), (Some(3), 2), "{cancelled:?}");
    assert!(cancelled.stderr.contains("trying again"), "{cancelled:?}");

    let (left, cancels) = interrupted(&cancel, Cancelling::Hangs);
    assert_eq!((left.code, cancels), (Some(5), 1), "{left:?}");
    assert!(left.stderr.contains("goes on"), "{left:?}");
}

#[test]
fn logs_are_read_by_page_by_tail_and_from_a_line() {
    let plane = Plane::start(World {
        lines: 7,
        ..World::default()
    });
    let table: [(&[&str], &[u64]); 8] = [
        (&[DEPLOYMENT], &[0, 1, 2, 3, 4, 5, 6]),
        (&[DEPLOYMENT, "--tail", "2"], &[5, 6]),
        (&[DEPLOYMENT, "--since-line", "4"], &[4, 5, 6]),
        (&["-f", DEPLOYMENT], &[0, 1, 2, 3, 4, 5, 6]),
        (&["-f", DEPLOYMENT, "--since-line", "5"], &[5, 6]),
        (&["-f", DEPLOYMENT, "-n", "3"], &[4, 5, 6]),
        (&["-f", DEPLOYMENT, "-n", "0"], &[]),
        (&["shop"], &[0, 1, 2, 3, 4, 5, 6]),
    ];
    plane.world().projects.push("shop".into());
    for (arguments, expected) in table {
        let ran = plane.run(&[&["logs"], arguments].concat());
        assert_eq!(
            (ran.code, ran.line_numbers().as_slice()),
            (Some(0), expected),
            "{arguments:?}: {ran:?}"
        );
    }
    let json = plane.run(&["logs", DEPLOYMENT, "--json"]).stdout;
    let numbers: Vec<_> = json
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["n"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(numbers, (0..7).collect::<Vec<_>>());
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let plane = Plane::start(World {
        lines: 20_000,
        ..World::default()
    });
    let mut command = plane.command(&["logs", "-f", DEPLOYMENT]);
    let mut process = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let ran = Ran::of(&process.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(5), ""));
}

#[test]
fn every_page_of_a_list_is_read_and_names_and_ids_mean_the_same() {
    let plane = Plane::start(World::default());
    let listed: Value =
        serde_json::from_str(&plane.run(&["targets", "ls", "--json"]).stdout).unwrap();
    let names: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|target| &target["name"])
        .collect();
    assert_eq!(names, ["web-0", "web-1"]);
    let by_name = plane.run(&["targets", "show", "web-1"]);
    assert_eq!(by_name.code, Some(0), "{by_name:?}");
    assert_eq!(
        by_name.stdout,
        plane.run(&["targets", "show", TARGET]).stdout
    );
}

#[test]
fn failures_say_what_and_what_next_and_have_their_codes() {
    let plane = Plane::start(World::default());
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_str().unwrap();
    let folder = folder();
    let path = folder.path().to_str().unwrap();
    let unknown = "00000000-0000-7000-8000-000000000000";
    let table: [(&[&str], i32, &str); 8] = [
        (&["targets", "show", "web-9"], 1, "use one of web-0, web-1"),
        (&["targets", "show", unknown], 1, "try: list the targets"),
        (&["ps", "web-1"], 4, "the agent of web-1 is offline"),
        (&["deploy", empty, "-t", "web-1"], 2, "no compose file"),
        (
            &["deploy", path, "-t", "web-1", "--timeout", "10"],
            2,
            "write it like 500ms",
        ),
        (
            &["deploy", path, "-t", "web-1", "--secret", "A"],
            2,
            "NAME=VALUE",
        ),
        (&["deploy", path], 2, "--target"),
        (&["--context", "other", "projects", "ls"], 0, ""),
    ];
    for (arguments, code, part) in table {
        let ran = plane.run(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(part), "{arguments:?}: {ran:?}");
    }
    let json = plane.run(&["targets", "show", unknown, "--json"]);
    let told: Value = serde_json::from_str(&json.stderr).unwrap();
    let expected = json!({
        "title": "Not found", "detail": "there is no target with this id", "field": "id",
        "remedy": "list the targets", "status": 404,
    });
    assert_eq!((told, json.stdout.as_str()), (expected, ""));

    let misused = plane.run(&["targets", "show", "--json"]);
    let told: Value = serde_json::from_str(&misused.stderr).unwrap();
    assert_eq!(misused.code, Some(2), "{misused:?}");
    assert!(
        told["detail"].as_str().unwrap().contains("<TARGET>"),
        "{told}"
    );
    let help = plane.run(&["targets", "--help", "--json"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
}

#[test]
fn an_absent_control_plane_is_unreachable() {
    let url = Plane::start(World::default()).url;
    let plane = Plane::start(World::default());
    let mut command = plane.command(&["targets", "ls"]);
    let ran = Ran::of(&command.env("TOWLINE_URL", url).output().unwrap());
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(
        ran.stderr.contains("check that the control plane runs")
            && !ran.stderr.contains("HTTPS_PROXY"),
        "{ran:?}"
    );
    command.env("HTTPS_PROXY", "http://127.0.0.1:9");
    let ran = Ran::of(&command.output().unwrap());
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("proxy of HTTPS_PROXY"), "{ran:?}");
}

#[test]
fn a_containers_log_is_whole_over_cuts() {
    let plane = Plane::start(World {
        lines: 20,
        cuts: vec![5, 3, 12],
        ..World::default()
    });
    let container = ["logs", "--container", "shop-web-1", "--target", "web-1"];
    let followed = plane.run(&[&container[..], &["-f", "-n", "18"]].concat());
    assert_eq!(followed.code, Some(0), "{followed:?}");
    assert_eq!(
        followed.line_numbers(),
        (2..20).collect::<Vec<_>>(),
        "{followed:?}"
    );
    assert!(followed.stderr.contains("Connected again."), "{followed:?}");
    assert_eq!(plane.world().container_tails, [18, 1000, 1000, 1000]);
    let last = plane.run(&[&container[..], &["-n", "2"]].concat());
    assert_eq!(last.line_numbers(), [18, 19]);
}

#[test]
fn a_removal_says_what_becomes_of_the_volumes() {
    let plane = Plane::start(World::default());
    plane.world().projects.push("shop".into());
    for (more, fate) in [(&[][..], "keep"), (&["--volumes", "--yes"][..], "delete")] {
        let removed = plane.run(&[&["remove", "shop", "-t", "web-1"][..], more].concat());
        assert_eq!(removed.code, Some(0), "{removed:?}");
        let asked = plane.world().removals.pop();
        assert_eq!(asked, Some(json!({ "target": TARGET, "volumes": fate })));
    }
}

#[test]
fn who_detaches_from_an_agent_that_is_offline_is_told_so() {
    let plane = Plane::start(World::default());
    let online = deploy(&plane, &["--detach"]);
    assert_eq!(
        (online.code, online.stdout.trim()),
        (Some(0), DEPLOYMENT),
        "{online:?}"
    );
    let offline = plane.run(&["retry", DEPLOYMENT, "--detach"]);
    assert_eq!(
        (offline.code, offline.stdout.trim()),
        (Some(5), DEPLOYMENT),
        "{offline:?}"
    );
    assert!(
        offline.stderr.contains("it begins when the agent is back"),
        "{offline:?}"
    );
    assert!(plane.world().streams.is_empty());
}

#[test]
fn top_without_a_terminal_is_shown_once() {
    let plane = Plane::start(World::default());
    let shown = plane.run(&["top"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for part in [
        "12.5 %",
        "0.50 0.25 0.00",
        "1.0 GiB / 4.0 GiB",
        "shop-web-1",
    ] {
        assert!(shown.stdout.contains(part), "{part:?} in {shown:?}");
    }
    assert!(!shown.stdout.contains('\x1b'));
}

#[test]
fn a_secret_is_piped_in_and_never_printed() {
    let plane = Plane::start(World::default());
    plane.world().projects.push("shop".into());
    let mut command = plane.command(&["secrets", "set", "shop", "PASSWORD"]);
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process
        .stdin
        .take()
        .unwrap()
        .write_all(b"hunter2\n")
        .unwrap();
    let set = Ran::of(&process.wait_with_output().unwrap());
    assert_eq!(set.code, Some(0), "{set:?}");
    assert!(!format!("{set:?}").contains("hunter2"));
    assert_eq!(
        plane.world().secrets,
        [("PASSWORD".into(), json!("hunter2"))]
    );
}

#[test]
fn completions_are_printed_for_every_shell_without_a_login() {
    let plane = Plane::start(World::default());
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = Ran::of(&plane.stranger(&["completions", shell]).output().unwrap());
        assert_eq!(ran.code, Some(0));
        assert!(
            ran.stdout.contains("towline") && ran.stdout.contains("idempotency-key"),
            "{shell}"
        );
    }
}
