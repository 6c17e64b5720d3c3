//! What git says when it cannot read a repository, understood as far as people can do something about it.

/// Why a repository could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Complaint {
    /// It wants a credential, or another one, or does not exist: servers say the same of all three.
    #[error(
        "the repository is not there, or does not let us read it; check its address, and give a token that may read it if it is private"
    )]
    Denied,
    /// Over ssh: it does not know the key, or does not exist; servers say the same of both.
    #[error(
        "the repository is not there, or its server does not let the deploy key read it; check its address, and add the public key there as a read-only deploy key (`towline source show` prints it)"
    )]
    Key,
    /// Over ssh: its server has another key than the one that is kept.
    #[error(
        "the repository's server shows another host key than the one that is kept for it, so that it may be another server; if its operator says that the key was changed, accept the new one (`towline source host-key accept`)"
    )]
    HostKey,
    /// The machine has no ssh.
    #[error(
        "ssh does not run on the machine that reads the repository; install openssh-client there"
    )]
    NoSsh,
    /// It has no such branch, tag or commit.
    #[error("the repository has no such branch, tag or commit")]
    NoReference,
    /// It has no commit at all.
    #[error("the repository is empty; push a commit first")]
    Empty,
    /// It sends people elsewhere.
    #[error("the server sends us to another address; give that one ({0})")]
    Moved(String),
    /// Its server was not reached.
    #[error("the repository's server was not reached: {0}")]
    Unreachable(String),
    /// Its server does not prove who it is.
    #[error("the repository's server does not prove who it is: {0}")]
    Certificate(String),
    /// The machine has no room for it.
    #[error("there is no room on the disk for the repository")]
    NoRoom,
    /// Something else; git's own words.
    #[error("git could not read the repository: {0}")]
    Other(String),
}

/// The most characters of git's words that are passed on.
const MAX_WORDS: usize = 300;

/// Understands what git has printed on its standard error.
pub fn understand(printed: &str) -> Complaint {
    let lower = printed.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let words = last_words(printed);
    if has(&["no space left on device", "disk quota exceeded"]) {
        Complaint::NoRoom
    } else if has(&["ssh: not found", "ssh: command not found", "cannot run ssh"]) {
        Complaint::NoSsh
    } else if has(&["host key verification failed"]) {
        Complaint::HostKey
    } else if let Some(words) = unreached_over_ssh(printed) {
        Complaint::Unreachable(words)
    } else if has(&["couldn't find remote ref head"]) {
        Complaint::Empty
    } else if has(&[
        "couldn't find remote ref",
        "not our ref",
        "unadvertised object",
        "bad object",
    ]) {
        Complaint::NoReference
    } else if has(&[
        "permission denied (",
        "could not read from remote repository",
    ]) {
        Complaint::Key
    } else if has(&[
        "could not read username",
        "could not read password",
        "authentication failed",
        "returned error: 401",
        "returned error: 403",
        "returned error: 404",
        "not found",
    ]) {
        Complaint::Denied
    } else if has(&["redirect", "returned error: 30"]) {
        Complaint::Moved(words)
    } else if has(&[
        "could not resolve host",
        "failed to connect",
        "couldn't connect",
        "timed out",
        "operation too slow",
        "connection refused",
        "returned error: 5",
        "the remote end hung up",
        "empty reply from server",
    ]) {
        Complaint::Unreachable(words)
    } else if has(&["certificate", "ssl", "tls"]) {
        Complaint::Certificate(words)
    } else {
        Complaint::Other(words)
    }
}

/// What ssh says when it reaches nobody; git's own words behind it tell less.
fn unreached_over_ssh(printed: &str) -> Option<String> {
    let is_unreached = |line: &&str| {
        [
            "ssh: connect to host",
            "ssh: Could not resolve hostname",
            "kex_exchange_identification:",
            "banner exchange:",
            "Connection closed by",
            "Connection reset by",
            "Connection timed out during",
            "Timeout, server",
        ]
        .iter()
        .any(|words| line.contains(words))
    };
    let mut lines = printed.split(['\n', '\r']).map(str::trim);
    let line = lines.find(is_unreached)?;
    Some(plain(line.trim_start_matches("ssh: ")))
}

/// The last line that says something of its own.
fn last_words(printed: &str) -> String {
    let mut lines = printed
        .split(['\n', '\r'])
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let is_error = |line: &&str| line.starts_with("fatal:") || line.starts_with("error:");
    let line = lines
        .clone()
        .rfind(is_error)
        .or(lines.next_back())
        .unwrap_or("it said nothing");
    let line = line
        .trim_start_matches("fatal: ")
        .trim_start_matches("error: ");
    plain(line)
}

fn plain(line: &str) -> String {
    let is_text = |c: &char| !c.is_control();
    line.chars().filter(is_text).take(MAX_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_is_understood() {
        use Complaint::{Denied, Empty, HostKey, Key, NoReference, NoRoom, NoSsh, Other};
        let behind = "fatal: Could not read from remote repository.";
        let unreachable = "unable to access 'https://h/x/': Could not resolve host: h";
        let table = [
            (
                "fatal: could not read Username for 'https://h': terminal prompts disabled",
                Denied,
            ),
            (
                "remote: Not Found\nfatal: repository 'https://h/x/' not found",
                Denied,
            ),
            (
                "fatal: unable to access 'https://h/x/': The requested URL returned error: 403",
                Denied,
            ),
            ("fatal: couldn't find remote ref refs/heads/x", NoReference),
            (
                "fatal: remote error: upload-pack: not our ref c0ffee",
                NoReference,
            ),
            ("fatal: couldn't find remote ref HEAD", Empty),
            (
                "fatal: write error: No space left on device\nfatal: fetch-pack failed",
                NoRoom,
            ),
            (
                &format!("git@h: Permission denied (publickey).\r\n{behind}"),
                Key,
            ),
            (&format!("ERROR: Repository not found.\n{behind}"), Key),
            (
                &format!("fatal: '/x' does not appear to be a git repository\n{behind}"),
                Key,
            ),
            (
                &format!("Host key verification failed.\r\n{behind}"),
                HostKey,
            ),
            (&format!("sh: 1: ssh: not found\n{behind}"), NoSsh),
            (
                &format!("ssh: connect to host 192.0.2.7 port 22: Connection refused\r\n{behind}"),
                Complaint::Unreachable(
                    "connect to host 192.0.2.7 port 22: Connection refused".to_owned(),
                ),
            ),
            ("fatal: bad line\n", Other("bad line".to_owned())),
            ("", Other("it said nothing".to_owned())),
            (
                &format!("fatal: {unreachable}"),
                Complaint::Unreachable(unreachable.to_owned()),
            ),
        ];
        for (printed, complaint) in table {
            assert_eq!(understand(printed), complaint, "{printed}");
        }
    }
}
