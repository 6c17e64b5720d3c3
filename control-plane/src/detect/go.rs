//! Go.

use super::{
    Claim, Strength,
    app::{App, Framework, Language, PackageManager, Serving, Volume},
    local,
    node::shell_word,
    notes::{Notes, quoted},
    scan,
    tree::Tree,
    version,
};

const VERSIONS: [&str; 3] = ["1.25", "1.24", "1.23"];
const PORT: u16 = 8080;
const FRAMEWORKS: [(&str, Framework); 4] = [
    ("github.com/gin-gonic/gin", Framework::Gin),
    ("github.com/labstack/echo", Framework::Echo),
    ("github.com/gofiber/fiber", Framework::Fiber),
    ("github.com/go-chi/chi", Framework::Chi),
];

pub(super) fn detect(tree: &Tree<'_>, notes: &mut Notes) -> Option<Claim> {
    if !tree.has("go.mod") {
        return None;
    }
    let text = tree.text("go.mod", notes)?;
    let said = text.lines().find_map(|line| line.strip_prefix("go "));
    let version = said.and_then(|said| {
        // A newer toolchain builds what asks for an older one.
        let version = version::choose(&format!(">={}", said.trim()), &VERSIONS)?;
        notes.found(
            "go.mod",
            format!("asks for Go {}", quoted(said)),
            format!("Go {version}"),
        );
        Some(version)
    });
    let framework = FRAMEWORKS
        .iter()
        .find(|(path, _)| text.lines().any(|line| requires(line, path)));
    if let Some((path, framework)) = framework {
        notes.found("go.mod", format!("requires {path}"), framework.label());
    }
    let mut app = App {
        framework: framework.map(|(_, framework)| *framework),
        package_manager: Some(PackageManager::GoModules),
        version: Some(version.unwrap_or_else(|| VERSIONS[0].to_owned())),
        manifests: if tree.has_folder("vendor") {
            Vec::new()
        } else {
            tree.those(&["go.mod", "go.sum"])
        },
        local: local::those(tree, notes, "go.mod", local(text)),
        test: tree
            .ending("_test.go", 6)
            .next()
            .map(|_| "go test ./...".to_owned()),
        ..App::of(Language::Go)
    };
    let Some(main) = main_package(tree, text, notes) else {
        notes.warn(
            "go.mod",
            "has no main.go at the top nor below cmd: say what to build",
        );
        return Some(Claim {
            strength: Strength::Sources,
            app,
        });
    };
    let folder = main
        .rsplit_once('/')
        .map_or(".".to_owned(), |(folder, _)| format!("./{folder}"));
    let cgo = text
        .lines()
        .any(|line| requires(line, "github.com/mattn/go-sqlite3"));
    // Linked as a whole, it runs on any image.
    let flags = if cgo {
        " -tags netgo,osusergo -ldflags='-s -w -linkmode external -extldflags=-static'"
    } else {
        " -ldflags='-s -w'"
    };
    app.build = Some(format!(
        "go build -trimpath{flags} -o app {}",
        shell_word(&folder)
    ));
    app.output = Some("app".to_owned());
    app.start = Some("./app".to_owned());
    let source = tree.glance(main).unwrap_or_default();
    let serves = app.framework.is_some() || source.contains("net/http");
    app.port = scan::port(source).or(serves.then_some(PORT));
    if let Some(port) = app.port {
        notes.found(main, "is the main package", format!("port {port}"));
    } else {
        app.serving = Serving::Worker;
        notes.found(main, "is the main package", "that starts it");
        notes.warn(
            "",
            "no port was found, so it counts as a worker: say its port if it listens",
        );
    }
    if cgo {
        notes.found(
            "go.mod",
            "requires github.com/mattn/go-sqlite3",
            "it is built with cgo, and keeps data in /app/data",
        );
        app.packages.push("cgo".to_owned());
        app.volumes.push(Volume {
            name: "data".into(),
            path: "/app/data".into(),
        });
    }
    let strength = if app.framework.is_some() {
        Strength::Framework
    } else {
        Strength::Manifest
    };
    Some(Claim { strength, app })
}

/// Modules that stand for others and lie in the repository: `replace example.org/greeting => ./greeting`.
fn local(text: &str) -> impl Iterator<Item = &str> {
    let replaced = text.lines().filter_map(|line| line.split_once("=> "));
    replaced
        .map(|(_, path)| path.trim())
        .filter(|path| path.starts_with("./"))
}

/// Whether a line of `go.mod` requires a module, in whichever major version.
fn requires(line: &str, path: &str) -> bool {
    let line = line.trim();
    let line = line.strip_prefix("require ").unwrap_or(line).trim_start();
    line.strip_prefix(path)
        .is_some_and(|rest| rest.starts_with([' ', '/', '\t']))
        && !line.ends_with("// indirect")
}

/// The file of the main package: at the top, or below `cmd`, where the one that is called like the module comes first.
fn main_package<'t>(tree: &Tree<'t>, text: &str, notes: &mut Notes) -> Option<&'t str> {
    let mains: Vec<&str> = tree
        .named("main.go", 3)
        .filter(|path| *path == "main.go" || path.starts_with("cmd/"))
        .collect();
    let module = text
        .lines()
        .find_map(|line| line.strip_prefix("module "))?
        .trim();
    let last = module
        .rsplit('/')
        .find(|part| !part.starts_with('v') || part.len() > 3)?;
    let like_module = |path: &&str| path.split('/').any(|part| part == last);
    let chosen = mains.iter().copied().find(|path| *path == "main.go");
    let chosen = chosen
        .or_else(|| mains.iter().copied().find(like_module))
        .or_else(|| mains.first().copied())?;
    if mains.len() > 1 && chosen != "main.go" {
        notes.warn(
            chosen,
            format!(
                "is one of {} main packages: change the build command to build another",
                mains.len()
            ),
        );
    }
    Some(chosen)
}
