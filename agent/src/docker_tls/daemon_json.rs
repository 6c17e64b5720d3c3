//! `daemon.json`, changed as text: what its owner has written keeps its order, its spaces and its bytes.
//!
//! Keys are appended behind the last one, and cut out again; none of the owner's is ever replaced.

use std::ops::Range;

use serde_json::{Map, Value};

/// Why the file is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigTrouble {
    /// It is no JSON object.
    #[error("line {line}, column {column}: {cause}; mend it first (nothing was changed)")]
    Broken {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What the reader said.
        cause: String,
    },
    /// Its owner has settings of his own.
    #[error(
        "line {line} has {key:?}, which is set here by its owner; take it out if Towline is to set it (nothing was changed)"
    )]
    Conflict {
        /// Counted from 1.
        line: usize,
        /// The key.
        key: String,
    },
    /// Somebody has changed what was written by us.
    #[error(
        "line {line} has another {key:?} than the one that was put in; put that back or take the line out, then try again"
    )]
    Edited {
        /// Counted from 1.
        line: usize,
        /// The key.
        key: String,
    },
}

/// A file that has been read.
#[derive(Debug)]
pub struct DaemonJson<'t> {
    text: &'t str,
    values: Map<String, Value>,
    members: Vec<Member>,
}

/// A key with its value, and where the two stand.
#[derive(Debug)]
struct Member {
    key: String,
    place: Range<usize>,
}

impl<'t> DaemonJson<'t> {
    /// Reads it. One without anything in it is an empty object, as dockerd takes it.
    pub fn read(text: &'t str) -> Result<Self, ConfigTrouble> {
        let text = if text.trim().is_empty() { "{}\n" } else { text };
        let values = serde_json::from_str(text).map_err(|error| ConfigTrouble::Broken {
            line: error.line(),
            column: error.column().max(1),
            cause: words(&error),
        })?;
        Ok(Self {
            text,
            values,
            members: members(text),
        })
    }

    /// A value.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// The text with these behind all others; a key that is there already is a conflict.
    pub fn with(&self, ours: &[(&str, Value)]) -> Result<String, ConfigTrouble> {
        let is_ours = |member: &&Member| ours.iter().any(|(key, _)| *key == member.key);
        if let Some(member) = self.members.iter().find(is_ours) {
            return Err(ConfigTrouble::Conflict {
                line: self.line(member),
                key: member.key.clone(),
            });
        }
        let (head, tail) = self.text.split_at(self.text.rfind('}').unwrap_or_default());
        let head = head.trim_end();
        let indent = self.indent();
        let lines: Vec<String> = ours
            .iter()
            .map(|(key, value)| format!("{indent}{}: {value}", Value::from(*key)))
            .collect();
        let comma = if self.members.is_empty() { "" } else { "," };
        Ok(format!("{head}{comma}\n{}\n{tail}", lines.join(",\n")))
    }

    /// The text without these; one that has another value by now is somebody's.
    pub fn without(&self, ours: &[(&str, Value)]) -> Result<String, ConfigTrouble> {
        let mut kept = Vec::new();
        for member in &self.members {
            match ours.iter().find(|(key, _)| *key == member.key) {
                Some((_, value)) if self.get(&member.key) == Some(value) => {}
                Some(_) => {
                    return Err(ConfigTrouble::Edited {
                        line: self.line(member),
                        key: member.key.clone(),
                    });
                }
                None => kept.push(member),
            }
        }
        if kept.len() == self.members.len() {
            return Ok(self.text.to_owned());
        }
        let (Some(first), Some(last)) = (self.members.first(), self.members.last()) else {
            return Ok(self.text.to_owned());
        };
        let mut text = self.text[..first.place.start].to_owned();
        for (at, member) in kept.iter().enumerate() {
            if at > 0 {
                text.push_str(self.before(member));
            }
            text.push_str(&self.text[member.place.clone()]);
        }
        text.push_str(&self.text[last.place.end..]);
        Ok(text)
    }

    /// The comma and the spaces in front of a member that is not the first.
    fn before(&self, member: &Member) -> &str {
        let end = member.place.start;
        let earlier = self.members.iter().rev();
        let start = earlier
            .map(|other| other.place.end)
            .find(|start| *start <= end);
        start.map_or(",\n", |start| &self.text[start..end])
    }

    fn line(&self, member: &Member) -> usize {
        self.text[..member.place.start].matches('\n').count() + 1
    }

    /// The spaces in front of the first key, when it stands on a line of its own.
    fn indent(&self) -> &str {
        let first = self.members.first().map(|member| member.place.start);
        let line = first.and_then(|start| self.text[..start].rsplit_once('\n'));
        line.map(|(_, spaces)| spaces)
            .filter(|spaces| spaces.trim().is_empty())
            .unwrap_or("  ")
    }
}

/// What serde says, without the place that is told beside it.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}

