//! Node.js, and Bun, which runs the same repositories.

mod frameworks;

pub(super) use frameworks::SITE_PORT;

use serde_json::Value;

use super::{
    Claim, Strength,
    app::{App, Framework, Language, PackageManager, Serving},
    local,
    notes::{Notes, quoted},
    scan,
    tree::Tree,
    version,
};

/// Even numbers are supported for years.
const VERSIONS: [&str; 4] = ["24", "22", "20", "18"];
const DEFAULT_VERSION: &str = "22";
const BUN_VERSIONS: [&str; 1] = ["1"];
/// Where a server's code begins when no script says so.
const ENTRIES: [&str; 10] = [
    "server.js",
    "index.js",
    "app.js",
    "main.js",
    "server.mjs",
    "index.mjs",
    "src/index.js",
    "src/server.js",
    "src/app.js",
    "src/main.js",
];
/// Where its port may stand.
const SOURCES: [&str; 8] = [
    "src/main.ts",
    "src/index.ts",
    "src/server.ts",
    "src/app.ts",
    "index.ts",
    "server.ts",
    "app.ts",
    "main.ts",
];

/// `package.json` as detection reads it.
pub(super) struct Package {
    value: Value,
}

impl Package {
    fn read(tree: &Tree<'_>, notes: &mut Notes) -> Option<Self> {
        let value = tree.json("package.json", notes)?;
        Some(Self { value })
    }

    /// The version that is asked for of a dependency, also of one that is only for building.
    fn dependency(&self, name: &str) -> Option<&str> {
        let kinds = ["dependencies", "devDependencies"];
        kinds
            .iter()
            .find_map(|kind| self.value.get(kind)?.get(name)?.as_str())
    }

    /// The dependencies that are given as a path.
    fn local(&self) -> impl Iterator<Item = &str> {
        let tables = ["dependencies", "devDependencies", "optionalDependencies"]
            .into_iter()
            .filter_map(|kind| self.value.get(kind)?.as_object());
        let said = tables.flat_map(|table| table.values().filter_map(Value::as_str));
        said.filter_map(|said| {
            let starts = ["file:", "link:", "portal:"];
            starts.iter().find_map(|start| said.strip_prefix(start))
        })
    }

    /// Whether installing runs something of the repository's own.
    fn runs_when_installed(&self) -> bool {
        let scripts = ["preinstall", "install", "postinstall", "prepare"];
        scripts.iter().any(|name| self.script(name).is_some())
    }

    fn script(&self, name: &str) -> Option<&str> {
        let script = self.value.get("scripts")?.get(name)?.as_str()?;
        (!script.trim().is_empty()).then_some(script)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.value.get(name)?.as_str()
    }
}

pub(super) fn detect(tree: &Tree<'_>, notes: &mut Notes) -> Option<Claim> {
    let package = Package::read(tree, notes)?;
    let manager = manager(tree, &package, notes);
    let mut app = App {
        package_manager: Some(manager),
        version: Some(version(tree, &package, manager, notes)),
        manifests: manifests(tree, &package, notes),
        local: local::those(tree, notes, "package.json", package.local()),
        test: test(&package, manager),
        ..App::of(Language::Node)
    };
    let known = frameworks::detect(tree, &package, notes);
    let strength = match &known {
        Some(known) if known.serving == Serving::Static => Strength::Site,
        Some(_) => Strength::Framework,
        None => Strength::Manifest,
    };
    match known {
        Some(known) => {
            app.framework = Some(known.framework);
            app.serving = known.serving;
            app.port = Some(known.port);
            app.start = known.start;
            app.output = known.output;
        }
        None if tree.has("index.html") && package.script("start").is_none() => return None,
        None => {}
    }
    if let Some(script) = package.script("build") {
        notes.found(
            "package.json",
            format!("has the script build: {}", quoted(script)),
            "that builds it",
        );
        app.build = Some(run(manager, "build"));
    } else if app.serving == Serving::Static
        || matches!(app.framework, Some(Framework::Next | Framework::Nuxt))
    {
        notes.warn("package.json", "has no script build: add one");
    }
    start(tree, &package, manager, &mut app, notes);
    let plain = app.start.is_none() && app.serving != Serving::Static;
    let strength = if plain { Strength::Sources } else { strength };
    Some(Claim { strength, app })
}

