//! Bodies in protobuf, which `kubectl create` sends, read into documents.
//!
//! `wire.txt` has a line for each structure: `name=number` for its fields, `^Structure=number` for one whose fields stand among its own. The shapes say
//! the rest. The facts are those of the published descriptions.

use std::{collections::HashMap, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value};

use crate::kinds::shape::Shape;

const MAGIC: &[u8] = b"k8s\0";

type Numbers = HashMap<&'static str, HashMap<u64, &'static str>>;
static NUMBERS: LazyLock<Numbers> = LazyLock::new(|| {
    let lines = include_str!("wire.txt").lines();
    lines
        .filter_map(|line| {
            let mut words = line.split(' ');
            let name = words.next()?;
            let fields = words.filter_map(|word| {
                let (field, number) = word.split_once('=')?;
                Some((number.parse().ok()?, field))
            });
            Some((name, fields.collect()))
        })
        .collect()
});

/// The document, if the body is protobuf that is understood.
pub(crate) fn document(body: &[u8]) -> Option<Value> {
    let envelope = Reader(body.strip_prefix(MAGIC)?);
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &body[..0]);
    for (number, field) in envelope.fields()? {
        match (number, field) {
            (1, Wire::Bytes(meta)) => {
                for (number, field) in Reader(meta).fields()? {
                    match (number, field) {
                        (1, Wire::Bytes(text)) => {
                            api_version = String::from_utf8(text.to_vec()).ok()?;
                        }
                        (2, Wire::Bytes(text)) => kind = String::from_utf8(text.to_vec()).ok()?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let structure = NUMBERS.keys().find(|name| **name == kind)?;
    let mut map = structure_of(structure, &Shape::built_in(structure), raw)?;
    map.insert("apiVersion".to_owned(), api_version.into());
    map.insert("kind".to_owned(), kind.into());
    Some(Value::Object(map))
}

#[derive(Clone, Copy)]
enum Wire<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn fields(self) -> Option<Vec<(u64, Wire<'b>)>> {
        let (mut rest, mut fields) = (self.0, Vec::new());
        while !rest.is_empty() {
            let tag = number(&mut rest)?;
            let field = match tag & 7 {
                0 => Wire::Number(number(&mut rest)?),
                1 => Wire::Bytes(take(&mut rest, 8)?),
                2 => {
                    let length = usize::try_from(number(&mut rest)?).ok()?;
                    Wire::Bytes(take(&mut rest, length)?)
                }
                5 => Wire::Bytes(take(&mut rest, 4)?),
                _ => return None,
            };
            fields.push((tag >> 3, field));
        }
        Some(fields)
    }
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn structure_of(name: &str, shape: &Shape, bytes: &[u8]) -> Option<Map<String, Value>> {
    let numbers = NUMBERS.get(name)?;
    let mut map = Map::new();
    for (number, wire) in Reader(bytes).fields()? {
        let Some(field) = numbers.get(&number) else {
            continue;
        };
        if let (Some(inline), Wire::Bytes(bytes)) = (field.strip_prefix('^'), wire) {
            map.extend(structure_of(inline, shape, bytes)?);
            continue;
        }
        let below = shape.below(field);
        match (below, wire) {
            (Shape::List(item, _), wire) => {
                let list = map
                    .entry(*field)
                    .or_insert_with(|| Value::Array(Vec::new()));
                let value = value_of(item, wire)?;
                list.as_array_mut()?.push(value);
            }
            (Shape::Map(item, _), Wire::Bytes(entry)) => {
                let (key, value) = entry_of(item, entry)?;
                let below = map
                    .entry(*field)
                    .or_insert_with(|| Value::Object(Map::new()));
                below.as_object_mut()?.insert(key, value);
            }
            (below, wire) => {
                let value = value_of(below, wire)?;
                if says_something(field, &value) {
                    map.insert((*field).to_owned(), value);
                }
            }
        }
    }
    Some(map)
}

/// Fields whose nought or no is something else than silence.
const SPOKEN: [&str; 15] = [
    "allowPrivilegeEscalation",
    "automountServiceAccountToken",
    "backoffLimit",
    "completions",
    "enableServiceLinks",
    "minReplicas",
    "parallelism",
    "readOnlyRootFilesystem",
    "replicas",
    "revisionHistoryLimit",
    "runAsNonRoot",
    "runAsUser",
    "suspend",
    "terminationGracePeriodSeconds",
    "ttlSecondsAfterFinished",
];

/// Where nothing is said, protobuf says an empty text, nought, or no; JSON has no such field.
fn says_something(field: &str, value: &Value) -> bool {
    let is_silence = value.is_null() || value == "" || *value == 0 || *value == false;
    !is_silence || SPOKEN.contains(&field)
}

fn entry_of(shape: &Shape, entry: &[u8]) -> Option<(String, Value)> {
    let (mut key, mut value) = (String::new(), Value::String(String::new()));
    for (number, wire) in Reader(entry).fields()? {
        match (number, wire) {
            (1, Wire::Bytes(text)) => key = String::from_utf8(text.to_vec()).ok()?,
            (2, wire) => value = value_of(shape, wire)?,
            _ => {}
        }
    }
    Some((key, value))
}

fn value_of(shape: &Shape, wire: Wire) -> Option<Value> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    Some(match (shape, wire) {
        (Shape::Boolean, Wire::Number(number)) => (number != 0).into(),
        (_, Wire::Number(number)) => number.cast_signed().into(),
        (Shape::Bytes, Wire::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (Shape::Time, Wire::Bytes(bytes)) => time_of(bytes)?,
        (Shape::Quantity, Wire::Bytes(bytes)) => match Reader(bytes).fields()?.first() {
            Some((1, Wire::Bytes(quantity))) => text(quantity)?.into(),
            _ => Value::Null,
        },
        (Shape::IntegerOrText, Wire::Bytes(bytes)) => number_or_text(bytes)?,
        (Shape::Structure(..), Wire::Bytes(bytes)) => {
            Value::Object(structure_of(shape.structure(), shape, bytes)?)
        }
        (Shape::Free, Wire::Bytes(bytes)) => match Reader(bytes).fields()?.first() {
            Some((1, Wire::Bytes(raw))) => serde_json::from_slice(raw).ok()?,
            _ => Value::Null,
        },
        (_, Wire::Bytes(bytes)) => text(bytes)?.into(),
    })
}

fn time_of(bytes: &[u8]) -> Option<Value> {
    let (mut seconds, mut nanos) = (0, 0);
    for (number, wire) in Reader(bytes).fields()? {
        match (number, wire) {
            (1, Wire::Number(value)) => seconds = value.cast_signed(),
            (2, Wire::Number(value)) => nanos = u32::try_from(value).ok()?,
            _ => {}
        }
    }
    if bytes.is_empty() {
        return Some(Value::Null);
    }
    let time = DateTime::from_timestamp(seconds, nanos)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Secs, true).into())
}

fn number_or_text(bytes: &[u8]) -> Option<Value> {
    let (mut is_text, mut integer, mut words) = (false, 0, String::new());
    for (number, wire) in Reader(bytes).fields()? {
        match (number, wire) {
            (1, Wire::Number(kind)) => is_text = kind == 1,
            (2, Wire::Number(value)) => integer = value.cast_signed(),
            (3, Wire::Bytes(text)) => words = String::from_utf8(text.to_vec()).ok()?,
            _ => {}
        }
    }
    Some(if is_text {
        words.into()
    } else {
        integer.into()
    })
}
