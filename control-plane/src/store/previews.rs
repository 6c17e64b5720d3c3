//! What a deploy would change, as it is kept and shown.

use serde::{Deserialize, Serialize};
use towline_shared::preview::{self, ResourceChange, ResourceKind, ServiceChange};
use utoipa::ToSchema;

/// What a deploy would have changed on its target when its agent looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// The services, of the release and those that run without being in it, by name.
    pub services: Vec<PreviewedService>,
    /// The networks and volumes that come, and those that nothing would use any more.
    pub resources: Vec<PreviewedResource>,
    /// How many services, keys and resources are left out because a preview is limited in size.
    pub left_out: u32,
}

/// What would become of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewedService {
    /// Its name in the compose file.
    pub service: String,
    /// `added`, `changed`, `rebuilt` (its image is built, and its containers are replaced if that gives another image),
    /// `unchanged` or `removed`.
    #[schema(value_type = String)]
    pub change: ServiceChange,
    /// What differs, as far as it is known.
    pub keys: Vec<KeyChange>,
}

/// A part of a service that differs. Values of secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyChange {
    /// Where in the service (`image`, `environment.LOG_LEVEL`).
    pub key: String,
    /// What runs; absent where there is none, and where it is not known.
    pub before: Option<String>,
    /// What would run; absent where there is none, and where it is not known.
    pub after: Option<String>,
}

/// A network or volume that comes, or that nothing would use any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewedResource {
    /// `network` or `volume`.
    #[schema(value_type = String)]
    pub kind: ResourceKind,
    /// Its name on the engine.
    pub name: String,
    /// `added` or `unused`: it stays on the host, and the project uses it no more.
    #[schema(value_type = String)]
    pub change: ResourceChange,
}

impl From<&preview::Preview> for Preview {
    fn from(preview: &preview::Preview) -> Self {
        let key = |key: &preview::KeyChange| KeyChange {
            key: key.key.clone(),
            before: key.before.clone(),
            after: key.after.clone(),
        };
        let service = |service: &preview::PreviewedService| PreviewedService {
            service: service.service.clone(),
            change: service.change,
            keys: service.keys.iter().map(key).collect(),
        };
        let resource = |resource: &preview::PreviewedResource| PreviewedResource {
            kind: resource.kind,
            name: resource.name.clone(),
            change: resource.change,
        };
        Self {
            services: preview.services.iter().map(service).collect(),
            resources: preview.resources.iter().map(resource).collect(),
            left_out: preview.left_out,
        }
    }
}
