//! Whether a compose file has the shape of one.

use super::{Examiner, FileRole, Source, keys};
use crate::policy::Rule;
use crate::yaml::{Field, View};

impl Examiner<'_> {
    pub(super) fn shape(&mut self, source: &Source<'_>, root: View<'_>) {
        for field in root.fields() {
            if !keys::is_top_level_key(field.key) {
                self.unknown_key(
                    source,
                    &field,
                    "a compose file",
                    keys::nearest_top_level(field.key),
                );
            }
        }
        if let Some(version) = root.field("version") {
            let message = "`version` is obsolete and has no effect; remove it".into();
            self.warn(source.path, version.line, Rule::Obsolete, message);
        }
        self.services(source, root);
    }

    fn services(&mut self, source: &Source<'_>, root: View<'_>) {
        let services = root.field("services");
        if let Some(field) = services
            && !field.value.is_mapping()
            && !field.value.is_null()
        {
            let message = "`services` must be a mapping of service names".into();
            return self.error(source.path, field.line, Rule::Structure, message);
        }
        let has_services = services.is_some_and(|field| field.value.fields().next().is_some());
        if !has_services && source.role == FileRole::Main && root.get("include").is_none() {
            let line = services.map_or(1, |field| field.line);
            let message = "there are no services; describe at least one under `services`".into();
            self.error(source.path, line, Rule::Structure, message);
        }
        for service in services.into_iter().flat_map(|field| field.value.fields()) {
            self.service(source, &service);
        }
    }

    fn service(&mut self, source: &Source<'_>, service: &Field<'_>) {
        let name = service.key;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || !name.chars().all(is_name) {
            let message =
                format!("`{name}` is no name for a service; use letters, digits, `.`, `_` and `-`");
            self.error(source.path, service.line, Rule::Structure, message);
        }
        if !service.value.is_mapping() {
            let message =
                format!("service `{name}` must be a mapping with at least `image` or `build`");
            return self.error(source.path, service.line, Rule::Structure, message);
        }
        for field in service.value.fields() {
            if !keys::is_service_key(field.key) {
                self.unknown_key(
                    source,
                    &field,
                    &format!("service `{name}`"),
                    keys::nearest_service(field.key),
                );
            }
        }
        let has = |key: &str| service.value.get(key).is_some_and(|value| !value.is_null());
        let is_complete = ["image", "build", "extends", "provider"]
            .iter()
            .any(|key| has(key));
        if !is_complete && source.role != FileRole::Extended {
            let message =
                format!("service `{name}` has neither `image` nor `build`; name the image it runs");
            self.error(source.path, service.line, Rule::Image, message);
        }
    }

    fn unknown_key(
        &mut self,
        source: &Source<'_>,
        field: &Field<'_>,
        place: &str,
        meant: Option<&str>,
    ) {
        let advice = meant.map_or_else(
            || "remove it, or begin it with `x-` if it is your own".to_owned(),
            |meant| format!("did you mean `{meant}`?"),
        );
        let message = format!("`{}` is no key of {place}; {advice}", field.key);
        self.error(source.path, field.line, Rule::UnknownKey, message);
    }
}
