//! A repository's own Dockerfile or compose file, which always win over generated ones.

use towline_shared::yaml;

use super::{
    app::{App, Packing, Serving},
    notes::{Notes, quoted},
    scan,
    tree::Tree,
};

/// The names compose looks for, in its own order.
pub(super) const COMPOSE_FILES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
const DOCKERFILES: [&str; 2] = ["Dockerfile", "Containerfile"];

/// How the repository itself says that it is packed.
pub(super) fn packing(tree: &Tree<'_>, notes: &mut Notes) -> Option<Packing> {
    if let Some(file) = tree.first(&COMPOSE_FILES) {
        let services = services(tree, file, notes)?;
        notes.found(
            file,
            format!("has {services}"),
            "its own compose file is used",
        );
        return Some(Packing::Compose {
            file: file.to_owned(),
        });
    }
    let file = tree.first(&DOCKERFILES)?;
    let text = tree.text(file, notes)?;
    let instruction = |line: &str| {
        line.get(..5)
            .is_some_and(|start| start.eq_ignore_ascii_case("FROM "))
    };
    if !scan::code(text).any(instruction) {
        notes.warn(file, "has no FROM, so it was not taken: mend or remove it");
        return None;
    }
    notes.found(
        file,
        "says how the image is built",
        "its own Dockerfile is used",
    );
    Some(Packing::Dockerfile {
        file: file.to_owned(),
    })
}

/// Tells the services of a compose file; one without any is a finding.
fn services(tree: &Tree<'_>, file: &str, notes: &mut Notes) -> Option<String> {
    let text = tree.text(file, notes)?;
    let document = match yaml::Tree::read(text) {
        Ok(document) => document,
        Err(error) => {
            notes.warn(
                file,
                format!(
                    "line {}: it is no YAML that compose takes, so it was not taken: mend it",
                    error.line
                ),
            );
            return None;
        }
    };
    let root = document.roots().next();
    let services = root.and_then(|root| root.get("services"));
    let names: Vec<String> = services
        .into_iter()
        .flat_map(yaml::View::fields)
        .map(|field| quoted(field.key))
        .collect();
    match names.as_slice() {
        [] => {
            notes.warn(
                file,
                "has no services, so it was not taken: mend or remove it",
            );
            None
        }
        [one] => Some(format!("the service {one}")),
        some if some.len() <= 5 => Some(format!("the services {}", some.join(", "))),
        [first, ..] => Some(format!("the service {first} and {} more", names.len() - 1)),
    }
}

/// Takes the port that a repository's own Dockerfile exposes.
pub(super) fn apply(tree: &Tree<'_>, packing: &Packing, app: &mut App, notes: &mut Notes) {
    let Packing::Dockerfile { file } = packing else {
        return;
    };
    let exposed = tree
        .glance(file)
        .into_iter()
        .flat_map(scan::code)
        .filter_map(|line| {
            let (word, rest) = line.split_once(' ')?;
            let first = rest.split_whitespace().next()?;
            let port = first.split('/').next()?;
            word.eq_ignore_ascii_case("EXPOSE")
                .then(|| scan::as_port(port))
                .flatten()
        });
    // The last stage is the image.
    if let Some(port) = exposed.last() {
        notes.found(file, format!("exposes {port}"), format!("port {port}"));
        app.port = Some(port);
        app.serving = Serving::Server;
    }
}
