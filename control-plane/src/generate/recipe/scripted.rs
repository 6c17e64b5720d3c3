//! Languages whose sources run as they are.

use super::{Asker, Recipe};
use crate::detect::{App, Framework};

pub(super) fn php(app: &App) -> Recipe {
    let version = app.version.as_deref().unwrap_or("8.4");
    let laravel = app.framework == Some(Framework::Laravel);
    let writable: &[&str] = match app.framework {
        Some(Framework::Laravel) => &[
            "/var/www/html/bootstrap/cache",
            "/var/www/html/storage/framework/cache",
            "/var/www/html/storage/framework/sessions",
            "/var/www/html/storage/framework/views",
            "/var/www/html/storage/logs",
        ],
        Some(Framework::Symfony) => &["/var/www/html/var"],
        _ => &[],
    };
    let environment = match app.framework {
        Some(Framework::Laravel) => vec![
            ("APP_ENV", "production".to_owned()),
            ("LOG_CHANNEL", "stderr".to_owned()),
        ],
        Some(Framework::Symfony) => vec![("APP_ENV", "prod".to_owned())],
        _ => Vec::new(),
    };
    Recipe {
        dockerfile: "php.Dockerfile",
        build_image: "composer:2".to_owned(),
        run_image: format!("php:{version}-apache-bookworm"),
        install: vec!["composer install --no-dev --no-interaction --no-progress --no-scripts --no-autoloader --prefer-dist --ignore-platform-reqs".to_owned()],
        prune: Some("composer dump-autoload --no-dev --no-scripts --optimize".to_owned()),
        caches: vec!["/tmp/cache"],
        test_install: vec!["composer install --no-interaction --no-progress --prefer-dist --ignore-platform-reqs".to_owned()],
        // www-data
        user: 33,
        writable: writable.iter().map(|path| (*path).to_owned()).collect(),
        environment,
        start_s: if laravel { 60 } else { 30 },
        ignore: &["vendor", "node_modules", "storage/logs/*", "bootstrap/cache/*.php", ".phpunit.cache"],
        asker: Some(Asker::Php),
        ..Recipe::default()
    }
}

pub(super) fn ruby(app: &App) -> Recipe {
    let version = app.version.as_deref().unwrap_or("3.4");
    let rails = app.framework == Some(Framework::Rails);
    let mut environment = vec![("RACK_ENV", "production".to_owned())];
    if rails {
        environment = vec![
            ("RAILS_ENV", "production".to_owned()),
            ("RAILS_LOG_TO_STDOUT", "1".to_owned()),
            ("RAILS_SERVE_STATIC_FILES", "1".to_owned()),
        ];
    }
    environment.extend(app.port.map(|port| ("PORT", port.to_string())));
    let writable: &[&str] = if rails {
        &["/app/log", "/app/tmp"]
    } else {
        &[]
    };
    Recipe {
        dockerfile: "ruby.Dockerfile",
        // The full image has what native gems are compiled with, and the same libc as the slim one.
        build_image: format!("ruby:{version}-bookworm"),
        run_image: format!("ruby:{version}-slim-bookworm"),
        install: vec!["bundle install".to_owned()],
        caches: vec!["/root/.bundle/cache"],
        test_install: vec!["bundle install".to_owned()],
        writable: writable.iter().map(|path| (*path).to_owned()).collect(),
        environment,
        start_s: 60,
        ignore: &[
            ".bundle",
            "log/*",
            "tmp/*",
            "storage/*",
            "node_modules",
            "coverage",
            "config/master.key",
        ],
        asker: Some(Asker::Ruby),
        ..Recipe::default()
    }
}

pub(super) fn deno(app: &App) -> Recipe {
    let version = app.version.as_deref().unwrap_or("2.5.6");
    Recipe {
        dockerfile: "deno.Dockerfile",
        build_image: format!("denoland/deno:{version}"),
        run_image: format!("denoland/deno:{version}"),
        install: vec!["deno install".to_owned()],
        caches: vec!["/cache"],
        test_install: vec!["deno install".to_owned()],
        // deno
        user: 1993,
        environment: app
            .port
            .map(|port| ("PORT", port.to_string()))
            .into_iter()
            .collect(),
        ignore: &["node_modules", "coverage", "vendor"],
        asker: Some(Asker::Deno),
        ..Recipe::default()
    }
}
