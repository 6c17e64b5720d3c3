//! What applying a release would change on a host.

use serde::{Deserialize, Serialize};

/// The most characters of a value that a preview shows.
pub const MAX_VALUE: usize = 200;
/// The most bytes that the texts of a preview have together; the message that carries it has a limit of its own.
pub const MAX_TEXT: usize = 96 * 1024;

/// What applying a release would change on a host. Fields are never changed; it is a message of the protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The services, of the release and those that run without being in it, by name.
    pub services: Vec<PreviewedService>,
    /// The networks and volumes that come, and those that nothing would use any more.
    pub resources: Vec<PreviewedResource>,
    /// How many services, changed keys and resources are left out, because a preview is limited in size.
    pub left_out: u32,
}

/// What would become of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewedService {
    /// Its name in the compose file.
    pub service: String,
    /// What would become of it.
    pub change: ServiceChange,
    /// Why, as far as it is known.
    pub keys: Vec<KeyChange>,
}

/// What would become of a service. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceChange {
    /// It comes.
    Added,
    /// Its containers are replaced, or their number or state changes.
    Changed,
    /// Its image is built, and its containers are replaced if that gives another image than they run.
    Rebuilt,
    /// It stays as it is.
    Unchanged,
    /// Its containers are taken away.
    Removed,
}

/// A part of a service's configuration that differs from what runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// Where in the service (`image`, `environment.LOG_LEVEL`).
    pub key: String,
    /// What runs now; nothing where there is none, and where it is not known or not shown.
    pub before: Option<String>,
    /// What would run; nothing where there is none, and where it is not known or not shown.
    pub after: Option<String>,
}

/// A network or volume that comes, or that nothing would use any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewedResource {
    /// What it is.
    pub kind: ResourceKind,
    /// Its name on the engine.
    pub name: String,
    /// What would become of it.
    pub change: ResourceChange,
}

/// What a service uses beside its image. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// A network.
    Network,
    /// A named volume.
    Volume,
}

/// What would become of a network or volume. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceChange {
    /// It is made.
    Added,
    /// It stays on the host, and the project uses it no more.
    Unused,
}

/// As much of a text as a preview shows: [`MAX_VALUE`] characters, and a mark that there are more.
#[must_use]
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_VALUE) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

impl Preview {
    /// The same within the limits of a message: what is too much is counted instead.
    #[must_use]
    pub fn limited(self) -> Self {
        let mut room = MAX_TEXT;
        let mut limited = Self {
            left_out: self.left_out,
            ..Self::default()
        };
        for mut service in self.services {
            if !takes(&mut room, service.service.len()) {
                limited.left_out += 1;
                continue;
            }
            let all = service.keys.len();
            service.keys.retain(|key| takes(&mut room, key.size()));
            limited.left_out += u32::try_from(all - service.keys.len()).unwrap_or(u32::MAX);
            limited.services.push(service);
        }
        for resource in self.resources {
            if takes(&mut room, resource.name.len()) {
                limited.resources.push(resource);
            } else {
                limited.left_out += 1;
            }
        }
        limited
    }
}

impl KeyChange {
    fn size(&self) -> usize {
        let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.key.len() + len(&self.before) + len(&self.after)
    }
}

/// Takes the room for a text and what surrounds it, if there is as much.
const fn takes(room: &mut usize, text: usize) -> bool {
    match room.checked_sub(text + 16) {
        Some(left) => {
            *room = left;
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_preview_is_cut_to_what_a_message_holds() {
        let key = |index: usize| KeyChange {
            key: format!("environment.{index}"),
            before: Some("x".repeat(MAX_VALUE)),
            after: Some("y".repeat(MAX_VALUE)),
        };
        let service = |index: usize| PreviewedService {
            service: format!("s{index}"),
            change: ServiceChange::Changed,
            keys: (0..100).map(key).collect(),
        };
        let resource = PreviewedResource {
            kind: ResourceKind::Volume,
            name: "v".repeat(1000),
            change: ResourceChange::Added,
        };
        let whole = Preview {
            services: (0..1000).map(service).collect(),
            resources: vec![resource; 1000],
            left_out: 1,
        };
        let limited = whole.clone().limited();
        assert!(postcard::to_stdvec(&limited).unwrap().len() < 128 * 1024);
        let keys: usize = limited
            .services
            .iter()
            .map(|service| service.keys.len())
            .sum();
        let shown = limited.services.len() + keys + limited.resources.len();
        assert!(keys > 100, "{keys}");
        // A service that is left out takes its keys along uncounted.
        assert!(shown + limited.left_out as usize >= 1001);
        let small = Preview {
            services: vec![service(1)],
            ..Preview::default()
        };
        assert_eq!(small.clone().limited(), small);
    }
}
