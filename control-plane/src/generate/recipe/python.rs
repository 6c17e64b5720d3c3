//! Python.

use super::{Asker, Recipe};
use crate::detect::{App, PackageManager};

/// Tools by their exact versions: a build of tomorrow is that of today.
const POETRY: &str = "poetry==2.1.4";
const UV: &str = "uv==0.8.17";
/// Servers that are installed where the project itself names none.
const SERVERS: [(&str, &str); 2] = [
    ("gunicorn", "gunicorn==23.0.0"),
    ("uvicorn", "uvicorn==0.35.0"),
];

pub(super) fn recipe(app: &App) -> Recipe {
    let version = app.version.as_deref().unwrap_or("3.13");
    let locked = |name: &str| app.manifests.iter().any(|path| path == name);
    let (setup, install, test_install, own_cache): (Vec<String>, _, Vec<String>, Option<&str>) =
        match app.package_manager {
            Some(PackageManager::Poetry) => (
                vec![format!("pip install {POETRY}")],
                "poetry install --only main --no-root".to_owned(),
                vec![
                    format!("pip install {POETRY}"),
                    "poetry config virtualenvs.create false".into(),
                    "poetry install --no-root".into(),
                ],
                Some("/root/.cache/pypoetry"),
            ),
            Some(PackageManager::Uv) => {
                let locked = if locked("uv.lock") { " --locked" } else { "" };
                (
                    vec![format!("pip install {UV}")],
                    format!("uv sync{locked} --no-dev --no-install-project"),
                    vec![
                        format!("pip install {UV}"),
                        format!("uv sync{locked}"),
                        "export PATH=\"$PWD/.venv/bin:$PATH\"".into(),
                    ],
                    Some("/root/.cache/uv"),
                )
            }
            _ if app.manifests.is_empty() => (
                Vec::new(),
                "pip install .".to_owned(),
                vec!["pip install . pytest".into()],
                None,
            ),
            _ => {
                let install = "pip install --requirement requirements.txt".to_owned();
                (Vec::new(), install.clone(), vec![install], None)
            }
        };
    let named = SERVERS
        .iter()
        .filter(|(name, _)| app.packages.iter().any(|package| package == name));
    let servers = named.map(|(_, server)| match app.package_manager {
        Some(PackageManager::Uv) => {
            format!("uv pip install --python /opt/venv/bin/python {server}")
        }
        _ => format!("/opt/venv/bin/pip install {server}"),
    });
    Recipe {
        dockerfile: "python.Dockerfile",
        build_image: format!("python:{version}-bookworm"),
        run_image: format!("python:{version}-slim-bookworm"),
        setup,
        install: [install].into_iter().chain(servers).collect(),
        caches: ["/root/.cache/pip"].into_iter().chain(own_cache).collect(),
        test_install,
        read_only: true,
        environment: app
            .port
            .map(|port| ("PORT", port.to_string()))
            .into_iter()
            .collect(),
        ignore: &[
            "__pycache__",
            "*.py[cod]",
            ".venv",
            "venv",
            ".pytest_cache",
            ".mypy_cache",
            ".ruff_cache",
            "*.sqlite3",
        ],
        asker: Some(Asker::Python),
        ..Recipe::default()
    }
}
