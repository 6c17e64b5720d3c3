//! The kinds that a definition of custom resources brings.

use serde_json::Value;

use crate::{
    document::{items, text},
    kinds::{Kind, Origin, Scope, shape::Shape},
};

/// One for each version that the definition serves.
pub(crate) fn kinds_of(definition: &Value) -> Vec<Kind> {
    let versions = items(definition, "spec/versions");
    let served = versions.iter().filter(|version| version["served"] == true);
    served.map(|version| kind_of(definition, version)).collect()
}

fn kind_of(definition: &Value, version: &Value) -> Kind {
    let schema = version
        .pointer("/schema/openAPIV3Schema")
        .cloned()
        .unwrap_or_default();
    let names = |field: &str| -> Vec<String> {
        let names = items(definition, &format!("spec/names/{field}")).iter();
        names
            .filter_map(|name| Some(name.as_str()?.to_owned()))
            .collect()
    };
    let kind = text(definition, "spec/names/kind").to_owned();
    let singular = match text(definition, "spec/names/singular") {
        "" => kind.to_lowercase(),
        singular => singular.to_owned(),
    };
    let subresources = version["subresources"].as_object().into_iter().flatten();
    Kind {
        group: text(definition, "spec/group").to_owned(),
        version: text(version, "name").to_owned(),
        plural: text(definition, "spec/names/plural").to_owned(),
        singular,
        kind,
        short: names("shortNames"),
        categories: names("categories"),
        scope: match text(definition, "spec/scope") {
            "Namespaced" => Scope::Namespaced,
            _ => Scope::Cluster,
        },
        subresources: subresources.map(|(name, _)| name.clone()).collect(),
        shape: Shape::custom(&schema),
        origin: Origin::Custom(schema),
    }
}
