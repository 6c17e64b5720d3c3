//! Every property, of random bytes, of changed valid ones, and of the committed corpus; a few seconds each.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test says what went wrong"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use towline_properties::{ALL, Property};

/// How long each kind of input is tried.
const TIME: Duration = Duration::from_millis(1500);
/// The most bytes of all corpora together.
const CORPUS: u64 = 1024 * 1024;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

/// A change of bytes, as transmission errors, attackers and fuzzers make them.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    Cut(Index),
    /// A length that says more, or less, than there is.
    Claim(Index, u64),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (any::<Index>(), 1..40_usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        (any::<Index>(), 1..40_usize, 2..200_usize)
            .prop_map(|(at, count, times)| Edit::Repeat(at, count, times)),
        any::<Index>().prop_map(Edit::Cut),
        (any::<Index>(), any::<u64>(), 0..64_u32)
            .prop_map(|(at, value, shift)| Edit::Claim(at, value >> shift)),
    ]
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            bytes.push(0);
        }
        let length = bytes.len();
        let part = |at: usize, count: usize| at..(at + count).min(length);
        match self {
            Self::Set(at, byte) => bytes[at.index(length)] = *byte,
            Self::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Self::Insert(at, more) => {
                let at = at.index(length + 1);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Remove(at, count) => drop(bytes.drain(part(at.index(length), *count))),
            Self::Repeat(at, count, times) => {
                let part = part(at.index(length), *count);
                let repeated = bytes[part.clone()].repeat(*times);
                bytes.splice(part, repeated);
            }
            Self::Cut(at) => bytes.truncate(at.index(length)),
            Self::Claim(at, value) => {
                let at = at.index(length);
                bytes.splice(at..=at, varint(*value));
            }
        }
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

/// Tries inputs of a strategy for a while; each is the same in every run.
fn try_inputs(property: &Property, inputs: &impl Strategy<Value = Vec<u8>>) -> u32 {
    let end = Instant::now() + TIME;
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let mut tried = 0;
    while Instant::now() < end {
        let input = inputs.new_tree(&mut runner).unwrap().current();
        check(property, &input, "an input of the test");
        tried += 1;
    }
    tried
}

fn check(property: &Property, input: &[u8], whence: &str) {
    let held = std::panic::catch_unwind(|| (property.holds)(input));
    assert!(
        held.is_ok(),
        "{} does not hold of {whence}, {} bytes: {}",
        property.name,
        input.len(),
        input
            .escape_ascii()
            .take(4000)
            .collect::<Vec<_>>()
            .iter()
            .map(|byte| char::from(*byte))
            .collect::<String>()
    );
}

fn files_of(property: &Property) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = corpus().join(property.name);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn holds(name: &str) {
    let property = ALL.iter().find(|property| property.name == name).unwrap();
    let seeds = (property.seeds)();
    assert!(!seeds.is_empty());
    let mut known = Vec::new();
    for (path, input) in files_of(property) {
        check(property, &input, &path.display().to_string());
        known.push(input);
    }
    for input in &seeds {
        check(property, input, "a seed");
    }
    let random = try_inputs(property, &prop::collection::vec(any::<u8>(), 0..600));
    known.extend(seeds);
    let changed = (
        prop::sample::select(known),
        prop::collection::vec(edit(), 1..6),
    )
        .prop_map(|(mut bytes, edits)| {
            for edit in &edits {
                edit.apply(&mut bytes);
            }
            bytes
        });
    let changed = try_inputs(property, &changed);
    println!("{name}: {random} random inputs, {changed} changed ones");
    assert!(
        random > 20 && changed > 20,
        "{random} and {changed} inputs are too few"
    );
}

macro_rules! properties {
    ($($name:ident),+ $(,)?) => {
        /// The tests there are.
        const TESTED: &[&str] = &[$(stringify!($name)),+];

        $(#[test]
        fn $name() {
            holds(stringify!($name));
        })+
    };
}

properties!(
    agent_frame,
    server_frame,
    handshake,
    spec,
    log_payload,
    log_chunk,
    ledger,
    ledger_life,
    compose,
    policy,
    archive,
    masker,
    csr,
    terminal,
    webhook_signature,
);

/// A property without a test, a target or a corpus would be none.
#[test]
fn every_property_is_tested_and_fuzzed() {
    let names: Vec<_> = ALL.iter().map(|property| property.name).collect();
    assert_eq!(names, TESTED);
    let mut bytes = 0;
    for property in &ALL {
        let target = corpus().join(format!("../targets/{}.rs", property.name));
        let text = fs::read_to_string(&target).unwrap();
        assert!(
            text.contains(&format!("towline_properties::{}", property.name)),
            "{}",
            target.display()
        );
        bytes += files_of(property)
            .iter()
            .map(|(_, input)| input.len() as u64)
            .sum::<u64>();
    }
    assert!(
        bytes < CORPUS,
        "the corpora have {bytes} bytes: minimise them"
    );
}

/// A property that cannot fail finds nothing.
#[test]
fn a_reader_without_bounds_is_found() {
    let property = Property {
        name: "planted",
        holds: |bytes| assert!(bytes.len() < 100, "planted"),
        seeds: Vec::new,
    };
    let inputs = prop::collection::vec(any::<u8>(), 0..600);
    let found = std::panic::catch_unwind(|| try_inputs(&property, &inputs));
    assert!(found.is_err());
}
