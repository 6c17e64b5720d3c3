//! What results of jobs carry.

use towline_shared::outcome::{BuiltImage, Layer};
use towline_shared::preview::{
    KeyChange, Preview, PreviewedResource, PreviewedService, ResourceChange, ResourceKind,
    ServiceChange,
};
use towline_shared::spec::PinnedImage;

pub(super) fn built() -> BuiltImage {
    let layer = |digest: &str, size, made_by: &str| Layer {
        digest: digest.into(),
        size,
        made_by: made_by.into(),
    };
    BuiltImage {
        service: "web".into(),
        id: "sha256:1f".into(),
        size: 300,
        layers: vec![
            layer("sha256:2e", Some(300), "COPY page /page"),
            layer("sha256:3d", None, ""),
        ],
    }
}

pub(super) fn preview() -> Preview {
    let service = |service: &str, change| PreviewedService {
        service: service.into(),
        change,
        keys: Vec::new(),
    };
    let key = KeyChange {
        key: "image".into(),
        before: Some("nginx:1".into()),
        after: None,
    };
    let resource = |kind, change| PreviewedResource {
        kind,
        name: "shop_data".into(),
        change,
    };
    Preview {
        services: vec![
            service("a", ServiceChange::Added),
            PreviewedService {
                keys: vec![key],
                ..service("b", ServiceChange::Changed)
            },
            service("c", ServiceChange::Rebuilt),
            service("d", ServiceChange::Unchanged),
            service("e", ServiceChange::Removed),
        ],
        resources: vec![
            resource(ResourceKind::Network, ResourceChange::Added),
            resource(ResourceKind::Volume, ResourceChange::Unused),
        ],
        left_out: 7,
    }
}

pub(super) fn pinned() -> PinnedImage {
    PinnedImage {
        service: "web".into(),
        reference: "nginx:latest".into(),
        id: "sha256:1f".into(),
        digests: vec!["nginx@sha256:2e".into()],
    }
}
