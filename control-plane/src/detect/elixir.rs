//! Elixir.

use super::{
    Claim, Strength,
    app::{App, Framework, Language, PackageManager, Serving},
    local,
    notes::{Notes, quoted},
    scan,
    tree::Tree,
    version,
};

const VERSIONS: [&str; 4] = ["1.18", "1.17", "1.16", "1.15"];
const PORT: u16 = 4000;

pub(super) fn detect(tree: &Tree<'_>, notes: &mut Notes) -> Option<Claim> {
    if !tree.has("mix.exs") {
        return None;
    }
    let text = tree.text("mix.exs", notes)?;
    let said = scan::quoted_after(text, "elixir:");
    let version = said.and_then(|said| {
        let version = version::choose(said, &VERSIONS)?;
        notes.found(
            "mix.exs",
            format!("asks for Elixir {}", quoted(said)),
            format!("Elixir {version}"),
        );
        Some(version)
    });
    let mut app = App {
        package_manager: Some(PackageManager::Mix),
        version: Some(version.unwrap_or_else(|| VERSIONS[0].to_owned())),
        manifests: tree.those(&["mix.exs", "mix.lock"]),
        local: {
            let paths = scan::code(text).filter_map(|line| scan::quoted_after(line, "path: "));
            local::those(tree, notes, "mix.exs", paths)
        },
        test: Some("mix test".to_owned()),
        ..App::of(Language::Elixir)
    };
    let name = text.split_once("app: :").map(|(_, rest)| rest);
    let name = name.and_then(|rest| {
        rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .next()
    });
    let Some(name) = name.filter(|name| scan::is_name(name)) else {
        notes.warn("mix.exs", "names no app: say what to release");
        return Some(Claim {
            strength: Strength::Sources,
            app,
        });
    };
    app.output = Some(format!("_build/prod/rel/{name}"));
    app.start = Some(format!("bin/{name} start"));
    app.build = Some("mix release".to_owned());
    let phoenix = scan::code(text).find(|line| line.starts_with("{:phoenix,"));
    let Some(phoenix) = phoenix else {
        app.serving = Serving::Worker;
        notes.found(
            "mix.exs",
            format!("has the app {name}"),
            "its release is started, and listens on no port",
        );
        return Some(Claim {
            strength: Strength::Manifest,
            app,
        });
    };
    let said = scan::quoted_after(phoenix, "{:phoenix,").unwrap_or_default();
    let said = said.trim_start_matches(|c: char| !c.is_ascii_digit());
    notes.found(
        "mix.exs",
        format!("has phoenix {}", quoted(said)),
        format!("Phoenix, port {PORT}"),
    );
    app.framework = Some(Framework::Phoenix);
    app.port = Some(PORT);
    if text.contains("\"assets.deploy\"") {
        notes.found(
            "mix.exs",
            "has assets.deploy",
            "assets are compiled while it is built",
        );
        app.build = Some("mix assets.deploy && mix release".to_owned());
    }
    Some(Claim {
        strength: Strength::Framework,
        app,
    })
}
