//! `Procfile`: the start command in its author's own words.

use super::{
    app::{App, Serving},
    notes::{Notes, quoted},
    tree::Tree,
};

/// Takes the command of `web`, or of `worker` where nothing else says how to start.
pub(super) fn apply(tree: &Tree<'_>, app: &mut App, notes: &mut Notes) {
    if app.language.is_none() || app.serving == Serving::Static || !tree.has("Procfile") {
        return;
    }
    let Some(text) = tree.text("Procfile", notes) else {
        return;
    };
    let process = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(key, _)| key.trim() == name)
            .map(|(_, command)| command.trim().replace('\t', " "))
            .filter(|command| !command.is_empty() && !command.chars().any(char::is_control))
    };
    let web = process("web");
    if let Some(command) = web {
        let port = app.port.unwrap_or(8080);
        notes.found(
            "Procfile",
            format!("has web: {}", quoted(&command)),
            format!("that starts it, with PORT={port}"),
        );
        app.port = Some(port);
        app.start = Some(command);
    } else if let (None, Some(command)) = (&app.start, process("worker")) {
        notes.found(
            "Procfile",
            format!("has worker: {}", quoted(&command)),
            "that starts it, without a port",
        );
        app.serving = Serving::Worker;
        app.start = Some(command);
    }
}
