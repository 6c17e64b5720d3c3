//! What a container does, read from what it is.

use serde_json::Value;

use crate::{
    controllers::desk::Desk,
    document::{at, items, text},
};

/// Which containers of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Initial,
    Main,
}

impl Part {
    pub(super) const fn containers(self) -> &'static str {
        match self {
            Self::Initial => "spec/initContainers",
            Self::Main => "spec/containers",
        }
    }

    pub(super) const fn statuses(self) -> &'static str {
        match self {
            Self::Initial => "status/initContainerStatuses",
            Self::Main => "status/containerStatuses",
        }
    }
}

/// What a container does when it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Conduct {
    Runs {
        ready: bool,
    },
    Exits(i64),
    NoImage,
    /// Something that its environment names is not there.
    NoConfiguration(String),
}

impl Conduct {
    pub(super) fn of(desk: &Desk, pod: &Value, container: &Value, part: Part) -> Self {
        if text(container, "image").contains("does-not-exist") {
            return Self::NoImage;
        }
        if let Some(missing) = missing(desk, pod, container) {
            return Self::NoConfiguration(missing);
        }
        if let Some(code) = exit_code(container) {
            return Self::Exits(code);
        }
        if part == Part::Initial {
            return Self::Exits(0);
        }
        let probe = items(container, "readinessProbe/exec/command");
        Self::Runs {
            ready: probe.last().is_none_or(|word| word != "false"),
        }
    }
}

/// By the last word of its command, or the words of its script.
fn exit_code(container: &Value) -> Option<i64> {
    let words = items(container, "command")
        .iter()
        .chain(items(container, "args"));
    let last = words.filter_map(Value::as_str).next_back()?;
    let statements = last.split([';', '\n']).map(str::trim);
    let mut statements = statements.filter(|statement| !statement.is_empty());
    match last {
        "false" => Some(1),
        "true" => Some(0),
        script if script.contains("exit 1") => Some(1),
        script if script.contains("exit 0") => Some(0),
        script if script.starts_with("echo ") => statements
            .all(|statement| statement.starts_with("echo "))
            .then_some(0),
        _ => None,
    }
}

/// What the environment names and is not there.
fn missing(desk: &Desk, pod: &Value, container: &Value) -> Option<String> {
    let namespace = text(pod, "metadata/namespace");
    let absent = |resource: &str, reference: &Value| {
        let name = text(reference, "name");
        let key = (namespace.to_owned(), name.to_owned());
        let counts = !name.is_empty() && reference["optional"] != true;
        (counts && desk.get(resource, &key).is_none())
            .then(|| format!("{} {name:?} not found", resource.trim_end_matches('s')))
    };
    let from = items(container, "envFrom").iter().flat_map(|source| {
        [
            ("secrets", at(source, "secretRef")),
            ("configmaps", at(source, "configMapRef")),
        ]
    });
    let single = items(container, "env").iter().flat_map(|variable| {
        [
            ("secrets", at(variable, "valueFrom/secretKeyRef")),
            ("configmaps", at(variable, "valueFrom/configMapKeyRef")),
        ]
    });
    from.chain(single)
        .find_map(|(resource, reference)| absent(resource, reference))
}