/// The members of an object that is known to be one.
fn members(text: &str) -> Vec<Member> {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut found) = (0, 0_usize, Vec::<Member>::new());
    let mut begun: Option<Member> = None;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let end = string_end(bytes, at);
                if depth == 1 && begun.is_none() {
                    begun = Some(Member {
                        key: serde_json::from_str(&text[at..end]).unwrap_or_default(),
                        place: at..end,
                    });
                }
                at = end;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b',' if depth == 1 => found.extend(ended(text, &mut begun, at)),
            b'}' | b']' => {
                if depth == 1 {
                    found.extend(ended(text, &mut begun, at));
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn ended(text: &str, begun: &mut Option<Member>, at: usize) -> Option<Member> {
    let mut member = begun.take()?;
    member.place.end = text[..at].trim_end().len();
    Some(member)
}

/// Behind the closing quote of the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn ours() -> Vec<(&'static str, Value)> {
        vec![
            ("tls", json!(true)),
            ("hosts", json!(["fd://", "tcp://0.0.0.0:2376"])),
        ]
    }

    const MANY: &str = "{\n    \"zz\": {\"hosts\": [1, \"}\"]},\n    \"data-root\": \"/a,\\\"b}\",\n\n    \"aa\" : [ ]\n}\n";

    #[test]
    fn keys_come_behind_all_others_and_go_again() {
        let added = "\"tls\": true,\n  \"hosts\": [\"fd://\",\"tcp://0.0.0.0:2376\"]\n";
        let table = [
            ("", format!("{{\n  {added}}}\n")),
            (" \n", format!("{{\n  {added}}}\n")),
            ("{}", format!("{{\n  {added}}}")),
            ("{\n}\n", format!("{{\n  {added}}}\n")),
            (
                "{\"debug\":true}",
                format!("{{\"debug\":true,\n  {added}}}"),
            ),
            (
                MANY,
                format!(
                    "{},\n    {}}}\n",
                    MANY.trim_end().trim_end_matches('}').trim_end(),
                    added.replace("\n  ", "\n    ")
                ),
            ),
        ];
        for (text, expected) in table {
            let with = DaemonJson::read(text).unwrap().with(&ours()).unwrap();
            assert_eq!(with, expected, "{text}");
            let read: Map<String, Value> = serde_json::from_str(&with).unwrap();
            assert_eq!(read["hosts"][0], "fd://");
            let without = DaemonJson::read(&with).unwrap().without(&ours()).unwrap();
            let back: Map<String, Value> = serde_json::from_str(&without).unwrap();
            assert_eq!(back, DaemonJson::read(text).unwrap().values, "{without}");
        }
        let with = DaemonJson::read(MANY).unwrap().with(&ours()).unwrap();
        assert_eq!(
            DaemonJson::read(&with).unwrap().without(&ours()),
            Ok(MANY.to_owned())
        );
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..4)
                    .prop_map(|map| Value::from(Map::from_iter(map))),
            ]
        })
    }

    proptest! {
        #[test]
        fn adding_and_taking_out_are_inverse_for_any_file(
            values in prop::collection::btree_map(".*", value(), 0..6),
            pretty in any::<bool>(),
        ) {
            let values: Map<String, Value> = values.into_iter().collect();
            let text = if pretty {
                serde_json::to_string_pretty(&values).unwrap()
            } else {
                serde_json::to_string(&values).unwrap()
            };
            prop_assume!(!ours().iter().any(|(key, _)| values.contains_key(*key)));
            let with = DaemonJson::read(&text).unwrap().with(&ours()).unwrap();
            let mut expected = values.clone();
            expected.extend(ours().into_iter().map(|(key, value)| (key.to_owned(), value)));
            prop_assert_eq!(&DaemonJson::read(&with).unwrap().values, &expected, "{}", &with);
            let without = DaemonJson::read(&with).unwrap().without(&ours()).unwrap();
            prop_assert_eq!(&DaemonJson::read(&without).unwrap().values, &values, "{}", without);
        }
    }

    #[test]
    fn what_was_added_meanwhile_stays() {
        let text =
            "{\"tls\": true, \"a\": 1, \"hosts\": [\"fd://\", \"tcp://0.0.0.0:2376\"], \"b\": 2}";
        let without = DaemonJson::read(text).unwrap().without(&ours());
        assert_eq!(without.unwrap(), "{\"a\": 1, \"b\": 2}");
        let edited = "{\n\"tls\": false}";
        let refusal = DaemonJson::read(edited).unwrap().without(&ours());
        assert!(matches!(refusal, Err(ConfigTrouble::Edited { line: 2, key }) if key == "tls"));
    }

    #[test]
    fn trouble_has_a_line() {
        let table = [
            ("{\n  \"a\": 1,\n}", "line 3, column 1"),
            ("{\n\"a\": 1\n\"b\": 2}", "line 3, column 1"),
            ("[]", "line 1, column"),
            ("{\"a\": 1} x", "line 1, column 10"),
            ("\u{feff}{}", "line 1, column 1"),
            ("{", "line 1, column 1"),
        ];
        for (text, place) in table {
            let trouble = DaemonJson::read(text).unwrap_err().to_string();
            assert!(trouble.contains(place), "{text:?}: {trouble}");
            assert!(!trouble.contains("at line"), "{trouble}");
        }
        let own = "{\n  \"a\": {\"tls\": 1},\n  \"hosts\": []\n}";
        let conflict = DaemonJson::read(own).unwrap().with(&ours()).unwrap_err();
        assert!(
            conflict.to_string().starts_with("line 3 has \"hosts\""),
            "{conflict}"
        );
    }
}
