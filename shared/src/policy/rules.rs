//! The rules about services and networks, over the text of a compose file or its resolved model.

use super::place::has_variable;
use super::{Base, HostPolicy, Permission, Rule};
use crate::compose::keys;
use crate::yaml::View;

/// Judges a project by a policy.
pub(crate) struct Judge<'a> {
    pub(super) policy: &'a HostPolicy,
    pub(super) base: Base,
    /// What is forbidden, in the order of the model.
    pub verdicts: Vec<Verdict>,
}

/// One thing that is forbidden.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub line: u32,
    pub path: String,
    pub rule: Rule,
    pub message: String,
}

/// A service, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Service<'a> {
    pub name: &'a str,
    pub node: View<'a>,
}

impl Service<'_> {
    pub fn path(&self, rest: &str) -> String {
        format!("services.{}.{rest}", self.name)
    }
}

/// Security options that keep or raise the confinement.
const CONFINING: [&str; 7] = [
    "no-new-privileges",
    "no-new-privileges:true",
    "no-new-privileges=true",
    "seccomp=builtin",
    "seccomp:builtin",
    "apparmor=docker-default",
    "apparmor:docker-default",
];

impl<'a> Judge<'a> {
    pub fn new(policy: &'a HostPolicy, base: Base) -> Self {
        Self {
            policy,
            base,
            verdicts: Vec::new(),
        }
    }

    /// Judges all of a compose file or model.
    pub fn project(&mut self, root: View<'_>) {
        for field in root.get("services").into_iter().flat_map(View::fields) {
            let service = Service {
                name: field.key,
                node: field.value,
            };
            self.service(&service);
        }
        self.networks(root);
        self.volumes(root);
        self.mounted_files(root);
        if let Some(models) = root.field("models") {
            self.host_programs(
                models.line,
                "models".into(),
                "`models` run programs of the host",
            );
        }
    }

    fn service(&mut self, service: &Service<'_>) {
        self.privileged(service);
        self.namespaces(service);
        self.capabilities(service);
        self.devices(service);
        self.confinement(service);
        self.mounts(service);
        self.image(service);
        self.build(service);
        self.programs(service);
        if matches!(self.base, Base::Resolved(_)) {
            self.only_known_keys(service);
        }
    }

    /// A resolved model must not have what these rules know nothing of.
    fn only_known_keys(&mut self, service: &Service<'_>) {
        for field in service.node.fields() {
            if !keys::is_service_key(field.key) {
                let message = format!(
                    "service `{}` uses `{}`, which this version of the agent does not know and therefore cannot judge; \
                     remove it or upgrade the agent",
                    service.name, field.key
                );
                self.say(
                    field.line,
                    service.path(field.key),
                    Rule::UnknownKey,
                    message,
                );
            }
        }
    }

    fn privileged(&mut self, service: &Service<'_>) {
        if self.policy.privileged == Permission::Allow {
            return;
        }
        if let Some(field) = service.node.field("privileged")
            && field.value.is_true()
        {
            let what = format!("service `{}` is privileged", service.name);
            self.forbid(
                field.line,
                service.path("privileged"),
                Rule::Privileged,
                &what,
                "privileged = \"allow\"",
            );
        }
        for hooks in ["post_start", "pre_stop", "pre_start"] {
            for hook in service.node.get(hooks).into_iter().flat_map(View::items) {
                if let Some(field) = hook.field("privileged")
                    && field.value.is_true()
                {
                    let what =
                        format!("a {hooks} hook of service `{}` is privileged", service.name);
                    self.forbid(
                        field.line,
                        service.path(hooks),
                        Rule::Privileged,
                        &what,
                        "privileged = \"allow\"",
                    );
                }
            }
        }
    }

    fn capabilities(&mut self, service: &Service<'_>) {
        let bare = |name: &str| {
            name.to_ascii_uppercase()
                .trim_start_matches("CAP_")
                .to_owned()
        };
        let added = service
            .node
            .get("cap_add")
            .into_iter()
            .flat_map(View::items);
        let forbidden: Vec<_> = added
            .enumerate()
            .filter_map(|(index, item)| Some((index, item.line(), item.text()?)))
            .filter(|(_, _, name)| !has_variable(name) && !self.policy.allows_capability(name))
            .collect();
        for (index, line, name) in forbidden {
            let what = format!("service `{}` adds the capability {name}", service.name);
            let path = service.path(&format!("cap_add[{index}]"));
            let grant = format!("capabilities = [\"{}\"]", bare(name));
            self.forbid(line, path, Rule::Capabilities, &what, &grant);
        }
    }