/// The start script, the entry file and the port, where no framework has settled them.
fn start(
    tree: &Tree<'_>,
    package: &Package,
    manager: PackageManager,
    app: &mut App,
    notes: &mut Notes,
) {
    if app.serving == Serving::Static {
        return;
    }
    let entry = entry(tree, package);
    if app.start.is_none() {
        if let Some(script) = package.script("start") {
            notes.found(
                "package.json",
                format!("has the script start: {}", quoted(script)),
                "that starts it",
            );
            app.start = Some(direct(script).unwrap_or_else(|| run(installed(manager), "start")));
        } else if let Some(entry) = entry {
            let runtime = if manager == PackageManager::Bun {
                "bun"
            } else {
                "node"
            };
            notes.found(entry, "is where its code begins", "that starts it");
            app.start = Some(format!("{runtime} {}", shell_word(entry)));
        } else {
            notes.warn(
                "package.json",
                "has no script start, and there is no server.js or index.js: add a script start",
            );
        }
    }
    if is_settled(app.framework) {
        return;
    }
    let mut sources = entry.into_iter().chain(SOURCES);
    let port = sources.find_map(|path| Some((path, scan::port(tree.glance(path)?)?)));
    app.port = match port {
        Some((path, port)) => {
            notes.found(
                path,
                format!("names the port {port}"),
                format!("port {port}"),
            );
            Some(port)
        }
        None if app.port.is_none() && app.start.is_some() => {
            notes.warn(
                "",
                "no port was found, so it counts as a worker: say its port if it listens",
            );
            app.serving = Serving::Worker;
            None
        }
        None => app.port,
    };
}

/// Whether the framework itself says the port, whatever the code looks like.
const fn is_settled(framework: Option<Framework>) -> bool {
    use Framework as F;
    matches!(
        framework,
        Some(F::Next | F::Nuxt | F::SvelteKit | F::Astro | F::Vite | F::CreateReactApp)
    )
}

/// A script that is one call of a program needs no package manager, which would not pass signals on.
fn direct(script: &str) -> Option<String> {
    let script = script.trim();
    let simple = script
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '/' | '_' | '-' | '='));
    let runtime = ["node ", "bun ", "./node_modules/.bin/"]
        .iter()
        .any(|start| script.starts_with(start));
    (simple && runtime).then(|| script.to_owned())
}

/// A path as one word of a command.
pub(super) fn shell_word(path: &str) -> String {
    if path.contains(' ') {
        format!("'{path}'")
    } else {
        path.to_owned()
    }
}

fn entry<'p>(tree: &Tree<'_>, package: &'p Package) -> Option<&'p str> {
    let main = package
        .text("main")
        .map(|main| main.trim_start_matches("./"));
    let main = main.filter(|main| tree.has(main));
    main.or_else(|| tree.first(&ENTRIES))
}

/// The package manager of the image that runs it, which has none but its runtime's own.
const fn installed(manager: PackageManager) -> PackageManager {
    match manager {
        PackageManager::Bun => PackageManager::Bun,
        _ => PackageManager::Npm,
    }
}

/// The call of a script.
pub(super) fn run(manager: PackageManager, script: &str) -> String {
    let program = match manager {
        PackageManager::Pnpm => "pnpm",
        PackageManager::Yarn | PackageManager::YarnBerry => "yarn",
        PackageManager::Bun => "bun",
        _ => "npm",
    };
    format!("{program} run {script}")
}

fn test(package: &Package, manager: PackageManager) -> Option<String> {
    let script = package.script("test")?;
    (!script.contains("no test specified")).then(|| run(manager, "test"))
}

