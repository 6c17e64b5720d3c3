//! The templates, and what they are filled with.

use std::sync::LazyLock;

use minijinja::{
    AutoEscape, Environment, Error, UndefinedBehavior, Value, context, syntax::SyntaxConfig,
    value::Serde,
};

use towline_shared::manifest::object_name;

use super::{plan::Plan, quote, recipe::Recipe, steps};
use crate::detect::{Framework, Language, PackageManager, Packing, Serving};
use crate::domain::glob::Glob;

macro_rules! files {
    ($($name:literal),* $(,)?) => { [$(($name, include_str!(concat!("files/", $name)))),*] };
}

/// Each template's name and text.
const TEMPLATES: [(&str, &str); 25] = files![
    ".dockerignore",
    "Jenkinsfile",
    "bitbucket.yml",
    "deno.Dockerfile",
    "deployment.yaml",
    "docker-compose.yml",
    "dotnet.Dockerfile",
    "elixir.Dockerfile",
    "end.Dockerfile",
    "environment.Dockerfile",
    "github.yml",
    "gitlab.yml",
    "go.Dockerfile",
    "head.Dockerfile",
    "install.Dockerfile",
    "java.Dockerfile",
    "nginx.conf",
    "node.Dockerfile",
    "php.Dockerfile",
    "python.Dockerfile",
    "ruby.Dockerfile",
    "rust.Dockerfile",
    "site.Dockerfile",
    "towline.yml",
    "user.Dockerfile",
];

/// All templates, read once.
pub(super) fn environment() -> Result<&'static Environment<'static>, &'static Error> {
    static ENVIRONMENT: LazyLock<Result<Environment<'static>, Error>> = LazyLock::new(read);
    ENVIRONMENT.as_ref()
}

/// Reads the templates, with the notations of their places as filters. A name that is not there is a fault.
fn read() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()?;
    environment.set_syntax(syntax);
    for (name, filter) in [
        ("json", quote::json as fn(&str) -> String),
        ("yaml", quote::yaml),
        ("compose", quote::compose),
        ("kubernetes", quote::kubernetes),
        ("actions", quote::actions),
        ("expressions", quote::expressions),
        ("dockerfile", quote::dockerfile),
        ("shell", quote::shell),
        ("groovy", quote::groovy),
    ] {
        environment.add_filter(name, move |text: String| filter(&text));
    }
    environment.add_filter("json_list", |words: Vec<String>| list(&words, quote::json));
    environment.add_filter("compose_list", |words: Vec<String>| {
        list(&words, |word| quote::json(&word.replace('$', "$$")))
    });
    environment.add_filter("copied", |paths: Vec<String>| copied(&paths));
    environment.add_filter("copied_to_its_place", |path: String| in_place(&path));
    for (name, text) in TEMPLATES {
        environment.add_template(name, text)?;
    }
    Ok(environment)
}

fn list(words: &[String], quote: impl Fn(&str) -> String) -> String {
    let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
    format!("[{}]", words.join(", "))
}

/// Files of `COPY` and the folder they go to: as words, or as a list where a name has a blank.
fn copied(paths: &[String]) -> String {
    if paths.iter().all(|path| !path.contains(' ')) {
        return format!("{} ./", paths.join(" "));
    }
    let all: Vec<String> = paths.iter().cloned().chain(["./".to_owned()]).collect();
    list(&all, quote::json)
}

/// A file or folder of `COPY`, and the same place in the image.
fn in_place(path: &str) -> String {
    let to = match path {
        "." => "./".to_owned(),
        path => format!("./{path}"),
    };
    if path.contains(' ') {
        list(&[path.to_owned(), to], quote::json)
    } else {
        format!("{path} {to}")
    }
}

pub(super) fn context(plan: &Plan, recipe: &Recipe) -> Value {
    let app = &plan.app;
    let own_file = match &plan.packing {
        Packing::Compose { file } | Packing::Dockerfile { file } => file.as_str(),
        Packing::Generated | Packing::Unknown => "",
    };
    let manager = app.package_manager;
    let steps = steps::Steps::of(plan);
    let words = |word: &str| {
        [
            vec![word.to_owned()],
            recipe.probe.clone().unwrap_or_default(),
        ]
        .concat()
    };
    context! {
        name => plan.name.as_str(),
        app => Serde(app),
        recipe => Serde(recipe),
        branch => plan.branch.as_str(),
        branch_is_pattern => Glob::parse(&plan.branch).is_ok(),
        image => plan.image.as_str(),
        variables => Serde(&plan.environment),
        host => plan.host.clone(),
        own_compose => matches!(plan.packing, Packing::Compose { .. }),
        own_dockerfile => matches!(plan.packing, Packing::Dockerfile { .. }),
        own_image => plan.packing != Packing::Generated,
        own_file => own_file,
        built_by_node => app.language == Some(Language::Node),
        composer => manager == Some(PackageManager::Composer),
        uv => manager == Some(PackageManager::Uv),
        locked => app.manifests.iter().any(|path| path.contains("lock")),
        single_page => matches!(app.framework, Some(Framework::Vite | Framework::CreateReactApp)),
        standalone => app.framework == Some(Framework::Next) && app.output.is_some() && app.serving == Serving::Server,
        web => app.port.is_some() && app.serving != Serving::Worker,
        document_root => document_root(app.output.as_deref()),
        mounts => mounts(plan, recipe),
        install => recipe.install.join(" \\\n    && "),
        compose_test => words("CMD"),
        probe => kubernetes_probe(app.health.as_deref()),
        kubernetes_name => object_name(&plan.name),
        tested => app.test.is_some() && app.language.is_some(),
        test_script => [recipe.test_install.join("\n"), app.test.clone().unwrap_or_default()].join("\n").trim_start(),
        check => steps.check,
        checked_file => steps.checked_file,
        build_steps => steps.build,
        push_steps => steps.push,
        registry => steps.registry,
    }
}

/// What a step of `RUN` shares with the project's other builds, and with nobody else's.
fn mounts(plan: &Plan, recipe: &Recipe) -> String {
    let mount = |folder: &&str| {
        let id = folder.trim_start_matches('/').replace(['/', '.'], "-");
        format!("--mount=type=cache,id={}-{id},target={folder}", plan.name)
    };
    recipe
        .caches
        .iter()
        .map(mount)
        .collect::<Vec<_>>()
        .join(" ")
}

fn document_root(output: Option<&str>) -> String {
    match output {
        None | Some(".") => "/var/www/html".to_owned(),
        Some(folder) => format!("/var/www/html/{folder}"),
    }
}

/// What Kubernetes asks a container, below its kind of probe.
fn kubernetes_probe(path: Option<&str>) -> String {
    let blanks = " ".repeat(12);
    match path {
        Some(path) => format!(
            "{blanks}httpGet:\n{blanks}  path: {}\n{blanks}  port: http",
            quote::yaml(path)
        ),
        None => format!("{blanks}tcpSocket:\n{blanks}  port: http"),
    }
}

/// At most one empty line at a time, none at the ends, and no blanks before a line's end.
pub(super) fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.lines().map(str::trim_end) {
        empty = if line.is_empty() { empty + 1 } else { 0 };
        if empty < 2 && !(line.is_empty() && tidied.is_empty()) {
            tidied.push_str(line);
            tidied.push('\n');
        }
    }
    let end = tidied.trim_end().len();
    tidied.truncate(end);
    tidied.push('\n');
    tidied
}
