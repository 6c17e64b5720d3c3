//! How somebody else than the test restarts an engine: by a program, as on a host without an init system.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use crate::engine::Engine;

/// Stops the engine and starts it anew; hosts of `daemon.json` take the place of the flag's. $1 is its folder, $2 the
/// flag's host; the rest starts it.
const RESTART: &str = r#"#!/bin/sh
folder=$1 host=$2
shift 2
# One that was left behind comes to its end first.
exec 9>"$folder/restart.lock"
flock 9
if [ -e "$folder/before-restart" ]; then . "$folder/before-restart"; fi
old=$(cat "$folder/dockerd.pid")
inside() { nsenter -t "$INIT" -p -m -- "$@"; }
inside kill "$old"
tries=0
while inside kill -0 "$old" 2>/dev/null; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ]; then echo "the old engine does not end" >&2; exit 1; fi
    sleep 0.1
done
rm -f "$folder/dockerd.pid"
if ! grep -q '"hosts"' "$folder/daemon.json"; then set -- "$@" --host "$host"; fi
setsid "$@" >>"$folder/dockerd.log" 2>&1 </dev/null 9>&- &
tries=0
while [ $tries -lt 100 ] && ! [ -e "$folder/dockerd.pid" ]; do tries=$((tries + 1)); sleep 0.1; done
if [ -e "$folder/after-restart" ]; then . "$folder/after-restart"; fi
exit 0
"#;

/// The words by which an engine of this test's own is restarted. What a test writes into `before-restart` and
/// `after-restart` in the engine's folder is done then by the shell.
pub fn restart_words(engine: &Engine) -> Vec<String> {
    let folder = engine.folder();
    let script = folder.join("restart");
    let init = format!("#!/bin/sh\nINIT={}", engine.init());
    let text = RESTART.replacen("#!/bin/sh", &init, 1);
    fs::write(&script, text).expect("the engine's folder can be written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("its mode can be set");
    let start = engine.start_command();
    let mut words = vec![
        script.display().to_string(),
        folder.display().to_string(),
        engine.docker_host(),
    ];
    words.extend(environment(&start));
    words.extend(hostless(&start));
    words
}

/// `env NAME=VALUE …`, as the command has it.
fn environment(command: &Command) -> Vec<String> {
    let set = command.get_envs().filter_map(|(name, value)| {
        let value = value?.to_string_lossy();
        Some(format!("{}={value}", name.to_string_lossy()))
    });
    ["env", "-i"]
        .map(str::to_owned)
        .into_iter()
        .chain(set)
        .collect()
}

/// The words of the command, without the guard around it, which would end the engine with the script, and without hosts.
fn hostless(command: &Command) -> Vec<String> {
    let arguments = command.get_args().map(|word| word.to_string_lossy());
    let mut arguments = arguments.skip_while(|word| *word != "nsenter");
    let mut words = Vec::new();
    while let Some(word) = arguments.next() {
        if word == "--host" {
            arguments.next();
        } else {
            words.push(word.into_owned());
        }
    }
    words
}

/// Where an engine's `daemon.json` is.
pub fn daemon_json(engine: &Engine) -> PathBuf {
    engine.folder().join("daemon.json")
}
