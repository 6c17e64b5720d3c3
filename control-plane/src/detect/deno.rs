//! Deno.

use serde_json::Value;

use super::{
    Claim, Strength,
    app::{App, Framework, Language, PackageManager},
    node::shell_word,
    notes::{Notes, quoted},
    scan,
    tree::Tree,
    version,
};

const VERSIONS: [&str; 1] = ["2.5.6"];
const PORT: u16 = 8000;
const ENTRIES: [&str; 8] = [
    "main.ts",
    "server.ts",
    "index.ts",
    "mod.ts",
    "src/main.ts",
    "src/server.ts",
    "main.js",
    "server.js",
];

pub(super) fn detect(tree: &Tree<'_>, notes: &mut Notes) -> Option<Claim> {
    let file = tree.first(&["deno.json", "deno.jsonc"])?;
    let text = tree.text(file, notes)?;
    let Ok(config) = serde_json::from_str::<Value>(&without_comments(text)) else {
        notes.warn(file, "is no JSON, so it was not looked at: mend it");
        return None;
    };
    notes.found(file, "is there", "Deno");
    let said = tree.glance(".deno-version");
    let version = said.and_then(|said| version::choose(said, &VERSIONS));
    let mut app = App {
        package_manager: Some(PackageManager::Deno),
        version: Some(version.unwrap_or_else(|| VERSIONS[0].to_owned())),
        manifests: tree.those(&["deno.json", "deno.jsonc", "deno.lock"]),
        test: ["_test.ts", ".test.ts"]
            .iter()
            .find_map(|end| tree.ending(end, 6).next())
            .map(|_| "deno test --allow-all".to_owned()),
        ..App::of(Language::Deno)
    };
    let imports = config.get("imports").and_then(Value::as_object);
    let fresh = imports.is_some_and(|imports| {
        imports
            .keys()
            .any(|key| key == "fresh" || key == "$fresh/" || key == "@fresh/core")
    });
    let entry = tree.first(&ENTRIES);
    if fresh {
        notes.found(file, "imports Fresh", format!("Fresh, port {PORT}"));
        app.framework = Some(Framework::Fresh);
    }
    let task = |name: &str| config.get("tasks")?.get(name)?.as_str();
    if let Some(build) = task("build") {
        notes.found(
            file,
            format!("has the task build: {}", quoted(build)),
            "that builds it",
        );
        app.build = Some("deno task build".to_owned());
    }
    let port = entry.and_then(|entry| scan::port(tree.glance(entry)?));
    app.port = Some(port.unwrap_or(PORT));
    if let Some(start) = task("start") {
        notes.found(
            file,
            format!("has the task start: {}", quoted(start)),
            format!("that starts it, port {}", port.unwrap_or(PORT)),
        );
        app.start = Some("deno task start".to_owned());
    } else if let Some(entry) = entry {
        notes.found(
            entry,
            "is where its code begins",
            format!("that starts it, port {}", port.unwrap_or(PORT)),
        );
        app.start = Some(format!(
            "deno run --allow-net --allow-env --allow-read {}",
            shell_word(entry)
        ));
        if app.build.is_none() {
            app.build = Some(format!("deno cache {}", shell_word(entry)));
        }
    } else {
        notes.warn(
            file,
            "has no task start, and there is no main.ts: say how to start it",
        );
        app.port = None;
        return Some(Claim {
            strength: Strength::Sources,
            app,
        });
    }
    Some(Claim {
        strength: Strength::Framework,
        app,
    })
}

/// JSON out of JSON with comments, and with commas before a bracket.
fn without_comments(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let end = string_end(rest);
            plain.push_str(&rest[..end]);
            rest = &rest[end..];
        } else if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
        } else {
            if matches!(c, '}' | ']') && plain.trim_end().ends_with(',') {
                plain.truncate(plain.trim_end().len() - 1);
            }
            plain.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    plain
}

/// Where the string ends with which a text begins.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_strings_stay() {
        for (text, expected) in [
            ("{\"a\": \"b//c\", // d\n}", "{\"a\": \"b//c\"}"),
            ("/* x */{\"a\\\"/*\": [1,],}", "{\"a\\\"/*\": [1]}"),
            ("\"open", "\"open"),
            ("/* open", ""),
        ] {
            assert_eq!(without_comments(text), expected, "{text}");
        }
    }
}
