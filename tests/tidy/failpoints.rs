//! Code and list of the failpoints, held against each other.

use std::collections::BTreeMap;

use towline_shared::failpoint::POINTS;

use crate::source::{Source, assert_none, each, finds};

/// Where the points are made of names of messages.
const HOME: &str = "shared/src/failpoint/";
/// Where the messages are.
const MESSAGES: &str = "shared/src/protocol/v1.rs";

/// The points that a source passes by name: line and name.
fn passed(source: &Source) -> Vec<(usize, String)> {
    if source.path.starts_with(HOME) {
        return Vec::new();
    }
    let lines = source.product().into_iter();
    let named = lines.flat_map(|(at, line)| {
        let calls = line.split("reach(\"").skip(1);
        calls.filter_map(move |rest| Some((at, rest.split_once('"')?.0.to_owned())))
    });
    named.collect()
}

fn unlisted(source: &Source) -> Vec<String> {
    passed(source)
        .into_iter()
        .filter(|(_, name)| POINTS.iter().all(|point| point.name != name))
        .map(|(at, name)| source.at(at, &format!("{name:?} is not in the list of failpoints")))
        .collect()
}

/// A point whose name is made elsewhere cannot be found by the others of these rules.
fn nameless(source: &Source) -> Vec<String> {
    if source.path.starts_with(HOME) {
        return Vec::new();
    }
    let lines = source.product().into_iter();
    let calls = lines.filter(|(_, line)| {
        let mut calls = line.match_indices("reach(");
        calls.any(|(at, _)| {
            let is_call = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            is_call && !line[at..].starts_with("reach(\"")
        })
    });
    calls
        .map(|(at, _)| source.at(at, "a failpoint's name stands where it is reached"))
        .collect()
}

#[test]
fn every_failpoint_in_the_code_is_in_the_list() {
    crate::source::check(unlisted);
    crate::source::check(nameless);
}

#[test]
fn every_failpoint_of_the_list_is_in_the_code_once() {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let mut messages = String::new();
    each(|source| {
        for (_, name) in passed(source) {
            *times.entry(name).or_default() += 1;
        }
        if source.path == MESSAGES {
            messages.clone_from(&source.text);
        }
    });
    assert_none(&lost(
        POINTS.iter().map(|point| point.name),
        &times,
        &messages,
    ));
}

/// Those that the code does not pass, or passes at several places.
fn lost<'p>(
    points: impl Iterator<Item = &'p str>,
    times: &BTreeMap<String, usize>,
    messages: &str,
) -> Vec<String> {
    points
        .filter_map(|name| match name.split_once(" sent ") {
            Some((_, message)) => (!messages.contains(&format!(" => {message}(")))
                .then(|| format!("{name:?}: there is no such message")),
            None => match times.get(name) {
                Some(1) => None,
                times => Some(format!(
                    "{name:?} is passed at {} places",
                    times.unwrap_or(&0)
                )),
            },
        })
        .collect()
}

#[test]
fn failpoints_that_drifted_are_found() {
    let known = POINTS[0].name;
    finds(
        unlisted,
        &[(
            "agent/src/a.rs",
            "    reach(\"agent: did what nobody listed\");",
        )],
        &[
            ("agent/src/a.rs", &format!("    reach(\"{known}\");")),
            ("agent/src/a.rs", "    // reach(\"agent: in words\")"),
        ],
    );
    finds(
        nameless,
        &[("agent/src/a.rs", "    reach(name);")],
        &[("agent/src/a.rs", "    breach(name);")],
    );
    let times = BTreeMap::from([("a: one".to_owned(), 1), ("a: two".to_owned(), 2)]);
    let points = [
        "a: one",
        "a: two",
        "a: none",
        "a: sent Go",
        "a: sent Nothing",
    ];
    let found = lost(points.into_iter(), &times, "4 => Go(Attempt)");
    assert_eq!(found.len(), 3, "{found:?}");
}
