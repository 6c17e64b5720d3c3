//! Whether manifests have the shape of objects.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    MAX_MANIFEST_BYTES, MAX_OBJECT_BYTES, MAX_OBJECTS, Manifest, ObjectName, Reading, finding, json,
};
use crate::policy::Rule;
use crate::spec::ProjectFile;
use crate::yaml::{Tree, View, YamlErrorKind};

/// Reads the objects of a file.
pub(super) fn file(reading: &mut Reading, file: &ProjectFile) {
    let path = &*file.path;
    let refused = |line, rule, message| finding(path, line, rule, message);
    if file.content.len() > MAX_MANIFEST_BYTES {
        let message = format!(
            "the file has {} bytes, a manifest may have at most {MAX_MANIFEST_BYTES}; split it",
            file.content.len()
        );
        reading.findings.push(refused(0, Rule::Yaml, message));
        return;
    }
    let Ok(text) = std::str::from_utf8(&file.content) else {
        let message = "the file is no text in UTF-8; save it as UTF-8".to_owned();
        reading.findings.push(refused(0, Rule::Yaml, message));
        return;
    };
    let tree = match Tree::read(text) {
        Ok(tree) => tree,
        Err(error) => {
            let (rule, message) = said(text, error.line, error.kind);
            reading.findings.push(refused(error.line, rule, message));
            return;
        }
    };
    for root in tree.roots().filter(|root| !root.is_null()) {
        let is_list =
            root.get("items").is_some() && kind_of(root).is_some_and(|kind| kind.ends_with("List"));
        if is_list {
            let items = root.get("items").into_iter().flat_map(View::items);
            items.for_each(|item| document(reading, path, item));
        } else {
            document(reading, path, root);
        }
    }
}

fn kind_of(root: View<'_>) -> Option<&str> {
    root.get("kind")?.text()
}

/// Why a text is no YAML, and what to do.
fn said(text: &str, line: u32, kind: YamlErrorKind) -> (Rule, String) {
    let at = usize::try_from(line.saturating_sub(1)).unwrap_or_default();
    let is_template = |line: &str| line.contains("{{") && line.contains("}}");
    match kind {
        YamlErrorKind::DuplicateKey { key, first } => (
            Rule::DuplicateKey,
            format!("the key `{key}` stands on line {first} already; remove one of the two"),
        ),
        _ if text.lines().skip(at.saturating_sub(1)).take(2).any(is_template) => (
            Rule::Template,
            "a placeholder of a template (`{{ … }}`) is left; render it first (`helm template`), or write the value"
                .to_owned(),
        ),
        YamlErrorKind::Syntax(what) => (Rule::Yaml, format!("it is no YAML: {what}")),
        YamlErrorKind::Budget(what) => (Rule::Yaml, what.to_owned()),
    }
}

fn document(reading: &mut Reading, path: &str, root: View<'_>) {
    let line = root.line().max(1);
    let object = match json::of(root) {
        Ok(object) => object,
        Err(none) => {
            let message = format!("`{}` is no number that Kubernetes takes", none.text);
            return reading
                .findings
                .push(finding(path, none.line, Rule::Yaml, message));
        }
    };
    match shape(&object) {
        Ok(name) => reading.objects.push(Manifest {
            file: path.to_owned(),
            line,
            name,
            object,
        }),
        Err((rule, message)) => reading.findings.push(finding(path, line, rule, message)),
    }
}