    fn devices(&mut self, service: &Service<'_>) {
        if self.policy.devices == Permission::Allow {
            return;
        }
        let grant = "devices = \"allow\"";
        for key in ["devices", "device_cgroup_rules", "gpus"] {
            if let Some(field) = service.node.field(key)
                && field.value.one_or_many().next().is_some()
            {
                let what = format!(
                    "service `{}` uses devices of the host (`{key}`)",
                    service.name
                );
                self.forbid(field.line, service.path(key), Rule::Devices, &what, grant);
            }
        }
        let reservations = ["deploy", "resources", "reservations"];
        let reserved = reservations
            .iter()
            .try_fold(service.node, |node, key| node.get(key));
        if let Some(field) = reserved.and_then(|node| node.field("devices"))
            && field.value.one_or_many().next().is_some()
        {
            let what = format!("service `{}` reserves devices of the host", service.name);
            self.forbid(
                field.line,
                service.path("deploy.resources.reservations.devices"),
                Rule::Devices,
                &what,
                grant,
            );
        }
        if let Some(field) = service.node.field("runtime")
            && field
                .value
                .text()
                .is_some_and(|name| !matches!(name, "" | "runc") && !has_variable(name))
        {
            let what = format!(
                "service `{}` chooses another container runtime, which may give it devices",
                service.name
            );
            self.forbid(
                field.line,
                service.path("runtime"),
                Rule::Devices,
                &what,
                grant,
            );
        }
    }

    fn confinement(&mut self, service: &Service<'_>) {
        if self.policy.unconfined == Permission::Allow {
            return;
        }
        let options = service
            .node
            .get("security_opt")
            .into_iter()
            .flat_map(View::items);
        for (index, item) in options.enumerate() {
            let Some(option) = item.text().filter(|option| !has_variable(option)) else {
                continue;
            };
            if !CONFINING.contains(&option) {
                let what = format!(
                    "service `{}` loosens its confinement (`{option}`)",
                    service.name
                );
                let path = service.path(&format!("security_opt[{index}]"));
                self.forbid(
                    item.line(),
                    path,
                    Rule::Unconfined,
                    &what,
                    "unconfined = \"allow\"",
                );
            }
        }
    }

    fn image(&mut self, service: &Service<'_>) {
        let Some(field) = service.node.field("image") else {
            return;
        };
        if let Some(image) = field.value.text()
            && service.node.field("build").is_none()
        {
            self.image_reference(service, field.line, service.path("image"), image);
        }
    }

    /// An image that the engine would fetch, to run it or to mount it.
    pub(super) fn image_reference(
        &mut self,
        service: &Service<'_>,
        line: u32,
        path: String,
        image: &str,
    ) {
        if !has_variable(image) && !self.policy.allows_image(image) {
            let message = format!(
                "the image `{image}` of service `{}` comes from a registry that is not allowed on this host (allowed: {}); \
                 take it from one of those, or let the host's owner add its registry to `registries` in the host's policy",
                service.name,
                self.policy.registries.join(", "),
            );
            self.say(line, path, Rule::Registries, message);
        }
    }

    fn programs(&mut self, service: &Service<'_>) {
        for (key, what) in [
            ("provider", "is run by a program of the host (`provider`)"),
            ("models", "uses models, which run programs of the host"),
        ] {
            if let Some(field) = service.node.field(key)
                && !field.value.is_null()
            {
                self.host_programs(
                    field.line,
                    service.path(key),
                    &format!("service `{}` {what}", service.name),
                );
            }
        }
    }

    fn host_programs(&mut self, line: u32, path: String, what: &str) {
        let message = format!("{what}: that is forbidden on every host; remove it");
        self.say(line, path, Rule::HostPrograms, message);
    }

    /// A verdict about something that a line in the host's policy would allow.
    pub(super) fn forbid(&mut self, line: u32, path: String, rule: Rule, what: &str, grant: &str) {
        let message = format!(
            "{what}, which is forbidden on this host; remove it, or let the host's owner write `{grant}` into the host's policy"
        );
        self.say(line, path, rule, message);
    }

    pub(super) fn say(&mut self, line: u32, path: String, rule: Rule, message: String) {
        self.verdicts.push(Verdict {
            line,
            path,
            rule,
            message,
        });
    }
}
