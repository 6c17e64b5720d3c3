//! Compose files and host policies: read within bounds, and never the more permitted the stricter.

use std::collections::BTreeSet;

use towline_shared::compose::{Finding, Severity, examine, is_reserved_variable, locate};
use towline_shared::policy::{HostPolicy, Permission};
use towline_shared::spec::{FileMode, ProjectFile};

use crate::bound::within;
use crate::feed::Feed;

/// A node of a document has its place, its text and its tag.
const SWELL: usize = 2048;
const BASE: usize = 8 * 1024 * 1024;

/// What a host allows that allows everything.
fn lax() -> HostPolicy {
    HostPolicy {
        privileged: Permission::Allow,
        host_namespaces: Permission::Allow,
        bind_mounts: vec!["/".into()],
        capabilities: vec!["ALL".into()],
        devices: Permission::Allow,
        unconfined: Permission::Allow,
        registries: vec![],
        build: Permission::Allow,
    }
}

/// A project: its compose file, and after the first NUL another file beside it.
pub fn compose(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |&byte| byte == 0);
    let mut file = |path: &str| {
        Some(ProjectFile {
            path: path.into(),
            content: parts.next()?.to_vec(),
            mode: FileMode::Regular,
        })
    };
    let files: Vec<_> = ["compose.yaml", "other.yaml", ".env"]
        .iter()
        .filter_map(|path| file(path))
        .collect();
    let limit = BASE + SWELL * bytes.len();
    let strict = within(limit, || {
        examine(&files, "compose.yaml", &HostPolicy::default())
    });
    let loose = within(limit, || examine(&files, "compose.yaml", &lax()));
    let strict = errors(&strict);
    let loose = errors(&loose);
    assert!(
        loose.is_empty() || !strict.is_empty(),
        "only a lax host refuses it: {loose:?}"
    );
    for (file, line, ..) in &strict {
        let lines = files
            .iter()
            .find(|read| read.path == *file)
            .map_or(0, |read| lines_of_yaml(&read.content));
        assert!(
            line.is_none_or(|line| line as usize <= lines + 1),
            "line {line:?} of {lines}"
        );
    }
    if let Ok(text) = std::str::from_utf8(&files[0].content) {
        let _ = within(limit, || locate(&files, "compose.yaml", text));
        let _ = is_reserved_variable(text);
    }
}

/// To YAML a line ends with a line feed, a carriage return, or the two together.
fn lines_of_yaml(content: &[u8]) -> usize {
    let mut breaks = 0;
    let mut before = None;
    for &byte in content {
        breaks += usize::from(byte == b'\r' || (byte == b'\n' && before != Some(b'\r')));
        before = Some(byte);
    }
    breaks + 1
}

type Error<'a> = (&'a str, Option<u32>, String, &'a str);

fn errors(findings: &[Finding]) -> BTreeSet<Error<'_>> {
    let errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    errors
        .map(|finding| {
            let Finding {
                file,
                line,
                rule,
                message,
                ..
            } = finding;
            (file.as_str(), *line, rule.to_string(), message.as_str())
        })
        .collect()
}

/// A host's policy file and, after the first NUL, the resolved model that it judges.
pub fn policy(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let length = bytes.iter().position(|&byte| byte == 0);
    let text = feed.bytes(length.unwrap_or(bytes.len()));
    let _ = feed.byte();
    let model = feed.rest();
    let limit = BASE + SWELL * bytes.len();
    let policy = std::str::from_utf8(text)
        .ok()
        .and_then(|text| within(limit, || toml::from_str::<HostPolicy>(text)).ok());
    if let Some(policy) = &policy {
        let written = toml::to_string(policy).unwrap();
        assert_eq!(toml::from_str::<HostPolicy>(&written).as_ref(), Ok(policy));
    }
    if let Ok(model) = serde_json::from_slice(model) {
        judge(&policy.unwrap_or_default(), &model, limit);
    }
}

/// What the default permits, a policy that grants more permits too; what it forbids though it grants
/// everything, all forbid.
fn judge(policy: &HostPolicy, model: &serde_json::Value, limit: usize) {
    let check = |policy: &HostPolicy| {
        let violations = within(limit, || policy.check(model, "/srv/project"));
        let told = violations.into_iter();
        told.map(|violation| (violation.path, violation.rule.to_string()))
            .collect::<BTreeSet<_>>()
    };
    let (default, given, lax) = (check(&HostPolicy::default()), check(policy), check(&lax()));
    // The first reason hides others of the same thing, so that sets cannot be compared.
    assert!(
        lax.is_empty() || !given.is_empty(),
        "all is granted, and less is permitted: {lax:?}"
    );
    if policy.registries.is_empty() {
        assert!(
            given.is_empty() || !default.is_empty(),
            "more is granted, and less is permitted: {given:?}"
        );
    }
    if *policy == HostPolicy::default() {
        assert_eq!(given, default);
    }
    if default.is_empty() {
        assert!(!model.to_string().contains("\"privileged\":true") || !is_service(model));
    }
}

/// Whether a service of the model is privileged.
fn is_service(model: &serde_json::Value) -> bool {
    let services = model["services"].as_object();
    services.is_some_and(|services| {
        services
            .values()
            .any(|service| service["privileged"] == true)
    })
}
