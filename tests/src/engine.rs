//! A real Docker Engine of one's own, old or new.
//!
//! It lives in process, mount, IPC and (as a rule) network namespaces of its own, with its own containerd. So engines
//! stand side by side, the machine's firewall and its own engine stay untouched, and killing process 1 of the
//! namespaces takes the engine, its containers, mounts and networks along, also when the test process dies.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;

pub use crate::parts::EngineKind;
use crate::{
    link::Link,
    parts::{Parts, clean_command},
    patience::{wait_until, within},
    process::{Process, child_of, guarded, output, send},
    scratch::Scratch,
    shared,
};

/// The image that every engine has from its start: busybox, nothing else.
pub const BUSYBOX: &str = "towline-test/busybox:1";

/// Engines and PostgreSQL are slow to start when the machine is busy.
const START_LIMIT: Duration = Duration::from_mins(1);

/// Everything that compose made.
const PROJECT_FILTER: &str = "label=com.docker.compose.project";

/// Where an engine's ports appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// On a network of its own, at [`Engine::address`].
    Own,
    /// On the machine's network, without any firewall rule; containers reach each other but not beyond.
    Machine,
}

/// A Docker Engine. One that this test started ends when dropped.
#[derive(Debug)]
pub struct Engine {
    kind: EngineKind,
    place: Place,
    own: Option<Own>,
}

/// How another process finds an engine.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    /// Process 1 of the engine's namespaces, as the machine numbers it.
    pub(crate) init: u32,
    pub(crate) address: Ipv4Addr,
}

/// What only the engine's owner has. Fields drop in this order.
#[derive(Debug)]
struct Own {
    dockerd: Option<Process>,
    link: Option<Link>,
    namespaces: Process,
    cgroup: String,
    _folder: Option<Scratch>,
}

impl Engine {
    /// The engine that the whole run shares, or one of this test's own when there is none.
    pub fn shared(kind: EngineKind) -> Self {
        shared::engine(kind).map_or_else(
            || Self::start(kind),
            |place| Self {
                kind,
                place,
                own: None,
            },
        )
    }

    /// Starts one of this test's own, to be killed, restarted and cut off.
    pub fn start(kind: EngineKind) -> Self {
        let scratch = Scratch::new(kind.name());
        let folder = scratch.path().to_owned();
        Self::start_at(kind, Network::Own, &folder, Some(scratch))
    }

    /// Starts one whose data stay in `folder`.
    pub fn start_in(kind: EngineKind, network: Network, folder: &Path) -> Self {
        Self::start_at(kind, network, folder, None)
    }

    fn start_at(
        kind: EngineKind,
        network: Network,
        folder: &Path,
        scratch: Option<Scratch>,
    ) -> Self {
        let namespaces = start_namespaces(kind, network, folder);
        let init = child_of(namespaces.id());
        let cgroup = format!("/towline-test/{init}");
        let link = (network == Network::Own).then(|| Link::join(init));
        let address = link.as_ref().map_or(Ipv4Addr::LOCALHOST, Link::address);
        let place = Place {
            folder: folder.to_owned(),
            init,
            address,
        };
        let own = Own {
            dockerd: None,
            link,
            namespaces,
            cgroup,
            _folder: scratch,
        };
        let mut engine = Self {
            kind,
            place,
            own: Some(own),
        };
        engine.start_dockerd();
        if engine.try_docker(&["image", "inspect", BUSYBOX]).is_none() {
            engine.image(BUSYBOX, &[r#"CMD ["sh"]"#]);
        }
        engine
    }

    /// The same engine as others see it: they can use it, and not tamper with it.
    #[must_use]
    pub fn seen(&self) -> Self {
        Self {
            kind: self.kind,
            place: self.place.clone(),
            own: None,
        }
    }

    /// Which one it is.
    pub fn kind(&self) -> EngineKind {
        self.kind
    }

    /// What tests that share it lock while they make images for each other.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.place.folder.join("images.lock")
    }

    /// What `--docker-host` and `DOCKER_HOST` take.
    pub fn docker_host(&self) -> String {
        format!("unix://{}", self.place.folder.join("docker.sock").display())
    }

    /// Where published ports are reached from the machine, and from containers of other hosts.
    pub fn address(&self) -> Ipv4Addr {
        self.place.address
    }

    /// The wire to the host; only an engine of one's own may be cut off.
    pub fn link(&self) -> &Link {
        self.own()
            .link
            .as_ref()
            .expect("this engine has a network of its own")
    }

    /// The engine's own client, pointed at it.
    pub fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = clean_command("docker", self.kind);
        command
            .env("DOCKER_HOST", self.docker_host())
            .args(arguments);
        command
    }

