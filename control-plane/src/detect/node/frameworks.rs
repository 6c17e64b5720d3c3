//! What Node.js' frameworks are known by, and how each is started.

use super::{
    super::{
        app::{Framework, Serving},
        notes::{Notes, quoted},
        tree::Tree,
    },
    Package,
};

/// Where what a static site builds is served: a web server that is not root cannot take a lower port.
pub(in crate::detect) const SITE_PORT: u16 = 8080;

/// A framework in a repository.
pub(super) struct Known {
    pub framework: Framework,
    pub serving: Serving,
    pub port: u16,
    /// Nothing where the start script says it.
    pub start: Option<String>,
    pub output: Option<String>,
}

/// Each framework's dependency; one that is built upon another stands before it.
const DEPENDENCIES: [(&str, Framework); 12] = [
    ("next", Framework::Next),
    ("nuxt", Framework::Nuxt),
    ("@sveltejs/kit", Framework::SvelteKit),
    ("astro", Framework::Astro),
    ("@nestjs/core", Framework::Nest),
    ("express", Framework::Express),
    ("fastify", Framework::Fastify),
    ("koa", Framework::Koa),
    ("hono", Framework::Hono),
    ("@hono/node-server", Framework::Hono),
    ("react-scripts", Framework::CreateReactApp),
    ("vite", Framework::Vite),
];

pub(super) fn detect(tree: &Tree<'_>, package: &Package, notes: &mut Notes) -> Option<Known> {
    let mut present = DEPENDENCIES
        .iter()
        .filter_map(|(name, framework)| Some((*name, package.dependency(name)?, *framework)));
    let (name, version, framework) = present.next()?;
    let known = match framework {
        Framework::Next => next(tree, notes),
        Framework::Nuxt => server(
            framework,
            3000,
            "node .output/server/index.mjs",
            Some(".output"),
        ),
        Framework::SvelteKit => svelte_kit(package, notes),
        Framework::Astro => astro(package),
        Framework::Nest => server(framework, 3000, "node dist/main", None),
        Framework::CreateReactApp => site(framework, "build"),
        Framework::Vite => vite(package)?,
        _ => Known {
            start: None,
            ..server(framework, 3000, "", None)
        },
    };
    let version = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    let says = if version.is_empty() {
        format!("has {name}")
    } else {
        format!("has {name} {}", quoted(version))
    };
    let therefore = match known.serving {
        Serving::Static => format!(
            "{}, static files in {}",
            framework.label(),
            known.output.as_deref().unwrap_or_default()
        ),
        // Where the code itself listens, it says the port.
        _ if known.start.is_none() || framework == Framework::Nest => framework.label().to_owned(),
        _ => format!("{}, port {}", framework.label(), known.port),
    };
    notes.found("package.json", says, therefore);
    Some(known)
}

fn server(framework: Framework, port: u16, start: &str, output: Option<&str>) -> Known {
    Known {
        framework,
        serving: Serving::Server,
        port,
        start: Some(start.to_owned()),
        output: output.map(str::to_owned),
    }
}

fn site(framework: Framework, output: &str) -> Known {
    Known {
        framework,
        serving: Serving::Static,
        port: SITE_PORT,
        start: None,
        output: Some(output.to_owned()),
    }
}

fn next(tree: &Tree<'_>, notes: &mut Notes) -> Known {
    const CONFIGURATIONS: [&str; 3] = ["next.config.js", "next.config.mjs", "next.config.ts"];
    let file = tree.first(&CONFIGURATIONS);
    let output = file.and_then(|file| super::scan::quoted_after(tree.glance(file)?, "output:"));
    match (file, output) {
        (Some(file), Some("standalone")) => {
            notes.found(
                file,
                "has output: standalone",
                "the image takes only what its server needs",
            );
            server(
                Framework::Next,
                3000,
                "node server.js",
                Some(".next/standalone"),
            )
        }
        (Some(file), Some("export")) => {
            notes.found(file, "has output: export", "static files in out");
            site(Framework::Next, "out")
        }
        _ => {
            let file = file.unwrap_or("package.json");
            notes.warn(file, "output: \"standalone\" in Next.js' configuration would make the image several times smaller");
            server(Framework::Next, 3000, "node_modules/.bin/next start", None)
        }
    }
}

fn svelte_kit(package: &Package, notes: &mut Notes) -> Known {
    if package.dependency("@sveltejs/adapter-static").is_some() {
        return site(Framework::SvelteKit, "build");
    }
    if package.dependency("@sveltejs/adapter-node").is_none() {
        notes.warn("package.json", "has no @sveltejs/adapter-node, without which SvelteKit makes no server for a container: add it");
    }
    server(Framework::SvelteKit, 3000, "node build", None)
}

fn astro(package: &Package) -> Known {
    if package.dependency("@astrojs/node").is_some() {
        server(Framework::Astro, 4321, "node dist/server/entry.mjs", None)
    } else {
        site(Framework::Astro, "dist")
    }
}

/// Vite makes static files, unless the start script runs a server of the repository's own.
fn vite(package: &Package) -> Option<Known> {
    let start = package.script("start").unwrap_or_default();
    let serves = ["node ", "bun ", "tsx "]
        .iter()
        .any(|runtime| start.starts_with(runtime));
    (!serves).then(|| site(Framework::Vite, "dist"))
}
