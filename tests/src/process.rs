//! A child process with a log file, which dies with the test process whatever happens to it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{LazyLock, mpsc},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::patience::{wait_until, within};

/// A child process; killed and waited for when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` (made by [`guarded`]) with its output appended to `log` and nothing to read.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log file can be opened");
        let errors = file.try_clone().expect("a log file can be shared");
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        let child = spawn(command).unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            ended: None,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last lines of its log, for a message.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// How it ended, or nothing while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be asked");
        }
        self.ended
    }

    /// Sends a signal; a process that has ended takes none.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            send(self.id(), signal);
        }
    }

    /// `kill -9` and wait.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        if self.ended.is_none() {
            self.ended = self.child.wait().ok();
        }
    }

    /// `SIGTERM`, and how it ended; panics when it has not after `limit`.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(limit)
    }

    /// Waits for its end; panics with its log's tail when it has not ended after `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let ended = within(limit, || self.ended());
        ended.unwrap_or_else(|| {
            panic!(
                "{} has not ended after {limit:?}:\n{}",
                self.name,
                self.log_tail()
            )
        })
    }

    /// Waits until `look` gives a value; panics with the log's tail when the process ends or `limit` passes first.
    pub fn wait_until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> T {
        let found = within(limit, || match look(self) {
            Some(value) => Some(Ok(value)),
            None => self.ended().map(Err),
        });
        match found {
            Some(Ok(value)) => value,
            Some(Err(status)) => panic!(
                "{} ended ({status}) before {what}:\n{}",
                self.name,
                self.log_tail()
            ),
            None => panic!(
                "{}: waited {limit:?} for {what}:\n{}",
                self.name,
                self.log_tail()
            ),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!(
                "--- {} ({:?}) ---\n{}",
                self.name,
                self.ended.map(ExitStatusExt::into_raw),
                self.log_tail()
            );
        }
    }
}

/// Sends `signal` to the process `id`; one that is gone already is no error.
pub fn send(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// The one child of process `id`, once it has one.
pub fn child_of(id: u32) -> u32 {
    let children = format!("/proc/{id}/task/{id}/children");
    wait_until("a child process", Duration::from_secs(10), || {
        fs::read_to_string(&children).ok()?.trim().parse().ok()
    })
}

/// A command that the kernel kills when the thread that started it ends; add arguments and environment to it.
pub fn guarded(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// The same as another user, in the root folder. The outer guard ends with the change of user, so an inner one takes its
/// place.
pub fn guarded_as(user: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = guarded("/usr/bin/setpriv");
    command
        .args(["--reuid", user, "--regid", user, "--init-groups"])
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .current_dir("/");
    command
}

/// Gives a file or folder to another user.
pub fn give_to(user: &str, path: &Path) {
    let mut chown = Command::new("chown");
    chown.arg(user).arg(path);
    output(chown);
}

/// Runs to its end and returns what it printed; panics with its errors when it fails.
pub fn output(mut command: Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{command:?} failed ({}):\n{text}{errors}",
        output.status
    );
    text.trim_end().to_owned()
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// The kernel ties a child's death to the thread that started it, so one thread that lives as long as the process
/// starts them all.
static STARTER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (sender, orders) = mpsc::channel::<Order>();
    thread::spawn(move || {
        for (mut command, reply) in orders {
            let _ = reply.send(command.spawn());
        }
    });
    sender
});

fn spawn(command: Command) -> io::Result<Child> {
    let (sender, reply) = mpsc::channel();
    STARTER.send((command, sender)).expect("the starter lives");
    reply.recv().expect("the starter answers")
}