    /// Runs the client and returns what it printed; panics when it fails.
    pub fn run_docker(&self, arguments: &[&str]) -> String {
        output(self.docker(arguments))
    }

    /// A container of busybox that runs a command until it is removed, under this name.
    pub fn keep_running(&self, name: &str, command: &[&str]) {
        let how = "run -d --init --network none --name".split(' ');
        let words = how.chain([name, BUSYBOX]).chain(command.iter().copied());
        self.run_docker(&words.collect::<Vec<_>>());
    }

    /// Runs the client; nothing when it fails.
    pub fn try_docker(&self, arguments: &[&str]) -> Option<String> {
        let output = self
            .docker(arguments)
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(
            String::from_utf8_lossy(&output.stdout)
                .trim_end()
                .to_owned(),
        )
    }

    /// Makes a local image of busybox with Dockerfile instructions (`CMD …`, `ENV …`, `HEALTHCHECK …`) and returns its
    /// id. Other instructions make another image, so a tag can be moved to a changed one.
    pub fn image(&self, tag: &str, instructions: &[&str]) -> String {
        let rootfs = Parts::locate().rootfs().display().to_string();
        let changes = instructions
            .iter()
            .flat_map(|instruction| ["--change", instruction]);
        let arguments: Vec<&str> = ["import"]
            .into_iter()
            .chain(changes)
            .chain([rootfs.as_str(), tag])
            .collect();
        self.run_docker(&arguments)
    }

    /// What goes before a command to run it in the engine's network; it needs no process of its own.
    pub(crate) fn enter_network(&self) -> Vec<String> {
        ["nsenter", "-t", &self.place.init.to_string(), "-n", "--"]
            .map(str::to_owned)
            .to_vec()
    }

    /// A command on the host: in the engine's network, with the machine's files.
    pub fn on_host(&self, program: &str) -> Command {
        let mut words = self.enter_network().into_iter();
        let mut command = clean_command(words.next().expect("the program that enters"), self.kind);
        command.args(words).arg(program);
        command
    }

    /// What an HTTP server on the host answers at `port`; nothing when it does not.
    pub fn fetch(&self, port: u16) -> Option<String> {
        self.fetch_path(port, "")
    }

    /// The same of a path below the root.
    pub fn fetch_path(&self, port: u16, path: &str) -> Option<String> {
        let mut command = self.on_host("curl");
        command.args([
            "--silent",
            "--fail",
            "--max-time",
            "5",
            &format!("http://127.0.0.1:{port}/{path}"),
        ]);
        let output = command
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(
            String::from_utf8_lossy(&output.stdout)
                .trim_end()
                .to_owned(),
        )
    }

