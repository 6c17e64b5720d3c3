//! What a repository is: its language, framework and port, how it is built and started, and why we think so.
//!
//! [`detect`] is pure: it sees a [`Tree`], never a disk or a network. Whoever fills the tree reads the files that
//! [`wanted`] names, and of the others only the paths. Its bytes are foreign: a file that cannot be read is a finding,
//! and the others still count.
//!
//! A language is one file here, with one function that claims the repository or does not. The strongest claim wins;
//! between equals, the order of [`DETECTORS`] decides. A repository's own compose file or Dockerfile always wins over
//! generated ones, and what its language is, is then only told.

mod app;
mod deno;
mod dotnet;
mod elixir;
mod go;
mod java;
mod local;
mod node;
mod notes;
mod own;
mod php;
mod procfile;
mod python;
mod ruby;
mod rust;
mod scan;
mod site;
mod tree;
mod version;

pub use app::{App, Detected, Framework, Language, PackageManager, Packing, Serving, Volume};
pub use notes::{Evidence, Finding};
pub use tree::{MAX_PATHS, MAX_READ_BYTES, Tree, wanted};

use notes::Notes;

/// How sure a language is that the repository is its own, the surest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    /// There are files of the language, and nothing that says how they run.
    Sources,
    /// It makes a page of static files.
    Site,
    /// A manifest says what runs.
    Manifest,
    /// A framework is among the dependencies.
    Framework,
}

/// A language that takes the repository for its own.
#[derive(Debug)]
struct Claim {
    strength: Strength,
    app: App,
}

type Detector = fn(&Tree<'_>, &mut Notes) -> Option<Claim>;

/// Each language's detector. Those that often carry another one's tools (a Rails application with a `package.json` for
/// its assets) stand before it.
const DETECTORS: [Detector; 11] = [
    ruby::detect,
    php::detect,
    elixir::detect,
    dotnet::detect,
    java::detect,
    python::detect,
    go::detect,
    rust::detect,
    deno::detect,
    node::detect,
    site::detect,
];

/// Says what a repository is.
pub fn detect(tree: &Tree<'_>) -> Detected {
    let mut notes = Notes::default();
    if tree.is_cut() {
        notes.warn(
            "",
            format!(
                "the repository has more than {MAX_PATHS} files; the others were not looked at"
            ),
        );
    }
    let packing = own::packing(tree, &mut notes);
    let app = strongest(tree, &mut notes);
    let packing = packing.unwrap_or_else(|| {
        let known = app.as_ref().is_some_and(App::runs);
        if known {
            Packing::Generated
        } else {
            Packing::Unknown
        }
    });
    let mut app = app.unwrap_or_default();
    procfile::apply(tree, &mut app, &mut notes);
    own::apply(tree, &packing, &mut app, &mut notes);
    if packing == Packing::Unknown {
        notes.warn("", remedy(tree));
    }
    notes.into_detected(packing, app)
}

/// The winner's application; its evidence is taken, that of the others is not.
fn strongest(tree: &Tree<'_>, notes: &mut Notes) -> Option<App> {
    let mut best: Option<(Claim, Notes)> = None;
    let mut findings = Vec::new();
    let mut others = Vec::new();
    for detector in DETECTORS {
        let mut own = Notes::default();
        let Some(claim) = detector(tree, &mut own) else {
            findings.push(own);
            continue;
        };
        let (loser, won) = match best.take() {
            Some(best) if best.0.strength >= claim.strength => ((claim, own), best),
            Some(best) => (best, (claim, own)),
            None => {
                best = Some((claim, own));
                continue;
            }
        };
        best = Some(won);
        others.push(loser.0);
    }
    for unclaimed in findings {
        notes.take_findings(unclaimed);
    }
    let (claim, own) = best?;
    notes.take(own);
    let language = claim.app.language;
    for other in others
        .iter()
        .filter(|other| other.strength >= Strength::Manifest)
    {
        if let Some(name) = other.app.language.filter(|name| Some(*name) != language) {
            notes.warn(
                "",
                format!(
                    "there is {} too, which was not taken: generated files can be edited",
                    name.label()
                ),
            );
        }
    }
    Some(claim.app)
}

/// What to do when nothing at the top says how to run the repository.
fn remedy(tree: &Tree<'_>) -> String {
    const MANIFESTS: [&str; 11] = [
        "package.json",
        "pyproject.toml",
        "requirements.txt",
        "go.mod",
        "Cargo.toml",
        "pom.xml",
        "composer.json",
        "Gemfile",
        "mix.exs",
        "Dockerfile",
        "index.html",
    ];
    let below = MANIFESTS.iter().find_map(|name| tree.named(name, 3).next());
    match below.and_then(|path| path.rsplit_once('/')) {
        Some((folder, name)) => format!(
            "nothing at the top says how to run this, but {folder} has a {name}: set the project's folder to {folder}"
        ),
        None if tree.is_empty() => "the repository is empty: push something to it".to_owned(),
        None => "nothing says how to run this: add a Dockerfile or a compose file".to_owned(),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::repositories;
