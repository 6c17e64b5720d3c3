//! Rust.

use toml::{Table, Value};

use super::{
    Claim, Strength,
    app::{App, Framework, Language, PackageManager, Serving},
    notes::{Notes, quoted},
    scan,
    tree::Tree,
    version,
};

const VERSIONS: [&str; 3] = ["1.91", "1.90", "1.89"];
const FRAMEWORKS: [(&str, Framework, u16); 3] = [
    ("axum", Framework::Axum, 3000),
    ("actix-web", Framework::Actix, 8080),
    ("rocket", Framework::Rocket, 8000),
];

pub(super) fn detect(tree: &Tree<'_>, notes: &mut Notes) -> Option<Claim> {
    let top = tree
        .has("Cargo.toml")
        .then(|| tree.toml("Cargo.toml", notes))??;
    let mut app = App {
        package_manager: Some(PackageManager::Cargo),
        version: Some(version(tree, &top, notes)),
        test: Some("cargo test".to_owned()),
        ..App::of(Language::Rust)
    };
    let locked = tree.has("Cargo.lock");
    if !locked {
        notes.warn(
            "Cargo.toml",
            "has no Cargo.lock beside it, so that two builds may differ: commit it",
        );
    }
    let Some(program) = program(tree, top, notes) else {
        notes.warn(
            "Cargo.toml",
            "has no program (src/main.rs): say what to build and start",
        );
        return Some(Claim {
            strength: Strength::Sources,
            app,
        });
    };
    let lock = if locked { " --locked" } else { "" };
    app.build = Some(format!(
        "cargo build --release{lock} --bin {}",
        program.name
    ));
    app.output = Some(format!("target/release/{}", program.name));
    app.start = Some(format!("./{}", program.name));
    let dependencies = program
        .manifest
        .get("dependencies")
        .and_then(Value::as_table);
    let framework = FRAMEWORKS
        .iter()
        .find(|(name, ..)| dependencies.is_some_and(|table| table.contains_key(*name)));
    let port = tree.glance(&program.source).and_then(scan::port);
    if let Some((name, framework, usual)) = framework {
        let port = port.unwrap_or(*usual);
        notes.found(
            &program.file,
            format!("depends on {name}"),
            format!("{}, port {port}", framework.label()),
        );
        app.framework = Some(*framework);
        app.port = Some(port);
        return Some(Claim {
            strength: Strength::Framework,
            app,
        });
    }
    app.port = port;
    app.serving = if port.is_some() {
        Serving::Server
    } else {
        Serving::Worker
    };
    let therefore = port.map_or("that listens on no port".to_owned(), |port| {
        format!("port {port}")
    });
    notes.found(
        &program.source,
        format!("is the program {}", program.name),
        therefore,
    );
    Some(Claim {
        strength: Strength::Manifest,
        app,
    })
}

/// What is built and started.
struct Program {
    name: String,
    file: String,
    source: String,
    manifest: Table,
}

/// The top package's program, or the first of a member of the workspace.
fn program(tree: &Tree<'_>, top: Table, notes: &mut Notes) -> Option<Program> {
    if tree.has("src/main.rs") {
        return named(top, "Cargo.toml".into(), "src/main.rs".into());
    }
    let mains: Vec<&str> = tree
        .named("main.rs", 4)
        .filter(|path| path.ends_with("/src/main.rs"))
        .collect();
    let found = mains.iter().find_map(|source| {
        let file = format!("{}Cargo.toml", source.strip_suffix("src/main.rs")?);
        let manifest = tree.toml(&file, notes)?;
        named(manifest, file, (*source).to_owned())
    })?;
    if mains.len() > 1 {
        notes.warn(
            &found.file,
            format!(
                "is one of {} programs of the workspace: change the build command to build another",
                mains.len()
            ),
        );
    }
    Some(found)
}

fn named(manifest: Table, file: String, source: String) -> Option<Program> {
    let bin = manifest
        .get("bin")
        .and_then(Value::as_array)
        .and_then(|bins| bins.first());
    let name = bin
        .or_else(|| manifest.get("package"))?
        .get("name")?
        .as_str()?;
    let plain = scan::is_name(&name.replace('-', "_"));
    let name = name.to_owned();
    plain.then_some(Program {
        name,
        file,
        source,
        manifest,
    })
}

fn version(tree: &Tree<'_>, top: &Table, notes: &mut Notes) -> String {
    let toolchain = |notes: &mut Notes| {
        let table = tree
            .has("rust-toolchain.toml")
            .then(|| tree.toml("rust-toolchain.toml", notes))
            .flatten()?;
        let channel = table.get("toolchain")?.get("channel")?.as_str()?.to_owned();
        Some(("rust-toolchain.toml", channel))
    };
    let old = || {
        Some((
            "rust-toolchain",
            tree.glance("rust-toolchain")?.trim().to_owned(),
        ))
    };
    let minimum = || {
        let package = top
            .get("package")
            .or_else(|| top.get("workspace")?.get("package"))?;
        let version = package.get("rust-version")?.as_str()?;
        Some(("Cargo.toml", format!(">={version}")))
    };
    let said = toolchain(notes).or_else(old).or_else(minimum);
    let chosen = said.and_then(|(file, said)| {
        let version = version::choose(&said, &VERSIONS)?;
        notes.found(
            file,
            format!("asks for Rust {}", quoted(&said)),
            format!("Rust {version}"),
        );
        Some(version)
    });
    chosen.unwrap_or_else(|| VERSIONS[0].to_owned())
}
