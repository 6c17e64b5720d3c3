//! A real Git server on loopback: `git http-backend` behind as much HTTP as it needs.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::scratch::Scratch;

/// Serves repositories that the test makes. Its threads end with the test.
#[derive(Debug)]
pub struct GitServer {
    folder: Scratch,
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What `Authorization` must be, when that is asked for.
    wanted: Mutex<Option<String>>,
    requests: AtomicUsize,
}

/// A repository with a work tree, to which the test commits.
#[derive(Debug)]
pub struct Repository {
    folder: PathBuf,
    url: String,
}

impl GitServer {
    /// Listens, and serves nothing yet.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let folder = Scratch::new("git");
        let shared = Arc::<Shared>::default();
        let (root, state) = (folder.path().to_path_buf(), Arc::clone(&shared));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, state) = (root.clone(), Arc::clone(&state));
                thread::spawn(move || {
                    // A client that goes away in the middle is one of the things that are tried.
                    let _ = answer(stream, &root, &state);
                });
            }
        });
        Self {
            folder,
            address,
            shared,
        }
    }

    /// From now on only who says this user and password is let in.
    pub fn ask_for(&self, user: &str, password: &str) {
        let pair = STANDARD.encode(format!("{user}:{password}"));
        let mut wanted = self.shared.wanted.lock().expect("nobody panics with it");
        *wanted = Some(format!("Basic {pair}"));
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// An empty repository, whose branch is `main`.
    pub fn repository(&self, name: &str) -> Repository {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let repository = Repository {
            folder,
            url: format!("http://{}/{name}", self.address),
        };
        repository.git(&["init", "--quiet", "--initial-branch", "main"]);
        repository
    }
}

impl Repository {
    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it is on this machine.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes files and commits all there is; gives the commit's name.
    pub fn commit(&self, title: &str, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            let path = self.folder.join(path);
            std::fs::create_dir_all(path.parent().expect("it is below the repository"))
                .expect("folders can be made");
            std::fs::write(path, content).expect("a file can be written");
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", title]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commits what a folder has.
    pub fn commit_folder(&self, title: &str, from: &Path) -> String {
        copy_all(from, &self.folder);
        self.commit(title, &[])
    }

    /// Makes a link.
    pub fn link(&self, target: &str, path: &str) {
        std::os::unix::fs::symlink(target, self.folder.join(path)).expect("a link can be made");
    }

    /// Runs git in it, as a person without any configuration; gives what it prints.
    pub fn git(&self, arguments: &[&str]) -> String {
        let person = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
        let output = Command::new("git")
            .args(person)
            .args(arguments)
            .current_dir(&self.folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("git starts");
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    let entries = std::fs::read_dir(from).expect("the folder can be read");
    for entry in entries.flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_all(&from, &to);
        } else {
            std::fs::copy(from, to).expect("a file can be copied");
        }
    }
}

/// One request, one answer, one connection.
fn answer(stream: TcpStream, root: &Path, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let (path, query) = {
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        (path.to_owned(), query.to_owned())
    };
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let header = |name: &str| {
        let found = headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let mut stream = stream;
    let wanted = shared.wanted.lock().expect("nobody panics with it").clone();
    if wanted.is_some_and(|wanted| wanted != header("authorization")) {
        return stream.write_all(
            b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\nContent-Length: 0\r\n\
              Connection: close\r\n\r\n",
        );
    }
    let body = body(
        &mut reader,
        &header("content-length"),
        &header("transfer-encoding"),
    )?;
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", method)
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut input = child.stdin.take().expect("it was asked for");
    let feed = thread::spawn(move || input.write_all(&body));
    let mut output = BufReader::new(child.stdout.take().expect("it was asked for"));
    pass_on(&mut output, &mut stream)?;
    let _ = feed.join();
    child.wait()?;
    Ok(())
}

fn body(
    reader: &mut BufReader<TcpStream>,
    length: &str,
    encoding: &str,
) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if encoding != "chunked" {
        let length = length.parse().unwrap_or(0);
        reader.take(length).read_to_end(&mut body)?;
        return Ok(body);
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim(), 16).unwrap_or(0);
        reader.take(length).read_to_end(&mut body)?;
        reader.read_line(&mut line)?;
        if length == 0 {
            return Ok(body);
        }
    }
}

/// A CGI program's answer becomes HTTP's.
fn pass_on(output: &mut impl std::io::BufRead, stream: &mut TcpStream) -> std::io::Result<()> {
    let (mut status, mut head) = ("200 OK".to_owned(), String::new());
    loop {
        let mut line = String::new();
        if output.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        match line.strip_prefix("Status:") {
            Some(found) => found.trim().clone_into(&mut status),
            None => head.extend([line.trim_end(), "\r\n"]),
        }
    }
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{head}Connection: close\r\n\r\n"
    )?;
    std::io::copy(output, stream)?;
    stream.flush()
}
