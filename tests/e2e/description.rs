//! The API's description against the API: Schemathesis asks everything that it allows, and much that it does not.

use towline_tests::parts::Parts;
use towline_tests::process::{guarded, output};
use towline_tests::scratch::Scratch;
use towline_tests::server::{DatabaseKind, ServerPlan, ServerProcess};
use towline_tests::story::set_up;

/// What an answer is judged by.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
/// Archives are no JSON: nothing can be made up of their description.
const NOT_ASKED: &str = "replace_files";

#[test]
fn no_answer_fails_and_none_is_undocumented() {
    let mut server = ServerProcess::start(ServerPlan::new(DatabaseKind::Sqlite));
    let setup = server.setup_link();
    let api = set_up(&server.public_api(), &setup);
    let folder = Scratch::new("schemathesis");
    let mut command = guarded(Parts::locate().schemathesis());
    command
        .args(["run", &format!("{}/api/v1/openapi.json", server.url())])
        .args(["--header", &format!("Authorization: Bearer {}", api.key())])
        .args(["--tls-verify", &server.ca().display().to_string()])
        .args(["--checks", CHECKS, "--exclude-operation-id", NOT_ASKED])
        // Each field at, below and above its limits, wrong and left out; then a few made at random.
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "3", "--seed", "1"])
        // Two threads that take Python apart at once meet a fault of Python 3.11 (its issue 106905).
        .args(["--workers", "1", "--no-color", "--warnings", "off"])
        .env_remove("REQUESTS_CA_BUNDLE")
        .env_remove("CURL_CA_BUNDLE")
        .env("HYPOTHESIS_STORAGE_DIRECTORY", folder.path())
        .current_dir(folder.path());
    let report = output(command);
    let asked = cases(&report);
    assert!(asked > 1000, "{report}");
}

/// How many cases passed: `4074 generated, 4074 passed`.
fn cases(report: &str) -> usize {
    let line = report.lines().find(|line| line.contains(" generated, "));
    let line = line.unwrap_or_else(|| panic!("no count in {report}"));
    let words: Vec<_> = line.split_whitespace().collect();
    let at = words.iter().position(|word| word.starts_with("passed"));
    words[at.unwrap() - 1].parse().unwrap()
}