/// Which object it is, or what it lacks.
fn shape(object: &Value) -> Result<ObjectName, (Rule, String)> {
    let lacking = |message: &str| Err((Rule::Structure, message.to_owned()));
    if !object.is_object() {
        return lacking(
            "a manifest is a mapping with `apiVersion`, `kind` and `metadata`; this is none",
        );
    }
    let api_version = object.get("apiVersion").and_then(Value::as_str);
    let Some(api_version) = api_version.filter(|version| !version.is_empty()) else {
        return lacking(
            "`apiVersion` is missing; write the one of its kind (`apps/v1` for a Deployment)",
        );
    };
    let Some(kind) = object.get("kind").and_then(Value::as_str) else {
        return lacking("`kind` is missing; write what it is (`Deployment`)");
    };
    if api_version.starts_with("kustomize.config.k8s.io/") {
        return lacking(
            "a kustomization is not run; put its resources among the manifests, and what differs into `overlays/ENVIRONMENT`",
        );
    }
    if object.get("status").is_some_and(|status| !status.is_null()) && kind == "Namespace" {
        return lacking("`status` is the cluster's own; remove it");
    }
    let generated = object.pointer("/metadata/generateName").is_some();
    let Some(name) = ObjectName::of(object) else {
        return lacking(if generated {
            "`metadata.generateName` gives another object each time; write `metadata.name`"
        } else {
            "`metadata.name` is missing, or is no text; name the object"
        });
    };
    if let Some(at) = left_brace(object) {
        let message = format!(
            "`{at}` has a placeholder of a template (`{{{{ … }}}}`) left; render it first (`helm template`), or write the value"
        );
        return Err((Rule::Template, message));
    }
    let size = object.to_string().len();
    if size > MAX_OBJECT_BYTES {
        let message = format!(
            "{name} has {size} bytes, and a cluster takes {MAX_OBJECT_BYTES} at most; split it, or keep what is in it elsewhere"
        );
        return Err((Rule::Structure, message));
    }
    Ok(name)
}

/// Where a placeholder is left. What others render from data and annotations is theirs, and so is what objects of other
/// kinds than Kubernetes' own hold.
fn left_brace(object: &Value) -> Option<String> {
    let own = object
        .get("apiVersion")
        .and_then(Value::as_str)
        .is_some_and(|version| {
            let group = super::object::group_of(version);
            !group.contains('.') || group.ends_with(".k8s.io")
        });
    let metadata = object.get("metadata").and_then(Value::as_object)?;
    let fields = object.as_object()?;
    let heads = metadata
        .iter()
        .filter(|(key, _)| *key != "annotations")
        .map(|(key, value)| (format!("metadata.{key}"), value));
    let rest = fields.iter().filter(|(key, _)| {
        own && !matches!(
            key.as_str(),
            "metadata" | "data" | "stringData" | "binaryData"
        )
    });
    let rest = rest.map(|(key, value)| (key.clone(), value));
    heads
        .chain(rest)
        .find_map(|(at, value)| brace_in(at, value))
}

fn brace_in(at: String, value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            let open = text.find("{{")?;
            text[open..].contains("}}").then_some(at)
        }
        // What runs in a container may well be a template of its own.
        Value::Object(fields) => fields
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "command" | "args" | "annotations"))
            .find_map(|(key, value)| brace_in(format!("{at}.{key}"), value)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| brace_in(format!("{at}[{index}]"), item)),
        _ => None,
    }
}

/// What only all objects together show.
pub(super) fn whole(reading: &mut Reading) {
    let mut seen: HashMap<&ObjectName, &Manifest> = HashMap::new();
    let mut findings = Vec::new();
    for manifest in &reading.objects {
        if let Some(first) = seen.insert(&manifest.name, manifest) {
            let message = format!(
                "{} stands in {}:{} already; remove one of the two, or put what differs into `overlays/ENVIRONMENT`",
                manifest.name, first.file, first.line
            );
            findings.push(finding(
                &manifest.file,
                manifest.line,
                Rule::DuplicateObject,
                message,
            ));
        }
    }
    if reading.objects.len() > MAX_OBJECTS {
        let message = format!(
            "the manifests have {} objects, a release may have at most {MAX_OBJECTS}; split the project",
            reading.objects.len()
        );
        findings.push(finding(
            &reading.objects[0].file,
            0,
            Rule::Structure,
            message,
        ));
    }
    if reading.objects.is_empty() && reading.findings.is_empty() {
        let message = "the manifests have no object; describe at least one".to_owned();
        findings.push(finding("", 0, Rule::Structure, message));
    }
    reading.findings.append(&mut findings);
}
