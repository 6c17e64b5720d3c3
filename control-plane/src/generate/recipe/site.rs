//! Static files behind nginx, built by Node.js or as they are.

use super::{Asker, Recipe, node};
use crate::detect::{App, Language};

/// nginx' own image for users that are not root.
const NGINX: &str = "nginxinc/nginx-unprivileged:1.29-alpine";

pub(super) fn recipe(app: &App) -> Recipe {
    let built = app.language == Some(Language::Node);
    let base = if built {
        node::recipe(app)
    } else {
        Recipe::default()
    };
    Recipe {
        dockerfile: "site.Dockerfile",
        run_image: NGINX.to_owned(),
        build_image: if built {
            base.build_image
        } else {
            "busybox:1.37".to_owned()
        },
        prune: None,
        user: 101,
        writable: Vec::new(),
        read_only: true,
        environment: Vec::new(),
        memory_mib: 128,
        start_s: 10,
        asker: Some(Asker::Busybox),
        ..base
    }
}
