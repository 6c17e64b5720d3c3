//! Python.

mod dependencies;

use dependencies::Dependencies;

use super::{
    Claim, Strength,
    app::{App, Framework, Language, PackageManager, Serving, Volume},
    local,
    node::shell_word,
    notes::{Notes, quoted},
    scan,
    tree::{Tree, name},
    version,
};

const VERSIONS: [&str; 5] = ["3.13", "3.12", "3.11", "3.10", "3.9"];
const PORT: u16 = 8000;
/// Where a program begins that no framework starts.
const ENTRIES: [&str; 6] = [
    "main.py",
    "app.py",
    "server.py",
    "run.py",
    "src/main.py",
    "app/main.py",
];
/// Where an application object may stand.
const MODULES: [&str; 8] = [
    "main.py",
    "app.py",
    "wsgi.py",
    "asgi.py",
    "server.py",
    "api.py",
    "__init__.py",
    "application.py",
];

pub(super) fn detect(tree: &Tree<'_>, notes: &mut Notes) -> Option<Claim> {
    let dependencies = Dependencies::read(tree, notes)?;
    let mut app = App {
        package_manager: Some(dependencies.manager),
        version: Some(version(tree, &dependencies, notes)),
        manifests: manifests(tree, dependencies.manager),
        local: local::those(
            tree,
            notes,
            dependencies.file,
            local(tree, dependencies.file),
        ),
        test: test(&dependencies),
        ..App::of(Language::Python)
    };
    let framework = [
        ("django", Framework::Django),
        ("fastapi", Framework::FastApi),
        ("flask", Framework::Flask),
    ];
    let framework = framework
        .into_iter()
        .find_map(|(name, framework)| Some((name, dependencies.of(name)?, framework)));
    let Some((package, said, framework)) = framework else {
        return Some(plain(tree, app, notes));
    };
    let said = quoted(&said);
    let said = if said.is_empty() {
        package.to_owned()
    } else {
        format!("{package} {said}")
    };
    notes.found(
        dependencies.file,
        format!("has {said}"),
        format!("{}, port {PORT}", framework.label()),
    );
    app.framework = Some(framework);
    app.port = Some(PORT);
    match framework {
        Framework::Django => django(tree, &mut app, notes),
        Framework::FastApi => fast_api(tree, &mut app, notes),
        _ => flask(tree, &mut app, notes),
    }
    let server = if framework == Framework::FastApi {
        "uvicorn"
    } else {
        "gunicorn"
    };
    let brings = dependencies.of(server).is_some()
        || (server == "uvicorn" && dependencies.has_extra("fastapi"));
    if !brings && app.start.is_some() {
        notes.warn(dependencies.file, format!("does not name {server}, which serves it: the image installs it; add it to fix its version"));
        app.packages.push(server.to_owned());
    }
    Some(Claim {
        strength: Strength::Framework,
        app,
    })
}

/// A program without a framework: its port is known if its code names one.
fn plain(tree: &Tree<'_>, mut app: App, notes: &mut Notes) -> Claim {
    let Some(entry) = tree.first(&ENTRIES) else {
        notes.warn(
            "",
            "no main.py or app.py, and no framework among the dependencies: say how to start it",
        );
        return Claim {
            strength: Strength::Sources,
            app,
        };
    };
    app.start = Some(format!("python {entry}"));
    app.port = tree.glance(entry).and_then(scan::port);
    app.serving = if app.port.is_some() {
        Serving::Server
    } else {
        Serving::Worker
    };
    let therefore = match app.port {
        Some(port) => format!("that starts it, port {port}"),
        None => "that starts it, and it listens on no port".to_owned(),
    };
    notes.found(entry, "is where its code begins", therefore);
    Claim {
        strength: Strength::Manifest,
        app,
    }
}

fn django(tree: &Tree<'_>, app: &mut App, notes: &mut Notes) {
    app.test = app
        .test
        .take()
        .or_else(|| Some("python manage.py test".to_owned()));
    let module = tree
        .named("wsgi.py", 3)
        .find_map(|path| Some((path, module(path)?)));
    let Some((file, module)) = module else {
        notes.warn("", "Django's wsgi.py was not found: say how to start it");
        return;
    };
    app.start = Some(format!(
        "gunicorn --bind 0.0.0.0:{PORT} {module}:application"
    ));
    notes.found(file, "is there", format!("gunicorn serves {module}"));
    let settings = tree
        .named("settings.py", 3)
        .find_map(|path| Some((path, tree.glance(path)?)));
    let Some((file, text)) = settings else { return };
    if scan::code(text).any(|line| line.starts_with("STATIC_ROOT")) {
        notes.found(
            file,
            "has STATIC_ROOT",
            "static files are collected while it is built",
        );
        app.build = Some("SECRET_KEY=build python manage.py collectstatic --noinput".to_owned());
    }
    if text.contains("django.db.backends.sqlite3") {
        notes.warn(file, "keeps its data in SQLite inside the image, where they are lost with the container: use a database, or a file in /app/data");
        app.volumes.push(Volume {
            name: "data".into(),
            path: "/app/data".into(),
        });
    }
}

