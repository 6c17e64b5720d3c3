//! Which version of a language a constraint asks for.

/// One comparison: an operator and the parts of a version.
struct Comparison<'c> {
    operator: &'c str,
    parts: Vec<u32>,
}

/// The newest of `known` (newest first, all of as many parts) that a constraint allows; else the version that the
/// constraint itself names, cut to as many parts. Nothing when it names none.
///
/// It reads what npm, Composer, Bundler, Mix and PEP 440 write: `>=18 <23`, `^8.2`, `~> 1.17`, `~=3.11`, `20.x`, `lts/*`.
pub(super) fn choose(constraint: &str, known: &[&str]) -> Option<String> {
    let constraint = constraint.trim();
    if ["lts", "latest", "stable", "node", "*"]
        .iter()
        .any(|word| constraint.starts_with(word))
    {
        return known.first().map(|version| (*version).to_owned());
    }
    let alternatives: Vec<Vec<Comparison<'_>>> = constraint.split('|').map(comparisons).collect();
    let allowed = |version: &str| {
        let parts = parts(version);
        let all = |comparisons: &Vec<Comparison<'_>>| {
            !comparisons.is_empty() && comparisons.iter().all(|one| one.allows(&parts))
        };
        alternatives.iter().any(all)
    };
    let best = known.iter().find(|version| allowed(version));
    best.map(|version| (*version).to_owned())
        .or_else(|| named(&alternatives, known))
}

fn named(alternatives: &[Vec<Comparison<'_>>], known: &[&str]) -> Option<String> {
    let granularity = known
        .first()
        .map_or(1, |version| version.split('.').count());
    let named = alternatives.iter().flatten();
    let mut named = named.filter(|one| !one.operator.starts_with(['<', '!']));
    let parts = &named.find(|one| one.parts.len() >= granularity)?.parts;
    let parts = parts.iter().take(granularity).map(u32::to_string);
    Some(parts.collect::<Vec<_>>().join("."))
}

fn comparisons(alternative: &str) -> Vec<Comparison<'_>> {
    let mut found = Vec::new();
    let mut operator = "";
    for word in alternative.split([',', ' ', '\t', '"', '\'']) {
        let start = word
            .find(|c: char| c.is_ascii_digit() || c == 'v')
            .unwrap_or(word.len());
        let (before, number) = word.split_at(start);
        if !before.is_empty() {
            operator = before;
        }
        let parts = parts(number.trim_start_matches('v'));
        if !parts.is_empty() {
            found.push(Comparison { operator, parts });
            operator = "";
        }
    }
    found
}

/// The numbers of a version up to what is none: `20.x` has one.
fn parts(version: &str) -> Vec<u32> {
    let numbers = version.split('.').map(str::parse);
    numbers.map_while(Result::ok).take(4).collect()
}

impl Comparison<'_> {
    /// Whether it allows some version that begins with `known`.
    fn allows(&self, known: &[u32]) -> bool {
        let shared = known.len().min(self.parts.len());
        let (known, wanted) = (&known[..shared], &self.parts[..shared]);
        let all_but_last = self.parts.len().saturating_sub(1).clamp(1, shared.max(1));
        let same = |count: usize| known.get(..count) == wanted.get(..count);
        match self.operator {
            ">=" => known >= wanted,
            ">" => known > wanted || (known == wanted && self.parts.len() > shared),
            "<=" => known <= wanted,
            "<" => known < wanted,
            "!=" => known != wanted,
            "^" => known >= wanted && same(1),
            "~>" | "~=" => known >= wanted && same(all_but_last),
            "~" => known >= wanted && same(shared.min(2)),
            _ => known == wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints() {
        const NODE: [&str; 4] = ["24", "22", "20", "18"];
        const PYTHON: [&str; 4] = ["3.13", "3.12", "3.11", "3.10"];
        for (constraint, known, expected) in [
            (">=18", &NODE, Some("24")),
            (">= 18 < 23", &NODE, Some("22")),
            ("^20.11.0", &NODE, Some("20")),
            ("20.x", &NODE, Some("20")),
            ("v20.11.1", &NODE, Some("20")),
            ("18 || 20", &NODE, Some("20")),
            ("21", &NODE, Some("21")),
            ("<22.0.0", &NODE, Some("20")),
            ("lts/*", &NODE, Some("24")),
            (">=3.10,<3.12", &PYTHON, Some("3.11")),
            ("^3.11", &PYTHON, Some("3.13")),
            ("~3.11", &PYTHON, Some("3.11")),
            ("~=3.11.2", &PYTHON, Some("3.11")),
            ("~> 3.11", &PYTHON, Some("3.13")),
            ("~> 3", &PYTHON, Some("3.13")),
            ("3.12.4", &PYTHON, Some("3.12")),
            ("==3.11.*", &PYTHON, Some("3.11")),
            ("!=3.13, >=3.11", &PYTHON, Some("3.12")),
            ("2.7.18", &PYTHON, Some("2.7")),
            ("pypy", &PYTHON, None),
            ("", &PYTHON, None),
            ("99999999999999999999", &PYTHON, None),
        ] {
            assert_eq!(
                choose(constraint, known).as_deref(),
                expected,
                "{constraint}"
            );
        }
    }
}
