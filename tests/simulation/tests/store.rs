//! The same seeds on the store's model and on the real store: they go the same way, so what holds for the one holds for
//! the other.

use towline_simulation::{Store, run};

/// A sample: the real store takes some milliseconds for what the model does in microseconds.
const SEEDS: u64 = 50;
/// The length of a UUID as text.
const UUID: usize = 36;

#[test]
fn the_real_store_keeps_what_its_model_promises() {
    let half = |first: u64| (first..SEEDS).step_by(2).for_each(go_the_same_way);
    std::thread::scope(|scope| {
        scope.spawn(|| half(0));
        scope.spawn(|| half(1));
    });
}

fn go_the_same_way(seed: u64) {
    let (model, real) = (run(seed, Store::Model, true), run(seed, Store::Real, true));
    let (told, kept) = (renamed(&model.trace), renamed(&real.trace));
    if let Some(at) = kept
        .iter()
        .zip(&told)
        .position(|(real, model)| real != model)
    {
        panic!(
            "seed {seed}: the store and its model part at step {at}:\n{}\n real: {}\nmodel: {}",
            told[at.saturating_sub(12)..at].join("\n"),
            kept[at],
            told[at]
        );
    }
    assert_eq!(real.broken, model.broken, "seed {seed}");
    assert_eq!(real.broken, None, "seed {seed}");
    assert_eq!(real.figures, model.figures, "seed {seed}");
}

/// The story with each identifier replaced by the order of its first appearance.
fn renamed(story: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    story.iter().map(|line| rename(line, &mut names)).collect()
}

fn rename(line: &str, names: &mut Vec<String>) -> String {
    let mut renamed = String::new();
    let mut rest = line;
    while let Some(at) = (0..rest.len()).find(|at| is_uuid(rest.get(*at..at + UUID))) {
        let (before, found) = rest.split_at(at);
        let (id, behind) = found.split_at(UUID);
        let known = names.iter().position(|name| name == id).unwrap_or_else(|| {
            names.push(id.to_owned());
            names.len() - 1
        });
        renamed.push_str(before);
        renamed.push_str(&known.to_string());
        rest = behind;
    }
    renamed + rest
}

fn is_uuid(text: Option<&str>) -> bool {
    text.is_some_and(|text| {
        text.char_indices().all(|(at, letter)| match at {
            8 | 13 | 18 | 23 => letter == '-',
            _ => letter.is_ascii_hexdigit(),
        })
    })
}
