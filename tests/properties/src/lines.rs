//! Masking: from what a job prints, in any pieces, to lines without its secrets.

use towline_agent::executor::docker::Lines;
use towline_agent::mask::{Masker, SHORTEST};
use towline_shared::log::MAX_LINE_BYTES;
use towline_shared::spec::Secret;

use crate::bound::within;
use crate::feed::Feed;

/// The pending line, its masked copy, and the lines that came of it.
const SWELL: usize = 24;
const BASE: usize = 1024 * 1024;
/// As far as the feed reaches, an output is made that much longer, so that lines are cut.
const STRETCH: [usize; 4] = [
    0,
    MAX_LINE_BYTES - 40,
    MAX_LINE_BYTES - 3,
    2 * MAX_LINE_BYTES,
];

/// Secrets, an output with them in it, and where it is broken into pieces.
pub fn masker(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let secrets = secrets(&mut feed);
    let filler = STRETCH[usize::from(feed.byte()) % STRETCH.len()];
    let cut = feed.number();
    let mut output = vec![b'.'; filler];
    while !feed.is_empty() {
        push(&mut output, &secrets, &mut feed);
    }
    let masker = Masker::new(&secrets);
    whole(&masker, &secrets, &output);
    pieces(&masker, &secrets, &output, cut);
}

fn secrets(feed: &mut Feed<'_>) -> Vec<Secret> {
    let count = feed.byte() % 4;
    let secret = |number: u8, value: &[u8]| Secret {
        name: format!("S{number}"),
        value: String::from_utf8_lossy(value).into_owned(),
    };
    (0..count)
        .map(|number| secret(number, feed.piece()))
        .collect()
}

/// A secret, or whatever stands beside it.
fn push(output: &mut Vec<u8>, secrets: &[Secret], feed: &mut Feed<'_>) {
    match secrets.get(usize::from(feed.byte() % 8)) {
        Some(secret) => output.extend_from_slice(secret.value.as_bytes()),
        None => output.extend_from_slice(feed.piece()),
    }
}

/// Whether a masked text must be free of a value: the mask itself, and what is too short to be masked,
/// may stand there.
fn must_go(value: &str) -> bool {
    value.len() >= SHORTEST
        && !value.contains(['\n', '\r', '*', '\u{fffd}'])
        && value.trim() == value
}

fn whole(masker: &Masker, secrets: &[Secret], output: &[u8]) {
    let shown = within(BASE + SWELL * output.len(), || {
        masker.mask(output).into_owned()
    });
    free_of(secrets, &shown);
    if secrets.is_empty() {
        assert_eq!(shown, output);
    }
    assert!(!masker.is_in(&shown) || !secrets.iter().all(|secret| must_go(&secret.value)));
}

/// Joining masked texts can only make a secret of two halves of what was none; so each is looked at by
/// itself.
fn free_of(secrets: &[Secret], masked: &[u8]) {
    for secret in secrets.iter().filter(|secret| must_go(&secret.value)) {
        let value = secret.value.as_bytes();
        let found = masked.windows(value.len()).any(|part| part == value);
        assert!(!found, "a secret of {} bytes stays", value.len());
    }
}

/// The same output in two pieces, in many small ones, and in one: no secret in any line, none across a
/// cut, and without secrets the same text.
fn pieces(masker: &Masker, secrets: &[Secret], output: &[u8], cut: usize) {
    let (first, second) = output.split_at(cut % (output.len() + 1));
    let limit = BASE + SWELL * output.len();
    let small: Vec<&[u8]> = output.chunks(1 + cut % 700).collect();
    let ways = [vec![output], vec![first, second], small];
    let [whole, two, many] = ways.map(|pieces| within(limit, || lines(masker, &pieces)));
    for lines in [&whole, &two, &many] {
        for line in lines {
            assert!(line.len() <= MAX_LINE_BYTES);
            free_of(secrets, line.as_bytes());
        }
        across_cuts(secrets, output, lines);
    }
    let is_short = |line: &[u8]| line.len() <= MAX_LINE_BYTES / 3;
    if output.split(|&byte| byte == b'\n').all(is_short) {
        assert!(
            whole == two && whole == many,
            "how it comes changes what it is"
        );
    }
    if let (true, Ok(text)) = (secrets.is_empty(), std::str::from_utf8(output)) {
        let text: String = text.lines().collect();
        assert!(
            [whole, two, many]
                .iter()
                .all(|lines| lines.concat() == text)
        );
    }
}

/// A long line is cut, and no secret is cut with it.
fn across_cuts(secrets: &[Secret], output: &[u8], lines: &[String]) {
    if !output.contains(&b'\n') && secrets.iter().all(|secret| must_go(&secret.value)) {
        free_of(secrets, lines.concat().as_bytes());
    }
}

fn lines(masker: &Masker, pieces: &[&[u8]]) -> Vec<String> {
    let mut lines = Lines::new(masker.clone());
    let mut out = Vec::new();
    for piece in pieces {
        lines.push(piece, &mut out);
    }
    lines.finish(&mut out);
    out.into_iter().map(|(text, _)| text).collect()
}
