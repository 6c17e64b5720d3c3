//! What is written at the forge: deploy keys, commits and pull requests. Git itself makes the commits, in the repository that the test's Git
//! server serves, so that what was delivered is read again as from a real one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Asked, FakeForge, id, ok, said};

/// What is written to a repository; the test's own repository has it, too.
#[derive(Default)]
pub struct Written {
    /// Where that lies.
    pub folder: Option<PathBuf>,
    /// The branches that are open, by number.
    pub open: BTreeMap<u64, Value>,
    /// How many were opened.
    opened: u64,
}

impl FakeForge {
    pub(super) fn key(&self, path: &str, asked: &Asked) -> Response {
        let mut keys = self.0.keys.lock().unwrap();
        let shown = |id: u64, key: &Value| {
            let mut key = key.clone();
            key["id"] = json!(id);
            key
        };
        match (asked.method.as_str(), id(path)) {
            ("POST", None) => {
                if keys.values().any(|known| known["key"] == asked.body["key"]) {
                    return said(422, "key is already in use");
                }
                let id = keys.keys().last().map_or(71, |last| last + 1);
                keys.insert(id, asked.body.clone());
                (StatusCode::CREATED, shown(id, &asked.body).to_string()).into_response()
            }
            ("GET", Some(id)) if keys.contains_key(&id) => ok(&shown(id, &keys[&id])),
            ("DELETE", Some(id)) if keys.remove(&id).is_some() => {
                StatusCode::NO_CONTENT.into_response()
            }
            _ => said(404, "Not Found"),
        }
    }

    /// Opens a pull request, or lists the open ones of a branch: `named` is what their number is called, `branch` where the branch stands.
    pub(super) fn pull(
        &self,
        asked: &Asked,
        named: &str,
        branch: &str,
        list: impl Fn(Value) -> Value,
    ) -> Response {
        let mut written = self.0.written.lock().unwrap();
        let of = |pull: &Value| {
            pull.pointer(branch)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        if asked.method == Method::GET {
            let query = asked.path.replace("%2F", "/").replace("%3A", ":");
            let fits = |pull: &&Value| query.contains(&of(pull));
            let found = written.open.values().filter(fits).cloned().collect();
            return ok(&list(Value::Array(found)));
        }
        let wanted = of(&asked.body);
        if !written.git(&["rev-parse", "--verify", &wanted], None).1 {
            return said(422, "Validation Failed");
        }
        if written.open.values().any(|pull| of(pull) == wanted) {
            return said(422, "A pull request already exists");
        }
        written.opened += 1;
        let number = written.opened;
        let mut pull = asked.body.clone();
        pull[named] = json!(number);
        written.open.insert(number, pull.clone());
        (StatusCode::CREATED, pull.to_string()).into_response()
    }

    /// Writes files as one commit on a branch, of another commit where it is new.
    pub(super) fn write(
        &self,
        branch: &str,
        start: Option<&str>,
        message: &str,
        files: &[(String, Vec<u8>, bool)],
    ) -> Response {
        let written = self.0.written.lock().unwrap();
        let reference = format!("refs/heads/{branch}");
        let (head, is_there) = written.git(&["rev-parse", "--verify", &reference], None);
        let parent = match (is_there, start) {
            (true, None) => head,
            (true, Some(start)) if start == head => head,
            (false, Some(start)) => start.to_owned(),
            _ => {
                return said(
                    400,
                    "A branch called like that already exists, or is not where it was",
                );
            }
        };
        written.git(&["read-tree", &parent], None);
        for (path, content, executable) in files {
            let (blob, _) = written.git(&["hash-object", "-w", "--stdin"], Some(content));
            let mode = if *executable { "100755" } else { "100644" };
            let entry = format!("{mode},{blob},{path}");
            assert!(
                written
                    .git(&["update-index", "--add", "--cacheinfo", &entry], None)
                    .1
            );
        }
        let (tree, _) = written.git(&["write-tree"], None);
        let (commit, _) = written.git(&["commit-tree", &tree, "-p", &parent, "-m", message], None);
        assert!(written.git(&["update-ref", &reference, &commit], None).1);
        (StatusCode::CREATED, json!({ "id": commit }).to_string()).into_response()
    }

    /// GitHub's way to write, part by part, with git doing each.
    pub(super) fn git_data(&self, part: &str, asked: &Asked) -> Response {
        use base64::Engine as _;
        let written = self.0.written.lock().unwrap();
        let body = &asked.body;
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let made =
            |sha: &str| (StatusCode::CREATED, json!({ "sha": sha }).to_string()).into_response();
        if let Some(commit) = part.strip_prefix("commits/") {
            let (tree, found) = written.git(&["rev-parse", &format!("{commit}^{{tree}}")], None);
            return if found {
                ok(&json!({ "sha": commit, "tree": { "sha": tree } }))
            } else {
                said(404, "Not Found")
            };
        }
        if let Some(branch) = part.strip_prefix("refs/") {
            let (head, _) = written.git(&["rev-parse", &format!("{}^", text("sha"))], None);
            let moved = written
                .git(
                    &["update-ref", &format!("refs/{branch}"), text("sha"), &head],
                    None,
                )
                .1;
            assert_eq!(body["force"], false);
            return if moved {
                ok(&json!({ "ref": branch }))
            } else {
                said(422, "Update is not a fast forward")
            };
        }
        match part {
            "blobs" => {
                assert_eq!(text("encoding"), "base64");
                let content = base64::engine::general_purpose::STANDARD
                    .decode(text("content"))
                    .unwrap();
                made(
                    &written
                        .git(&["hash-object", "-w", "--stdin"], Some(&content))
                        .0,
                )
            }
            "trees" => {
                written.git(&["read-tree", text("base_tree")], None);
                for entry in body["tree"].as_array().unwrap() {
                    let part = |name: &str| entry[name].as_str().unwrap();
                    assert_eq!(part("type"), "blob");
                    let entry = format!("{},{},{}", part("mode"), part("sha"), part("path"));
                    assert!(
                        written
                            .git(&["update-index", "--add", "--cacheinfo", &entry], None)
                            .1
                    );
                }
                made(&written.git(&["write-tree"], None).0)
            }
            "commits" => {
                let parent = body["parents"][0].as_str().unwrap();
                made(
                    &written
                        .git(
                            &[
                                "commit-tree",
                                text("tree"),
                                "-p",
                                parent,
                                "-m",
                                text("message"),
                            ],
                            None,
                        )
                        .0,
                )
            }
            "refs" => {
                let none = "0".repeat(40);
                let is_new = written
                    .git(&["update-ref", text("ref"), text("sha"), &none], None)
                    .1;
                if is_new {
                    made(text("sha"))
                } else {
                    said(422, "Reference already exists")
                }
            }
            _ => said(404, "Not Found"),
        }
    }
}

impl Written {
    /// Git in the repository that is written to; what it says, and whether it has done so.
    fn git(&self, arguments: &[&str], input: Option<&[u8]>) -> (String, bool) {
        use std::io::Write as _;
        let mut command = std::process::Command::new("git");
        command
            .args(["-c", "user.name=Towline", "-c", "user.email=t@example.org"])
            .args(arguments)
            .current_dir(self.folder.as_ref().expect("something to write to"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_INDEX_FILE", ".git/index-of-the-forge")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        // One that reads nothing has ended already.
        let _ = child
            .stdin
            .take()
            .unwrap()
            .write_all(input.unwrap_or_default());
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (text, output.status.success())
    }
}
