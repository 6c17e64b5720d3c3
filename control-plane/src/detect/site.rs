//! Files that a web server serves as they are.

use super::{
    Claim, Strength,
    app::{App, Language, Serving},
    node::SITE_PORT,
    notes::Notes,
    tree::Tree,
};

const PAGES: [(&str, &str); 6] = [
    ("index.html", "."),
    ("public/index.html", "public"),
    ("dist/index.html", "dist"),
    ("site/index.html", "site"),
    ("docs/index.html", "docs"),
    ("www/index.html", "www"),
];

pub(super) fn detect(tree: &Tree<'_>, notes: &mut Notes) -> Option<Claim> {
    let (page, folder) = PAGES.into_iter().find(|(page, _)| tree.has(page))?;
    notes.found(
        page,
        "is there, and nothing that makes it",
        format!("static files, port {SITE_PORT}"),
    );
    let app = App {
        serving: Serving::Static,
        port: Some(SITE_PORT),
        output: Some(folder.to_owned()),
        ..App::of(Language::Site)
    };
    Some(Claim {
        strength: Strength::Site,
        app,
    })
}
