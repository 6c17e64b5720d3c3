//! A real OpenSSH server on loopback that lets keys read repositories and do nothing else.

use std::{fs, net::Ipv4Addr, path::Path, process::Command, time::Duration};

use crate::{
    ports::free_port,
    process::{Process, give_to, guarded_as, output},
    scratch::Scratch,
};

const SSHD: &str = "/usr/sbin/sshd";
/// It serves one user, who it runs as: one that every machine with PostgreSQL has, with a shell and without rights.
pub const USER: &str = "postgres";
const LIMIT: Duration = Duration::from_secs(20);

/// Serves what its user can read. It ends with the test.
#[derive(Debug)]
pub struct SshServer {
    folder: Scratch,
    port: u16,
    process: Option<Process>,
}

impl SshServer {
    /// Listens, and lets nobody in yet.
    pub fn start() -> Self {
        assert!(
            Path::new(SSHD).exists(),
            "{SSHD} is missing: run tests/setup"
        );
        let folder = Scratch::new("sshd");
        give_to(USER, folder.path());
        fs::write(folder.join("authorized_keys"), "").expect("a file can be written");
        let mut server = Self {
            folder,
            port: free_port(),
            process: None,
        };
        server.change_host_key();
        server
    }

    /// The address of a repository of this machine.
    pub fn url(&self, repository: &Path) -> String {
        let host = Ipv4Addr::LOCALHOST;
        format!("ssh://{USER}@{host}:{}{}", self.port, repository.display())
    }

    /// Lets one key in, and no other any more.
    pub fn let_in(&self, public_key: &str) {
        let file = self.folder.join("authorized_keys");
        fs::write(file, format!("restrict {public_key}\n")).expect("a file can be written");
    }

    /// Is another server from now on, as far as anybody can see; gives the fingerprint of its key.
    pub fn change_host_key(&mut self) -> String {
        self.process = None;
        let key = self.folder.join("host_key");
        for old in [key.clone(), self.folder.join("host_key.pub")] {
            let _ = fs::remove_file(old);
        }
        let mut keygen = guarded_as(USER, "ssh-keygen");
        keygen
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key);
        output(keygen);
        self.listen();
        let mut show = Command::new("ssh-keygen");
        show.args(["-l", "-f"]).arg(&key);
        let shown = output(show);
        let fingerprint = shown.split(' ').nth(1);
        fingerprint.expect("it has a fingerprint").to_owned()
    }

    fn listen(&mut self) {
        let place = self.folder.path().display();
        let config = format!(
            "Port {}
ListenAddress {}
HostKey {place}/host_key
AuthorizedKeysFile {place}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AcceptEnv GIT_PROTOCOL
LogLevel VERBOSE
ForceCommand git -c safe.directory=* shell -c \"$SSH_ORIGINAL_COMMAND\"
",
            self.port,
            Ipv4Addr::LOCALHOST
        );
        let file = self.folder.join("sshd_config");
        fs::write(&file, config).expect("a file can be written");
        let mut command = guarded_as(USER, SSHD);
        command.args(["-D", "-e", "-f"]).arg(&file);
        let mut process = Process::start("sshd", command, &self.folder.join("sshd.log"));
        let address = (Ipv4Addr::LOCALHOST, self.port);
        process.wait_until("sshd listens", LIMIT, |_| {
            std::net::TcpStream::connect(address).is_ok().then_some(())
        });
        self.process = Some(process);
    }
}