fn fast_api(tree: &Tree<'_>, app: &mut App, notes: &mut Notes) {
    let Some((file, module, object)) = object(tree, "FastAPI(") else {
        notes.warn("", "no file has `app = FastAPI()`: say how to start it");
        return;
    };
    notes.found(
        file,
        format!("makes {object}"),
        format!("uvicorn serves {module}:{object}"),
    );
    app.start = Some(format!(
        "uvicorn {module}:{object} --host 0.0.0.0 --port {PORT}"
    ));
}

fn flask(tree: &Tree<'_>, app: &mut App, notes: &mut Notes) {
    let bind = format!("gunicorn --bind 0.0.0.0:{PORT}");
    if let Some((file, module, object)) =
        object(tree, "Flask(").filter(|(_, _, object)| *object != "self")
    {
        let factory = tree
            .glance(file)
            .is_some_and(|text| text.contains("def create_app("));
        let call = if factory { "create_app()" } else { object };
        notes.found(
            file,
            format!("makes {call}"),
            format!("gunicorn serves {module}:{call}"),
        );
        app.start = Some(if factory {
            format!("{bind} '{module}:create_app()'")
        } else {
            format!("{bind} {module}:{object}")
        });
    } else {
        notes.warn("", "no file has `app = Flask(…)`: say how to start it");
    }
}

/// The file, module and name of the application object; what lies highest first.
fn object<'t>(tree: &Tree<'t>, call: &str) -> Option<(&'t str, String, &'t str)> {
    let mut found: Vec<&str> = MODULES
        .iter()
        .flat_map(|name| tree.named(name, 3))
        .collect();
    found.sort_by_key(|path| path.matches('/').count());
    found.into_iter().find_map(|path| {
        let object = scan::assigned(tree.glance(path)?, call)?;
        Some((path, module(path)?, object))
    })
}

/// The name by which Python imports a file.
fn module(path: &str) -> Option<String> {
    let path = path.strip_suffix(".py")?;
    let path = path.strip_suffix("/__init__").unwrap_or(path);
    path.split('/')
        .all(scan::is_name)
        .then(|| path.replace('/', "."))
}

fn test(dependencies: &Dependencies) -> Option<String> {
    dependencies.of("pytest").map(|_| "pytest".to_owned())
}

fn version(tree: &Tree<'_>, dependencies: &Dependencies, notes: &mut Notes) -> String {
    let of_file = |file: &'static str, prefix: &str| {
        let text = tree.glance(file)?.trim();
        Some((file, text.strip_prefix(prefix).unwrap_or(text).to_owned()))
    };
    let tools = || {
        let line = tree
            .glance(".tool-versions")?
            .lines()
            .find_map(|line| line.strip_prefix("python "))?;
        Some((".tool-versions", line.trim().to_owned()))
    };
    let said = of_file(".python-version", "")
        .or_else(|| of_file("runtime.txt", "python-"))
        .or_else(|| Some(("pyproject.toml", dependencies.python.clone()?)))
        .or_else(tools);
    let chosen = said.and_then(|(file, said)| {
        let version = version::choose(&said, &VERSIONS)?;
        notes.found(
            file,
            format!("asks for Python {}", quoted(&said)),
            format!("Python {version}"),
        );
        Some(version)
    });
    chosen.unwrap_or_else(|| VERSIONS[0].to_owned())
}

/// A project that is itself a package is installed with its sources.
fn manifests(tree: &Tree<'_>, manager: PackageManager) -> Vec<String> {
    match manager {
        PackageManager::Poetry => tree.those(&["pyproject.toml", "poetry.lock"]),
        PackageManager::Uv => tree.those(&["pyproject.toml", "uv.lock"]),
        _ => {
            let files = tree.named("requirements.txt", 1).map(name).map(shell_word);
            files.collect()
        }
    }
}

/// What the file of the dependencies names by its path: other lists (`-r base.txt`), packages (`-e ./greeting`,
/// `path = "greeting"`).
fn local<'t>(tree: &Tree<'t>, file: &str) -> Vec<&'t str> {
    let text = tree.glance(file).unwrap_or_default();
    if file == "pyproject.toml" {
        let paths = scan::code(text).filter_map(|line| scan::quoted_after(line, "path = "));
        return paths.collect();
    }
    let options = ["r", "requirement", "c", "constraint", "e", "editable"];
    let lines = scan::hash_commented(text);
    let path = |line: &'t str| {
        let (first, rest) = line
            .split_once([' ', '='])
            .map_or((line, ""), |(first, rest)| (first, rest.trim_start()));
        if first.starts_with('-') && options.contains(&first.trim_start_matches('-')) {
            return Some(rest);
        }
        let bare = first.starts_with("./") || first == ".";
        bare.then_some(first)
            .or_else(|| first.strip_prefix("file:"))
    };
    let paths = lines.filter_map(path);
    // Extras and conditions stand behind it.
    paths
        .map(|path| path.split(['[', ';']).next().unwrap_or_default())
        .collect()
}
