//! PHP.

use serde_json::Value;

use super::{
    Claim, Strength,
    app::{App, Framework, Language, PackageManager, Volume},
    local,
    notes::{Notes, quoted},
    tree::Tree,
    version,
};

const VERSIONS: [&str; 4] = ["8.4", "8.3", "8.2", "8.1"];
/// Apache as a user that is not root cannot take a lower port.
const PORT: u16 = 8080;
/// Extensions that are built without any package of the distribution.
const EXTENSIONS: [&str; 9] = [
    "bcmath",
    "calendar",
    "exif",
    "mysqli",
    "opcache",
    "pcntl",
    "pdo_mysql",
    "shmop",
    "sockets",
];
/// What the image has without being asked.
const BUILT_IN: [&str; 24] = [
    "ctype",
    "curl",
    "date",
    "dom",
    "fileinfo",
    "filter",
    "hash",
    "iconv",
    "json",
    "libxml",
    "mbstring",
    "openssl",
    "pcre",
    "pdo",
    "pdo_sqlite",
    "phar",
    "posix",
    "session",
    "simplexml",
    "sodium",
    "sqlite3",
    "tokenizer",
    "xml",
    "zlib",
];

pub(super) fn detect(tree: &Tree<'_>, notes: &mut Notes) -> Option<Claim> {
    if !tree.has("composer.json") {
        return plain(tree, notes);
    }
    let composer = tree.json("composer.json", notes)?;
    let require = composer.get("require");
    let required = |name: &str| require?.get(name)?.as_str();
    let version = required("php").and_then(|said| {
        let version = version::choose(said, &VERSIONS)?;
        notes.found(
            "composer.json",
            format!("asks for PHP {}", quoted(said)),
            format!("PHP {version}"),
        );
        Some(version)
    });
    let frameworks = [
        ("laravel/framework", Framework::Laravel),
        ("symfony/framework-bundle", Framework::Symfony),
    ];
    let framework = frameworks
        .into_iter()
        .find_map(|(name, framework)| Some((name, required(name)?, framework)));
    if let Some((name, said, framework)) = framework {
        let said = said.trim_start_matches(|c: char| !c.is_ascii_digit());
        notes.found(
            "composer.json",
            format!("has {name} {}", quoted(said)),
            format!("{}, port {PORT}", framework.label()),
        );
    }
    let framework = framework.map(|(_, _, framework)| framework);
    let mut app = App {
        framework,
        package_manager: Some(PackageManager::Composer),
        version: Some(version.unwrap_or_else(|| VERSIONS[0].to_owned())),
        manifests: tree.those(&["composer.json", "composer.lock"]),
        local: local::those(tree, notes, "composer.json", local(&composer)),
        packages: extensions(require, framework, notes),
        test: test(tree, &composer, framework),
        ..served(tree, notes)
    };
    if framework == Some(Framework::Laravel) {
        app.health = Some("/up".to_owned());
        app.volumes.push(Volume {
            name: "storage".into(),
            path: "/var/www/html/storage/app".into(),
        });
        assets(tree, &mut app, notes);
    }
    let strength = match (framework, &app.output) {
        (Some(_), _) => Strength::Framework,
        (None, Some(_)) => Strength::Manifest,
        (None, None) => Strength::Sources,
    };
    if strength == Strength::Sources {
        app.start = None;
        notes.warn(
            "composer.json",
            "no index.php at the top nor below public: say where it begins",
        );
    }
    Some(Claim { strength, app })
}

/// Pages without any dependency.
fn plain(tree: &Tree<'_>, notes: &mut Notes) -> Option<Claim> {
    let app = served(tree, notes);
    app.output.as_ref()?;
    Some(Claim {
        strength: Strength::Manifest,
        app,
    })
}

/// What Apache serves: `public` where it has the index, or all.
fn served(tree: &Tree<'_>, notes: &mut Notes) -> App {
    let index = tree.first(&["public/index.php", "web/index.php", "index.php"]);
    let output = index.map(|index| index.rsplit_once('/').map_or(".", |(folder, _)| folder));
    if let Some(index) = index {
        notes.found(
            index,
            "is there",
            format!("Apache serves its folder, port {PORT}"),
        );
    }
    App {
        version: Some(VERSIONS[0].to_owned()),
        output: output.map(str::to_owned),
        port: Some(PORT),
        start: Some("apache2-foreground".to_owned()),
        ..App::of(Language::Php)
    }
}

fn extensions(
    require: Option<&Value>,
    framework: Option<Framework>,
    notes: &mut Notes,
) -> Vec<String> {
    let mut found = vec!["opcache".to_owned()];
    if framework == Some(Framework::Laravel) {
        found.push("pdo_mysql".to_owned());
    }
    let keys = require
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|map| map.keys());
    for extension in keys.filter_map(|key| key.strip_prefix("ext-")).take(40) {
        let extension = extension.to_ascii_lowercase();
        if EXTENSIONS.contains(&extension.as_str()) {
            if !found.contains(&extension) {
                found.push(extension);
            }
        } else if !BUILT_IN.contains(&extension.as_str()) {
            notes.warn(
                "composer.json",
                format!(
                    "asks for the extension {}: add it to the Dockerfile",
                    quoted(&extension)
                ),
            );
        }
    }
    found
}

/// Packages in a folder of the repository.
fn local(composer: &Value) -> impl Iterator<Item = &str> {
    let repositories = composer.get("repositories");
    let list = repositories.and_then(Value::as_array).into_iter().flatten();
    let named = repositories.and_then(Value::as_object).into_iter();
    let all = list.chain(named.flat_map(|map| map.values()));
    all.filter(|one| one.get("type").is_some_and(|kind| kind == "path"))
        .filter_map(|one| one.get("url")?.as_str())
}

fn test(tree: &Tree<'_>, composer: &Value, framework: Option<Framework>) -> Option<String> {
    if framework == Some(Framework::Laravel) && tree.has("artisan") {
        return Some("php artisan test".to_owned());
    }
    let dev = composer.get("require-dev");
    dev?.get("phpunit/phpunit")
        .map(|_| "vendor/bin/phpunit".to_owned())
}

/// Laravel's pages are often built by Vite beside it.
fn assets(tree: &Tree<'_>, app: &mut App, notes: &mut Notes) {
    if !tree.has("package.json") {
        return;
    }
    let Some(package) = tree.json("package.json", notes) else {
        return;
    };
    if package
        .get("scripts")
        .and_then(|scripts| scripts.get("build"))
        .is_some()
    {
        let install = if tree.has("package-lock.json") {
            "npm ci"
        } else {
            "npm install"
        };
        notes.found(
            "package.json",
            "has the script build",
            "its pages' assets are built by npm",
        );
        app.build = Some(format!("{install} && npm run build"));
    }
}
