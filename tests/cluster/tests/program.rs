//! The program, as other processes use it.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::stage::{SOON, kubectl};

#[test]
fn it_says_when_it_is_ready_and_ends_when_it_is_told_to() {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new("setpriv");
    command.args([
        "--pdeathsig",
        "KILL",
        "--",
        env!("CARGO_BIN_EXE_towline-cluster"),
        "--folder",
    ]);
    let mut cluster = command
        .arg(folder.path())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + SOON;
    while !folder.path().join("ready").exists() {
        assert!(Instant::now() < end, "it is not ready");
        std::thread::sleep(Duration::from_millis(20));
    }
    let url = fs::read_to_string(folder.path().join("ready")).unwrap();
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let mut asks = Command::new(kubectl());
    asks.env("KUBECONFIG", folder.path().join("kubeconfig"))
        .env("HOME", folder.path());
    let said = asks
        .args(["get", "namespaces", "default", "-o", "name"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(said.stdout).unwrap(),
        "namespace/default\n"
    );
    let id = Pid::from_raw(i32::try_from(cluster.id()).unwrap()).unwrap();
    kill_process(id, Signal::TERM).unwrap();
    assert!(cluster.wait().unwrap().success());
}
