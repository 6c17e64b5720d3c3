//! Ruby.

use super::{
    Claim, Strength,
    app::{App, Framework, Language, PackageManager, Volume},
    local,
    notes::{Notes, quoted},
    scan,
    tree::Tree,
    version,
};

const VERSIONS: [&str; 4] = ["3.4", "3.3", "3.2", "3.1"];

pub(super) fn detect(tree: &Tree<'_>, notes: &mut Notes) -> Option<Claim> {
    if !tree.has("Gemfile") {
        return None;
    }
    let gemfile = tree.text("Gemfile", notes)?;
    let mut app = App {
        package_manager: Some(PackageManager::Bundler),
        version: Some(ruby_version(tree, gemfile, notes)),
        manifests: tree.those(&["Gemfile", "Gemfile.lock", ".ruby-version"]),
        local: local::those(tree, notes, "Gemfile", local(gemfile)),
        packages: packages(gemfile),
        ..App::of(Language::Ruby)
    };
    if !tree.has("Gemfile.lock") {
        notes.warn(
            "Gemfile",
            "has no Gemfile.lock beside it, so that two builds may differ: commit it",
        );
    }
    if let Some(version) = gem(gemfile, "rails") {
        rails(tree, gemfile, version, &mut app, notes);
        return Some(Claim {
            strength: Strength::Framework,
            app,
        });
    }
    if gem(gemfile, "rspec").is_some() {
        app.test = Some("bundle exec rspec".to_owned());
    }
    if let Some(version) = gem(gemfile, "sinatra") {
        app.framework = Some(Framework::Sinatra);
        notes.found(
            "Gemfile",
            format!("has sinatra{}", said(version)),
            "Sinatra",
        );
    }
    let port = if app.framework.is_some() { 4567 } else { 9292 };
    if tree.has("config.ru") {
        notes.found(
            "config.ru",
            "is there",
            format!("Rack serves it, port {port}"),
        );
        app.port = Some(port);
        let puma = gem(gemfile, "puma").is_some();
        app.start = Some(if puma {
            format!("bundle exec puma --bind tcp://0.0.0.0:{port}")
        } else {
            format!("bundle exec rackup --host 0.0.0.0 --port {port}")
        });
    } else if let Some(file) = tree.first(&["app.rb", "main.rb", "server.rb"]) {
        notes.found(file, "is where its code begins", format!("port {port}"));
        app.port = Some(port);
        app.start = Some(if app.framework.is_some() {
            format!("bundle exec ruby {file} -o 0.0.0.0 -p {port}")
        } else {
            format!("bundle exec ruby {file}")
        });
    }
    let strength = match (app.framework, &app.start) {
        (Some(_), Some(_)) => Strength::Framework,
        (_, Some(_)) => Strength::Manifest,
        _ => Strength::Sources,
    };
    Some(Claim { strength, app })
}

fn rails(tree: &Tree<'_>, gemfile: &str, version: &str, app: &mut App, notes: &mut Notes) {
    notes.found(
        "Gemfile",
        format!("has rails{}", said(version)),
        "Rails, port 3000",
    );
    app.framework = Some(Framework::Rails);
    app.port = Some(3000);
    app.start = Some("bundle exec rails server --binding 0.0.0.0 --port 3000".to_owned());
    app.test = Some(
        if gem(gemfile, "rspec-rails").is_some() {
            "bundle exec rspec"
        } else {
            "bin/rails test"
        }
        .to_owned(),
    );
    app.volumes.push(Volume {
        name: "storage".into(),
        path: "/app/storage".into(),
    });
    if ["sprockets-rails", "propshaft"]
        .iter()
        .any(|name| gem(gemfile, name).is_some())
    {
        notes.found(
            "Gemfile",
            "has an asset pipeline",
            "assets are compiled while it is built",
        );
        app.build = Some("SECRET_KEY_BASE_DUMMY=1 bundle exec rails assets:precompile".to_owned());
    }
    // Rails has answered there since 7.1.
    let number = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    if tree.has("config/routes.rb")
        && version::choose(number, &["8.1", "8.0", "7.2", "7.1"])
            .is_some_and(|found| found.as_str() >= "7.1")
    {
        app.health = Some("/up".to_owned());
    }
}

/// The version that is asked for of a gem; empty when any will do.
fn gem<'t>(gemfile: &'t str, name: &str) -> Option<&'t str> {
    scan::code(gemfile).find_map(|line| {
        let words = line.strip_prefix("gem ")?;
        let mut parts = words
            .split(',')
            .map(|part| part.trim().trim_matches(['"', '\'']));
        (parts.next()? == name).then(|| {
            parts
                .next()
                .filter(|next| !next.contains(':'))
                .unwrap_or_default()
        })
    })
}

/// Gems that are given as a path; with `gemspec` the whole repository is one.
fn local(gemfile: &str) -> Vec<&str> {
    let path = |line| {
        let starts = ["path: ", ":path => ", "path "];
        let behind = |start: &&str| *start != "path " || str::starts_with(line, start);
        let start = starts
            .iter()
            .filter(|start| behind(start))
            .find(|start| line.contains(*start))?;
        scan::quoted_after(line, start)
    };
    let own = scan::code(gemfile).any(|line| line == "gemspec" || line.starts_with("gemspec "));
    let paths = scan::code(gemfile).filter_map(path);
    own.then_some(".").into_iter().chain(paths).collect()
}

fn said(version: &str) -> String {
    let number = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    if number.is_empty() {
        String::new()
    } else {
        format!(" {}", quoted(number))
    }
}

/// Debian's packages that gems need at run time.
fn packages(gemfile: &str) -> Vec<String> {
    const NEEDS: [(&str, &str); 4] = [
        ("pg", "libpq5"),
        ("mysql2", "libmariadb3"),
        ("image_processing", "libvips42"),
        ("ruby-vips", "libvips42"),
    ];
    let mut found: Vec<String> = Vec::new();
    for (name, package) in NEEDS {
        if gem(gemfile, name).is_some() && !found.iter().any(|known| known == package) {
            found.push(package.to_owned());
        }
    }
    found
}

fn ruby_version(tree: &Tree<'_>, gemfile: &str, notes: &mut Notes) -> String {
    let of_file = || {
        let text = tree.glance(".ruby-version")?.trim();
        Some((
            ".ruby-version",
            text.strip_prefix("ruby-").unwrap_or(text).to_owned(),
        ))
    };
    let of_gemfile = || {
        let line = scan::code(gemfile).find(|line| line.starts_with("ruby "))?;
        Some(("Gemfile", scan::quoted_after(line, "ruby ")?.to_owned()))
    };
    let chosen = of_file().or_else(of_gemfile).and_then(|(file, said)| {
        let version = version::choose(&said, &VERSIONS)?;
        notes.found(
            file,
            format!("asks for Ruby {}", quoted(&said)),
            format!("Ruby {version}"),
        );
        Some(version)
    });
    chosen.unwrap_or_else(|| VERSIONS[0].to_owned())
}
