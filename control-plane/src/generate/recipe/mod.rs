//! How each language is built and run: the images, the steps, and what its container needs.

mod compiled;
mod node;
mod python;
mod scripted;
mod site;

use serde::Serialize;

use super::{plan::Plan, probe, probe::Asker, quote};
use crate::detect::{Language, Packing, Serving};

/// What the templates put in for a language.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Recipe {
    /// The template of its Dockerfile.
    pub dockerfile: &'static str,
    /// The image it is built and tested in.
    pub build_image: String,
    /// The image it runs in.
    pub run_image: String,
    /// Before anything is copied: what the build image needs.
    pub setup: Vec<String>,
    /// What installs dependencies.
    pub install: Vec<String>,
    /// What leaves out the dependencies that only building needs.
    pub prune: Option<String>,
    /// The folders that builds share.
    pub caches: Vec<&'static str>,
    /// What installs dependencies for tests, in CI.
    pub test_install: Vec<String>,
    /// The user that its container runs as; never root.
    pub user: u32,
    /// Folders that it writes to.
    pub writable: Vec<String>,
    /// Whether the rest of its file system can be read-only.
    pub read_only: bool,
    /// What its environment has.
    pub environment: Vec<(&'static str, String)>,
    /// What it may take of memory, in MiB.
    pub memory_mib: u32,
    /// How long it may take to start, in seconds.
    pub start_s: u32,
    /// What else stays out of the build.
    pub ignore: &'static [&'static str],
    /// What its image has to ask with.
    #[serde(skip)]
    pub asker: Option<Asker>,
    /// The command that tells whether it is well.
    pub probe: Option<Vec<String>>,
    /// The words of the command that starts it.
    pub command: Option<Vec<String>>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            dockerfile: "",
            build_image: String::new(),
            run_image: String::new(),
            setup: Vec::new(),
            install: Vec::new(),
            prune: None,
            caches: Vec::new(),
            test_install: Vec::new(),
            user: OWN_USER,
            writable: Vec::new(),
            read_only: false,
            environment: Vec::new(),
            memory_mib: 512,
            start_s: 30,
            ignore: &[],
            asker: None,
            probe: None,
            command: None,
        }
    }
}

/// The user that is made where an image has none but root.
const OWN_USER: u32 = 10001;
/// Small, with a shell and `wget`, and certificates of authorities.
const ALPINE: &str = "alpine:3.22";

/// The recipe of a plan.
pub(super) fn of(plan: &Plan) -> Recipe {
    let app = &plan.app;
    let mut recipe = match app.language {
        _ if app.serving == Serving::Static => site::recipe(app),
        Some(Language::Node) => node::recipe(app),
        Some(Language::Python) => python::recipe(app),
        Some(Language::Go) => compiled::go(app),
        Some(Language::Rust) => compiled::rust(app),
        Some(Language::Java) => compiled::java(app),
        Some(Language::Dotnet) => compiled::dotnet(app),
        Some(Language::Elixir) => compiled::elixir(app),
        Some(Language::Php) => scripted::php(app),
        Some(Language::Ruby) => scripted::ruby(app),
        Some(Language::Deno) => scripted::deno(app),
        Some(Language::Site) | None => site::recipe(app),
    };
    if plan.packing != Packing::Generated {
        // Nothing is known of what an image of its own has.
        recipe.asker = None;
        recipe.writable.clear();
        recipe.read_only = false;
    }
    let asked = recipe.asker.zip(app.port);
    recipe.probe = asked.map(|(asker, port)| probe::words(asker, port, app.health.as_deref()));
    recipe.command = app.start.as_deref().and_then(quote::words);
    recipe
        .writable
        .extend(app.volumes.iter().map(|volume| volume.path.clone()));
    recipe
}
