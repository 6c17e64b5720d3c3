//! What a request asks for: verb, resource, and parameters, as the real server tells them apart.

use std::{collections::HashMap, sync::Arc};

use http::{HeaderMap, Method, header, request::Parts};

use crate::{
    access::User,
    kinds::{Kind, decode::Strictness},
    refusal::{Answer, Refusal},
    state::State,
};

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

/// Whether a request is to have an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Effect {
    Real,
    Dry,
}

/// Part of the API below a group and version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourcePlace {
    pub group: String,
    pub version: String,
    pub namespace: String,
    pub plural: String,
    pub name: String,
    pub subresource: String,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Resource(ResourcePlace),
    NoResource(String),
}

/// A request without its body.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub method: Method,
    pub path: String,
    pub place: Place,
    pub verb: Verb,
    pub effect: Effect,
    pub strictness: Strictness,
    pub(super) parameters: HashMap<String, String>,
    pub content_type: String,
    pub accept: String,
    /// Who owns the fields that it sets.
    pub manager: String,
    pub user: User,
}

impl Verb {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    pub(crate) const fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::DeleteCollection)
    }
}

impl Effect {
    pub(crate) const fn is_dry(self) -> bool {
        matches!(self, Self::Dry)
    }
}

impl ResourcePlace {
    /// The kind of what is there.
    pub(crate) fn kind(&self, state: &State) -> Answer<Arc<Kind>> {
        let kind = state
            .kinds
            .served(&self.group, &self.version, &self.plural)?;
        if !self.namespace.is_empty() && !kind.is_namespaced() {
            return Err(Refusal::no_such_resource());
        }
        if !self.subresource.is_empty() && !kind.has(&self.subresource) {
            return Err(Refusal::no_such_resource());
        }
        Ok(kind)
    }
}

impl Asked {
    /// Reads everything but the body and the user.
    pub(crate) fn read(parts: &Parts) -> Answer<Self> {
        let query = parts.uri.query().unwrap_or_default();
        let parameters: HashMap<String, String> = query.split('&').filter_map(parameter).collect();
        let path = decoded(parts.uri.path());
        let place = place(&path);
        let flag = |name: &str| {
            let value = parameters.get(name).map(String::as_str);
            matches!(value, Some("true" | "1"))
        };
        let verb = verb(&parts.method, &place, flag("watch"))?;
        let effect = match parameters.get("dryRun").map(String::as_str) {
            None | Some("") => Effect::Real,
            Some("All") => Effect::Dry,
            Some(other) => {
                let message = format!(
                    "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: {other:?}: supported values: \"All\""
                );
                return Err(Refusal::plain(422, "Invalid", message));
            }
        };
        let strictness = match parameters.get("fieldValidation").map(String::as_str) {
            Some("Strict") => Strictness::Strict,
            Some("Ignore") => Strictness::Ignore,
            _ => Strictness::Warn,
        };
        let agent = one_header(&parts.headers, header::USER_AGENT);
        let manager = match parameters.get("fieldManager").map(String::as_str) {
            None | Some("") => agent.split('/').next().unwrap_or_default().to_owned(),
            Some(name) => name.to_owned(),
        };
        Ok(Self {
            method: parts.method.clone(),
            path,
            place,
            verb,
            effect,
            strictness,
            content_type: one_header(&parts.headers, header::CONTENT_TYPE),
            accept: one_header(&parts.headers, header::ACCEPT),
            manager: if manager.is_empty() {
                "unknown".to_owned()
            } else {
                manager
            },
            parameters,
            user: User::default(),
        })
    }

    /// A parameter, empty if it is not there.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    /// Whether a parameter is there and not false.
    pub(crate) fn says(&self, name: &str) -> bool {
        matches!(self.parameter(name), "true" | "1")
    }

    /// A parameter that is a number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.parameter(name).parse().ok()
    }
}

fn one_header(headers: &HeaderMap, name: header::HeaderName) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

fn parameter(pair: &str) -> Option<(String, String)> {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    let decoded_value = decoded(&value.replace('+', " "));
    (!name.is_empty()).then(|| (decoded(name), decoded_value))
}

/// Without percent signs.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text
            .get(at + 1..at + 3)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(code)) => {
                out.push(code);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn place(path: &str) -> Place {
    let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
    let (group, version, rest) = match words.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Place::NoResource(path.to_owned()),
    };
    let (namespace, rest) = match rest {
        ["namespaces", name, rest @ ..]
            if !rest.is_empty() && !["status", "finalize"].contains(&rest[0]) =>
        {
            (*name, rest)
        }
        // A namespace is in itself, as the real server sees it.
        rest => ("", rest),
    };
    let word = |at: usize| rest.get(at).copied().unwrap_or_default().to_owned();
    Place::Resource(ResourcePlace {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        plural: word(0),
        name: word(1),
        subresource: rest.get(2..).unwrap_or_default().join("/"),
    })
}

fn verb(method: &Method, place: &Place, is_watch: bool) -> Answer<Verb> {
    let is_one = matches!(place, Place::Resource(place) if !place.name.is_empty());
    Ok(match (method.as_str(), is_one) {
        ("GET" | "HEAD", _) if is_watch => Verb::Watch,
        ("GET" | "HEAD", true) => Verb::Get,
        ("GET" | "HEAD", false) => match place {
            Place::Resource(_) => Verb::List,
            Place::NoResource(_) => Verb::Get,
        },
        ("POST", _) => Verb::Create,
        ("PUT", true) => Verb::Update,
        ("PATCH", true) => Verb::Patch,
        ("DELETE", true) => Verb::Delete,
        ("DELETE", false) => Verb::DeleteCollection,
        _ => {
            let message = "the server does not allow this method on the requested resource";
            return Err(Refusal {
                details: serde_json::json!({}),
                ..Refusal::plain(405, "MethodNotAllowed", message)
            });
        }
    })
}