    /// All containers of the compose project whose name contains `project`, running or not, as `docker ps` tells them.
    pub fn containers(&self, project: &str) -> Vec<Value> {
        let lines = self.run_docker(&[
            "ps",
            "-a",
            "--no-trunc",
            "--filter",
            PROJECT_FILTER,
            "--format",
            "{{json .}}",
        ]);
        let containers = lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("docker prints JSON"));
        containers
            .filter(|container: &Value| {
                is_of(container["Labels"].as_str().unwrap_or_default(), project)
            })
            .collect()
    }

    /// How often a container of the compose project was created since the engine started: the proof of no double.
    pub fn creations(&self, project: &str) -> usize {
        let window = [
            "events",
            "--since",
            "24h",
            "--until",
            "0s",
            "--filter",
            "event=create",
        ];
        let format =
            "com.docker.compose.project={{index .Actor.Attributes \"com.docker.compose.project\"}}";
        let events = self.run_docker(
            &[
                &window[..],
                &["--filter", PROJECT_FILTER, "--format", format],
            ]
            .concat(),
        );
        events
            .lines()
            .filter(|labels| is_of(labels, project))
            .count()
    }

    /// The networks or volumes (`kind`) of the compose project whose name contains `project`, by name.
    pub fn resources(&self, kind: &str, project: &str) -> Vec<String> {
        let format = "{{.Name}} {{.Labels}}";
        let lines = self.run_docker(&[kind, "ls", "--filter", PROJECT_FILTER, "--format", format]);
        let named = lines.lines().filter_map(|line| line.split_once(' '));
        named
            .filter(|(_, labels)| is_of(labels, project))
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    /// Removes what a compose project left: containers, networks, volumes.
    pub fn remove_project(&self, project: &str) {
        for (list, name, remove) in [
            (&["ps", "-a"][..], "{{.ID}}", &["rm", "-f", "-v"][..]),
            (&["network", "ls"], "{{.ID}}", &["network", "rm"]),
            (&["volume", "ls"], "{{.Name}}", &["volume", "rm", "-f"]),
        ] {
            let format = format!("{name} {{{{.Labels}}}}");
            let found = self
                .try_docker(&[list, &["--filter", PROJECT_FILTER, "--format", &format]].concat());
            let found = found.unwrap_or_default();
            let found: Vec<&str> = found
                .lines()
                .filter_map(|line| line.split_once(' '))
                .filter(|(_, labels)| is_of(labels, project))
                .map(|(name, _)| name)
                .collect();
            if !found.is_empty() {
                self.try_docker(&[remove, &found].concat());
            }
        }
    }

    /// What a file in the root of a named volume holds, for each volume that has one, as it lies on the disk.
    pub fn files_in_volumes(&self, name: &str) -> Vec<String> {
        let volumes = fs::read_dir(self.place.folder.join("data/volumes")).into_iter();
        let files = volumes
            .flatten()
            .flatten()
            .map(|volume| volume.path().join("_data").join(name));
        files
            .filter_map(|file| fs::read_to_string(file).ok())
            .collect()
    }

    /// `kill -9` of the Docker daemon. Its containers go on, as with a daemon that crashed.
    pub fn kill_dockerd(&mut self) {
        self.end_dockerd(Signal::KILL);
    }

    /// A daemon that hangs: it holds its connections and answers nothing until [`Self::resume_dockerd`].
    pub fn freeze_dockerd(&self) {
        self.signal_dockerd(Signal::STOP);
    }

    /// Ends what [`Self::freeze_dockerd`] began.
    pub fn resume_dockerd(&self) {
        // What entered the namespaces with it stands still with its child.
        let entered = self.own().dockerd.as_ref().expect("dockerd runs").id();
        send(entered, Signal::CONT);
        self.signal_dockerd(Signal::CONT);
    }

    /// Stops the Docker daemon, and with it its containers, as `systemctl stop docker` does.
    pub fn stop_dockerd(&mut self) {
        self.end_dockerd(Signal::TERM);
    }

    /// Starts the Docker daemon on the same data and waits until it answers.
    pub fn start_dockerd(&mut self) {
        let command = self.start_command();
        let log = self.place.folder.join("dockerd.log");
        let mut dockerd = Process::start("dockerd", command, &log);
        dockerd.wait_until("dockerd answers", START_LIMIT, |_| {
            self.try_docker(&["version"])
        });
        self.own_mut().dockerd = Some(dockerd);
    }

    /// The run's description for other processes; see [`crate::shared`].
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.place.folder
    }

    /// Process 1 of its namespaces.
    pub(crate) fn init(&self) -> u32 {
        self.place.init
    }

    /// What starts its daemon.
    pub(crate) fn start_command(&self) -> Command {
        let (folder, own) = (&self.place.folder, self.own());
        let mut command = clean_command("nsenter", self.kind);
        command.args([
            "-t",
            &self.place.init.to_string(),
            "-n",
            "-p",
            "-m",
            "-i",
            "--",
        ]);
        command.args([
            "setpriv",
            "--pdeathsig",
            "KILL",
            "--",
            "dockerd",
            "--host",
            &self.docker_host(),
        ]);
        for (flag, name) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "dockerd.pid"),
            ("--containerd", "containerd.sock"),
        ] {
            command.arg(flag).arg(folder.join(name));
        }
        command.args([
            "--cgroup-parent",
            &own.cgroup,
            "--exec-opt",
            "native.cgroupdriver=cgroupfs",
        ]);
        command.args(["--default-address-pool", "base=172.16.0.0/12,size=24"]);
        if own.link.is_none() {
            command.args([
                "--bridge=none",
                "--iptables=false",
                "--ip6tables=false",
                "--ip-forward=false",
                "--ip-masq=false",
            ]);
        }
        command
    }

    fn end_dockerd(&mut self, signal: Signal) {
        self.signal_dockerd(signal);
        // The next one refuses to start before this one is gone.
        let mut dockerd = self.own_mut().dockerd.take().expect("dockerd runs");
        dockerd.wait(START_LIMIT);
    }

    fn signal_dockerd(&self, signal: Signal) {
        let entered = self.own().dockerd.as_ref().expect("dockerd runs").id();
        send(child_of(entered), signal);
    }

    fn own(&self) -> &Own {
        self.own
            .as_ref()
            .expect("only an engine of this test's own may be tampered with")
    }

    fn own_mut(&mut self) -> &mut Own {
        self.own
            .as_mut()
            .expect("only an engine of this test's own may be tampered with")
    }

    /// Networks on the machine's own network stack do not go with a namespace.
    fn remove_networks(&self) {
        let containers = self.try_docker(&["ps", "-aq"]).unwrap_or_default();
        if !containers.is_empty() {
            self.try_docker(&[&["rm", "-f"], &containers.lines().collect::<Vec<_>>()[..]].concat());
        }
        let networks = self
            .try_docker(&["network", "ls", "-q", "--filter", "type=custom"])
            .unwrap_or_default();
        if !networks.is_empty() {
            self.try_docker(
                &[
                    &["network", "rm"],
                    &networks.lines().collect::<Vec<_>>()[..],
                ]
                .concat(),
            );
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self
            .own
            .as_ref()
            .is_some_and(|own| own.link.is_none() && own.dockerd.is_some())
        {
            self.remove_networks();
        }
        let Some(own) = &mut self.own else { return };
        own.dockerd = None;
        // The kernel ends everything else in the namespaces before their process 1 is gone.
        send(self.place.init, Signal::KILL);
        own.namespaces.wait(START_LIMIT);
        remove_cgroup(&own.cgroup);
    }
}

