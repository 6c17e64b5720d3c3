//! What a deploy would change, as people read it.

use super::{Surface, outcome::short_id, plain, style::Style, units::counted};
use crate::api::previews::{Change, Key, Preview, Resource, Service};

/// The changes, one line each, with what differs below it; and how many there are of each kind.
pub fn text(preview: &Preview, surface: Surface) -> String {
    let mut lines: Vec<String> = Vec::new();
    for service in &preview.services {
        lines.push(of_service(service, surface));
        let keys = service.keys.iter();
        let keys = keys.filter(|_| service.change != Change::Added);
        lines.extend(keys.map(|key| format!("      {}", of_key(key, surface))));
    }
    let resources = preview.resources.iter();
    lines.extend(resources.map(|resource| of_resource(resource, surface)));
    if preview.left_out > 0 {
        lines.push(format!("  … and {} more", preview.left_out));
    }
    lines.push(sum(preview));
    lines.join("\n")
}

const fn sign(change: &Change) -> (&'static str, Style) {
    match change {
        Change::Added => ("+", Style::Good),
        Change::Changed => ("~", Style::Warning),
        Change::Rebuilt => ("?", Style::Warning),
        Change::Removed => ("-", Style::Bad),
        Change::Unchanged | Change::Unused | Change::Other(_) => (" ", Style::Quiet),
    }
}

fn line(change: &Change, words: &str, surface: Surface) -> String {
    let (sign, style) = sign(change);
    let words = format!("{sign} {}", plain::for_reader(words, surface.reader));
    format!("  {}", surface.colours.paint(style, &words))
}

fn of_service(service: &Service, surface: Surface) -> String {
    let name = &service.name;
    let image = service.keys.iter().find(|key| key.place == "image");
    let image = image.and_then(|key| key.after.as_deref());
    let words = match &service.change {
        Change::Added => match image {
            Some(image) => format!("{name} comes, with {image}"),
            None => format!("{name} comes"),
        },
        Change::Changed => format!("{name} changes"),
        Change::Rebuilt => format!("{name} is built, and replaced if its image is another then"),
        Change::Unchanged => format!("{name} stays as it is"),
        Change::Removed => format!("{name} goes"),
        Change::Unused => format!("{name} stays, unused"),
        Change::Other(word) => format!("{name}: {word}"),
    };
    line(&service.change, &words, surface)
}

fn of_key(key: &Key, surface: Surface) -> String {
    let value = |value: &str| match value.strip_prefix("sha256:") {
        Some(_) if key.place == "image" => short_id(value),
        _ => value.to_owned(),
    };
    let text = match (&key.before, &key.after) {
        (Some(before), Some(after)) => {
            format!("{}: {} → {}", key.place, value(before), value(after))
        }
        (None, Some(after)) => format!("{}: {} (new)", key.place, value(after)),
        (Some(before), None) => format!("{}: {} (goes)", key.place, value(before)),
        (None, None) => key.place.clone(),
    };
    plain::for_reader(&text, surface.reader).replace('\n', "⏎")
}

fn of_resource(resource: &Resource, surface: Surface) -> String {
    let Resource {
        kind, name, change, ..
    } = resource;
    let words = match change {
        Change::Added => format!("{kind} {name} is made"),
        Change::Unused => format!("{kind} {name} stays, and nothing uses it"),
        other => format!("{kind} {name}: {other:?}"),
    };
    line(change, &words, surface)
}

fn sum(preview: &Preview) -> String {
    let count = |change: &Change| {
        let services = preview.services.iter();
        services.filter(|service| service.change == *change).count()
    };
    // What a cluster has are objects, by kind and name.
    let are_objects = preview
        .services
        .iter()
        .any(|service| service.name.contains('/'));
    let noun = if are_objects { "object" } else { "service" };
    let table = [
        (Change::Added, "to add"),
        (Change::Changed, "to change"),
        (Change::Rebuilt, "to build"),
        (Change::Removed, "to remove"),
    ];
    let words: Vec<_> = table
        .iter()
        .map(|(change, words)| (count(change), words))
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{} {words}", counted(count, noun)))
        .collect();
    if words.is_empty() {
        return "Nothing would change.".to_owned();
    }
    format!("{}; nothing was changed.", words.join(", "))
}
