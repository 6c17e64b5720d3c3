//! What containers have written, and what tests want of them.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    document::{items, text},
    store::Key,
};

/// Namespace, pod, container.
pub(crate) type ContainerKey = (String, String, String);

/// One line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub time: DateTime<Utc>,
    pub text: String,
}

/// What one container has written: the one that runs, and the one before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// Lines that a rotation has taken away, so that a reader knows where it is.
    gone: usize,
    lines: Vec<Line>,
    previous: Option<Vec<Line>>,
    /// Counts the container's starts.
    run: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Containers {
    logs: HashMap<ContainerKey, Log>,
    /// Containers that are to end now, as if they had crashed.
    restarts: BTreeSet<ContainerKey>,
}

impl Log {
    /// The lines behind a place, and the place behind them.
    pub(crate) fn after(&self, place: usize) -> (&[Line], usize) {
        let from = place.saturating_sub(self.gone).min(self.lines.len());
        (&self.lines[from..], self.gone + self.lines.len())
    }

    pub(crate) fn previous(&self) -> Option<&[Line]> {
        self.previous.as_deref()
    }

    pub(crate) const fn run(&self) -> u64 {
        self.run
    }
}

impl Containers {
    pub(crate) fn log(&self, key: &ContainerKey) -> Option<&Log> {
        self.logs.get(key)
    }

    /// Adds lines to what the container has written.
    pub(crate) fn add(&mut self, key: ContainerKey, words: &str) {
        let log = self.logs.entry(key).or_default();
        let time = Utc::now();
        let lines = words.lines();
        log.lines.extend(lines.map(|line| Line {
            time,
            text: line.to_owned(),
        }));
    }

    /// The container starts, with what its command says at once.
    pub(crate) fn start(&mut self, key: &ContainerKey, container: &Value) {
        let log = self.logs.entry(key.clone()).or_default();
        if log.run > 0 {
            log.previous = Some(std::mem::take(&mut log.lines));
        }
        log.gone = 0;
        log.run += 1;
        for words in echoed(container) {
            self.add(key.clone(), &words);
        }
    }

    /// Takes away what was written so far, as a rotation does.
    pub(crate) fn rotate(&mut self, key: &ContainerKey) {
        if let Some(log) = self.logs.get_mut(key) {
            log.gone += log.lines.len();
            log.lines.clear();
        }
    }

    pub(crate) fn restart(&mut self, key: ContainerKey) {
        self.restarts.insert(key);
    }

    /// The pods of containers that are to end now.
    pub(crate) fn to_restart(&self) -> impl Iterator<Item = Key> {
        let keys = self.restarts.iter();
        keys.map(|(namespace, pod, _)| (namespace.clone(), pod.clone()))
    }

    /// Whether the container is to end now; asked once.
    pub(crate) fn takes_restart(&mut self, key: &ContainerKey) -> bool {
        self.restarts.remove(key)
    }

    pub(crate) fn forget_pod(&mut self, namespace: &str, pod: &str) {
        self.logs
            .retain(|(there, name, _), _| there != namespace || name != pod);
    }
}

/// The words of each `echo` in the container's script.
fn echoed(container: &Value) -> Vec<String> {
    let words = items(container, "command")
        .iter()
        .chain(items(container, "args"));
    let script = words
        .filter_map(Value::as_str)
        .filter(|word| word.contains("echo "));
    let statements = script.flat_map(|script| script.split(['\n', ';', '&', '|']).map(str::trim));
    statements
        .filter_map(|statement| statement.strip_prefix("echo "))
        .map(|words| words.trim().trim_matches(['"', '\'']).to_owned())
        .collect()
}

/// The names of a pod's containers.
pub(crate) fn names(pod: &Value, list: &str) -> Vec<String> {
    let containers = items(pod, &format!("spec/{list}")).iter();
    containers
        .map(|container| text(container, "name").to_owned())
        .collect()
}