/// Process 1 is tini, its child containerd: when containerd ends, all ends.
fn start_namespaces(kind: EngineKind, network: Network, folder: &Path) -> Process {
    let parts = Parts::locate();
    let socket = folder.join("containerd.sock");
    for stale in [&socket, &folder.join("dockerd.pid")] {
        let _ = fs::remove_file(stale);
    }
    fs::write(folder.join("daemon.json"), "{}").expect("the engine's folder can be written");
    let config = folder.join("containerd.toml");
    fs::write(&config, containerd_config(folder)).expect("the engine's folder can be written");
    let mut command = guarded("unshare");
    command
        .env_clear()
        .env("PATH", parts.path(kind))
        .env("HOME", "/nonexistent");
    command.args([
        "--fork",
        "--kill-child=KILL",
        "--pid",
        "--mount",
        "--mount-proc",
        "--ipc",
    ]);
    command.args((network == Network::Own).then_some("--net"));
    command
        .arg(parts.init())
        .args(["-s", "--", "containerd", "--config"])
        .arg(config);
    let mut process = Process::start("containerd", command, &folder.join("containerd.log"));
    process.wait_until("containerd listens", START_LIMIT, |_| {
        socket.exists().then_some(())
    });
    process
}

fn containerd_config(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "version = 2\nroot = \"{folder}/containerd\"\nstate = \"{folder}/containerd-state\"\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{folder}/containerd.sock\"\n"
    )
}

/// Removes a cgroup from every hierarchy; it is empty, but the kernel may take a moment to see it.
fn remove_cgroup(name: &str) {
    let hierarchies = fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    for hierarchy in hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]) {
        let group = hierarchy.join(name.trim_start_matches('/'));
        within(Duration::from_secs(5), || remove_tree(&group).then_some(()));
        // The parent goes with its last engine.
        let _ = group.parent().map(fs::remove_dir);
    }
}

fn remove_tree(group: &Path) -> bool {
    let children = fs::read_dir(group).into_iter().flatten().flatten();
    for child in children.filter(|child| child.path().is_dir()) {
        remove_tree(&child.path());
    }
    !group.exists() || fs::remove_dir(group).is_ok()
}

/// Whether `labels` (`name=value,…`) are those of a compose project whose name contains `project`.
fn is_of(labels: &str, project: &str) -> bool {
    let names = labels
        .split(',')
        .filter_map(|label| label.strip_prefix("com.docker.compose.project="));
    names.into_iter().any(|name| name.contains(project))
}

/// Waits until a container of the compose project is in `state` (`running`, `exited`, …).
pub fn wait_for_container(engine: &Engine, project: &str, state: &str) {
    let is = |container: &Value| container["State"] == state;
    wait_until(
        &format!("a container of {project} is {state}"),
        Duration::from_secs(30),
        || engine.containers(project).iter().any(is).then_some(()),
    );
}