fn manager(tree: &Tree<'_>, package: &Package, notes: &mut Notes) -> PackageManager {
    use PackageManager as M;
    let berry = tree.has(".yarnrc.yml");
    if let Some(wanted) = package.text("packageManager") {
        let (name, version) = wanted.split_once('@').unwrap_or((wanted, ""));
        let found = match name {
            "pnpm" => Some(M::Pnpm),
            "yarn" if version.starts_with("1.") => Some(M::Yarn),
            "yarn" => Some(M::YarnBerry),
            "bun" => Some(M::Bun),
            "npm" => Some(M::Npm),
            _ => None,
        };
        if let Some(found) = found {
            let wanted = quoted(wanted.split('+').next().unwrap_or(wanted));
            notes.found(
                "package.json",
                format!("has packageManager {wanted}"),
                found.label(),
            );
            return found;
        }
    }
    let locks = [
        ("pnpm-lock.yaml", M::Pnpm),
        ("bun.lock", M::Bun),
        ("bun.lockb", M::Bun),
        ("yarn.lock", if berry { M::YarnBerry } else { M::Yarn }),
        ("package-lock.json", M::Npm),
        ("npm-shrinkwrap.json", M::Npm),
    ];
    if let Some((file, found)) = locks.into_iter().find(|(file, _)| tree.has(file)) {
        notes.found(file, "is there", found.label());
        return found;
    }
    notes.warn(
        "package.json",
        "has no lock file beside it, so that two builds may differ: commit package-lock.json",
    );
    M::Npm
}

fn version(
    tree: &Tree<'_>,
    package: &Package,
    manager: PackageManager,
    notes: &mut Notes,
) -> String {
    if manager == PackageManager::Bun {
        let file = tree.glance(".bun-version");
        return file
            .and_then(|text| version::choose(text, &BUN_VERSIONS))
            .unwrap_or_else(|| BUN_VERSIONS[0].to_owned());
    }
    let of_file = |file: &'static str| Some((file, tree.glance(file)?.trim().to_owned()));
    let engines = || {
        let node = package.value.get("engines")?.get("node")?.as_str()?;
        Some(("package.json", node.to_owned()))
    };
    let tools = || {
        let line = tree
            .glance(".tool-versions")?
            .lines()
            .find_map(|line| line.strip_prefix("nodejs "))?;
        Some((".tool-versions", line.trim().to_owned()))
    };
    let said = of_file(".nvmrc")
        .or_else(|| of_file(".node-version"))
        .or_else(engines)
        .or_else(tools);
    let chosen = said.and_then(|(file, said)| {
        let version = version::choose(&said, &VERSIONS)?;
        notes.found(
            file,
            format!("asks for Node.js {}", quoted(&said)),
            format!("Node.js {version}"),
        );
        Some(version)
    });
    chosen.unwrap_or_else(|| DEFAULT_VERSION.to_owned())
}

/// What names the dependencies; nothing in a workspace, whose packages name theirs all over the tree.
fn manifests(tree: &Tree<'_>, package: &Package, notes: &mut Notes) -> Vec<String> {
    if package.value.get("workspaces").is_some() || tree.has("pnpm-workspace.yaml") {
        notes.warn(
            "package.json",
            "is a workspace: what is built and started is its top package's",
        );
        return Vec::new();
    }
    // A patch or a schema is read while the dependencies are installed.
    if package.runs_when_installed() {
        return Vec::new();
    }
    if tree.has_folder("patches") || tree.has_folder("prisma") || tree.has_folder(".yarn") {
        return Vec::new();
    }
    tree.those(&[
        "package.json",
        "package-lock.json",
        "npm-shrinkwrap.json",
        "pnpm-lock.yaml",
        "yarn.lock",
        "bun.lock",
        "bun.lockb",
        ".npmrc",
        ".yarnrc.yml",
    ])
}
