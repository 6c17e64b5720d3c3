//! Node.js and Bun.

use super::{Asker, Recipe};
use crate::detect::{App, Framework, PackageManager, Serving};

pub(super) fn recipe(app: &App) -> Recipe {
    let version = app.version.as_deref().unwrap_or("22");
    let bun = app.package_manager == Some(PackageManager::Bun);
    let (build_image, run_image) = if bun {
        (
            format!("oven/bun:{version}"),
            format!("oven/bun:{version}-slim"),
        )
    } else {
        // The full image has what native modules are compiled with, and the same libc as the slim one.
        (
            format!("node:{version}-bookworm"),
            format!("node:{version}-bookworm-slim"),
        )
    };
    let manager = manager(app);
    let builds = app.build.is_some();
    let mut environment = vec![("NODE_ENV", "production".to_owned())];
    if let Some(port) = app.port {
        environment.push(("PORT", port.to_string()));
        // Some listen on this name only, which else is the container's.
        let name = if app.framework == Some(Framework::Next) {
            "HOSTNAME"
        } else {
            "HOST"
        };
        environment.push((name, "0.0.0.0".to_owned()));
    }
    let next = app.framework == Some(Framework::Next) && app.serving == Serving::Server;
    Recipe {
        dockerfile: "node.Dockerfile",
        build_image,
        run_image,
        setup: manager
            .setup
            .iter()
            .map(|step| (*step).to_owned())
            .collect(),
        install: vec![
            if builds {
                manager.install
            } else {
                manager.install_lean
            }
            .to_owned(),
        ],
        // What Nuxt and Next put out has all that runs.
        prune: (builds && app.output.is_none()).then(|| manager.prune.to_owned()),
        caches: vec![manager.cache],
        test_install: manager
            .setup
            .iter()
            .copied()
            .chain([manager.install])
            .map(str::to_owned)
            .collect(),
        user: 1000,
        writable: if next {
            vec!["/app/.next/cache".to_owned()]
        } else {
            Vec::new()
        },
        environment,
        ignore: &[
            "node_modules",
            ".next",
            ".nuxt",
            ".output",
            ".svelte-kit",
            "dist",
            "build",
            "coverage",
            "npm-debug.log*",
        ],
        asker: Some(if bun { Asker::Bun } else { Asker::Node }),
        ..Recipe::default()
    }
}

struct Manager {
    setup: &'static [&'static str],
    install: &'static str,
    /// Without what only building needs.
    install_lean: &'static str,
    prune: &'static str,
    cache: &'static str,
}

fn manager(app: &App) -> Manager {
    let locked = app.manifests.is_empty()
        || app
            .manifests
            .iter()
            .any(|path| path.contains("lock") || path.contains("shrinkwrap"));
    match app.package_manager {
        Some(PackageManager::Pnpm) => Manager {
            setup: &["corepack enable"],
            install: "pnpm install --frozen-lockfile",
            install_lean: "pnpm install --frozen-lockfile --prod",
            prune: "CI=true pnpm prune --prod",
            cache: "/root/.local/share/pnpm/store",
        },
        Some(PackageManager::Yarn) => Manager {
            setup: &[],
            install: "yarn install --frozen-lockfile",
            install_lean: "yarn install --frozen-lockfile --production",
            prune: "yarn install --frozen-lockfile --production --ignore-scripts --prefer-offline",
            cache: "/usr/local/share/.cache/yarn",
        },
        Some(PackageManager::YarnBerry) => Manager {
            setup: &["corepack enable"],
            install: "yarn install --immutable",
            install_lean: "yarn install --immutable",
            prune: "yarn workspaces focus --all --production",
            cache: "/root/.yarn/berry/cache",
        },
        Some(PackageManager::Bun) => Manager {
            setup: &[],
            install: "bun install --frozen-lockfile",
            install_lean: "bun install --frozen-lockfile --production",
            prune: "rm -rf node_modules && bun install --frozen-lockfile --production",
            cache: "/root/.bun/install/cache",
        },
        _ if locked => Manager {
            setup: &[],
            install: "npm ci",
            install_lean: "npm ci --omit=dev",
            prune: "npm prune --omit=dev",
            cache: "/root/.npm",
        },
        _ => Manager {
            setup: &[],
            install: "npm install",
            install_lean: "npm install --omit=dev",
            prune: "npm prune --omit=dev",
            cache: "/root/.npm",
        },
    }
}
