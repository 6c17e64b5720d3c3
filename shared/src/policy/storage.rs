//! The rules about what a project may reach of the host's files: mounts, volumes, secrets, builds.

use super::place::{has_variable, is_below};
use super::rules::Service;
use super::{Base, Judge, Permission, Place, Rule};
use crate::yaml::View;

/// Kinds of file system that a volume of the local driver may be without reaching the host's files.
const HARMLESS_TYPES: [&str; 5] = ["tmpfs", "nfs", "nfs4", "cifs", "smb3"];

impl Judge<'_> {
    pub(super) fn mounts(&mut self, service: &Service<'_>) {
        for (index, item) in service
            .node
            .get("volumes")
            .into_iter()
            .flat_map(View::items)
            .enumerate()
        {
            let path = service.path(&format!("volumes[{index}]"));
            match item.text() {
                Some(short) => {
                    if let Some(source) = short_source(short) {
                        self.mount(service, item.line(), path, source);
                    }
                }
                None => self.long_mount(service, item, path),
            }
        }
        for (index, item) in service
            .node
            .get("volumes_from")
            .into_iter()
            .flat_map(View::items)
            .enumerate()
        {
            if item
                .text()
                .is_some_and(|from| from.starts_with("container:"))
            {
                let what = format!(
                    "service `{}` mounts the volumes of a foreign container",
                    service.name
                );
                let path = service.path(&format!("volumes_from[{index}]"));
                self.refuse_path(item.line(), path, &what, None);
            }
        }
        if let Some(field) = service.node.field("use_api_socket")
            && field.value.is_true()
        {
            let path = service.path("use_api_socket");
            self.mount(service, field.line, path, "/var/run/docker.sock");
        }
    }

    fn long_mount(&mut self, service: &Service<'_>, item: View<'_>, path: String) {
        let source = item.field("source").or_else(|| item.field("src"));
        match item.get("type").and_then(View::text) {
            Some("volume")
                if source
                    .and_then(|field| field.value.text())
                    .is_some_and(is_path) =>
            {
                let what = format!(
                    "service `{}` names a path of the host as a volume",
                    service.name
                );
                self.refuse_path(item.line(), path, &what, None);
            }
            Some("image") => {
                if let Some((field, image)) =
                    source.and_then(|field| Some((field, field.value.text()?)))
                {
                    self.image_reference(service, field.line, path, image);
                }
            }
            None | Some("volume" | "tmpfs" | "cluster") => {}
            Some(kind) if has_variable(kind) => {}
            Some("bind") => {
                if let Some((field, text)) =
                    source.and_then(|field| Some((field, field.value.text()?)))
                {
                    self.mount(service, field.line, path, text);
                }
            }
            Some(kind) => {
                let what = format!("service `{}` has a mount of type `{kind}`", service.name);
                self.refuse_path(item.line(), path, &what, None);
            }
        }
    }

    fn mount(&mut self, service: &Service<'_>, line: u32, path: String, source: &str) {
        let Place::Host(host) = self.base.place(source) else {
            return;
        };
        if self.allows_path(&host) {
            return;
        }
        let what = if is_engine_socket(&host) {
            format!(
                "service `{}` mounts the engine's socket {host}, which is root on the host",
                service.name
            )
        } else {
            format!(
                "service `{}` mounts {host}, a path of the host outside the project",
                service.name
            )
        };
        self.refuse_path(line, path, &what, Some(&host));
    }

    fn allows_path(&self, host: &str) -> bool {
        host.starts_with('/')
            && self
                .policy
                .bind_mounts
                .iter()
                .any(|entry| is_below(host, entry))
    }

    fn refuse_path(&mut self, line: u32, path: String, what: &str, host: Option<&str>) {
        let owner = host
            .filter(|host| host.starts_with('/'))
            .map_or_else(String::new, |host| {
                format!(
                    ", or let the host's owner add \"{host}\" to `bind_mounts` in the host's policy"
                )
            });
        let message = format!(
            "{what}, which is forbidden on this host; use a named volume or a folder of the project (./data){owner}"
        );
        self.say(line, path, Rule::BindMounts, message);
    }

    /// The volumes at the top level: a local volume can be a bind mount in disguise.
    pub(super) fn volumes(&mut self, root: View<'_>) {
        for volume in root.get("volumes").into_iter().flat_map(View::fields) {
            if let Some(name) = volume
                .value
                .field("name")
                .filter(|name| name.value.text().is_some_and(is_path))
            {
                let what = format!("the volume `{}` names a path of the host", volume.key);
                self.refuse_path(
                    name.line,
                    format!("volumes.{}.name", volume.key),
                    &what,
                    None,
                );
            }
            let Some(options) = volume.value.get("driver_opts") else {
                continue;
            };
            let path = format!("volumes.{}.driver_opts", volume.key);
            let driver = volume
                .value
                .get("driver")
                .and_then(View::text)
                .unwrap_or("local");
            if driver == "local" {
                self.local_volume(volume.key, options, path);
                continue;
            }
            for option in options.fields() {
                if option
                    .value
                    .text()
                    .is_some_and(|value| value.starts_with('/'))
                {
                    let value = option.value.text().unwrap_or_default();
                    self.volume_device(volume.key, options, path.clone(), value);
                }
            }
        }
    }

    /// The kernel mounts what these options say. It ignores the type of a bind mount, and some types
    /// (`overlay`, `devtmpfs`) reach the host's files without a device.
    fn local_volume(&mut self, name: &str, options: View<'_>, path: String) {
        let text = |key: &str| options.get(key).and_then(View::text).unwrap_or_default();
        let (kind, device) = (text("type"), text("device"));
        let is_text = matches!(self.base, Base::Text(_));
        let is_unknown = is_text && [kind, text("o")].into_iter().any(has_variable);
        let is_harmless = HARMLESS_TYPES.contains(&kind) && !changes_mounts(options);
        let is_nothing = matches!(kind, "" | "none") && device.is_empty();
        if !is_unknown && !is_harmless && !is_nothing {
            self.volume_device(
                name,
                options,
                path,
                if device.is_empty() { kind } else { device },
            );
        }
    }

    fn volume_device(&mut self, name: &str, options: View<'_>, path: String, device: &str) {
        let is_bind = has_flag(options, &["bind", "rbind"]);
        let place = self.base.place(device);
        let (host, is_allowed) = match place {
            Place::Variable => return,
            Place::Project(inside) => (inside, is_bind),
            Place::Host(host) => {
                let is_allowed = is_bind && self.allows_path(&host);
                (host, is_allowed)
            }
        };
        if !is_allowed {
            let what = format!("the volume `{name}` is {host}, a path or device of the host");
            self.refuse_path(options.line(), path, &what, Some(&host));
        }
    }

    /// Secrets and configs from files are mounts of those files.
    pub(super) fn mounted_files(&mut self, root: View<'_>) {
        for kind in ["secrets", "configs"] {
            for entry in root.get(kind).into_iter().flat_map(View::fields) {
                let Some(field) = entry.value.field("file") else {
                    continue;
                };
                let Some(Place::Host(host)) = field.value.text().map(|file| self.base.place(file))
                else {
                    continue;
                };
                if !self.allows_path(&host) {
                    let message = format!(
                        "`{kind}.{}` reads {host}, which is outside the project; put the file into the project, or use a \
                         secret of the project (`environment: NAME`)",
                        entry.key
                    );
                    self.say(
                        field.line,
                        format!("{kind}.{}.file", entry.key),
                        Rule::Files,
                        message,
                    );
                }
            }
        }
    }

    pub(super) fn build(&mut self, service: &Service<'_>) {
        let Some(field) = service
            .node
            .field("build")
            .filter(|field| !field.value.is_null())
        else {
            return;
        };
        if self.policy.build == Permission::Deny {
            let what = format!("service `{}` is built here (`build`)", service.name);
            self.forbid(
                field.line,
                service.path("build"),
                Rule::Build,
                &what,
                "build = \"allow\"",
            );
            return;
        }
        let build = field.value;
        if let Some(context) = build.text() {
            self.build_path(service, field.line, "build", context);
        }
        let context = build.get("context").and_then(View::text).unwrap_or(".");
        if let Some(field) = build.field("context") {
            self.build_path(service, field.line, "build.context", context);
        }
        if let Some((line, dockerfile)) = build
            .field("dockerfile")
            .and_then(|field| Some((field.line, field.value.text()?)))
        {
            let below = format!("{context}/{dockerfile}");
            let path = if dockerfile.starts_with('/') {
                dockerfile
            } else {
                &below
            };
            self.build_path(service, line, "build.dockerfile", path);
        }
        for context in build
            .get("additional_contexts")
            .into_iter()
            .flat_map(View::fields)
        {
            if let Some(text) = context.value.text() {
                self.build_path(service, context.line, "build.additional_contexts", text);
            }
        }
        for context in build
            .get("additional_contexts")
            .into_iter()
            .flat_map(View::items)
        {
            if let Some((_, text)) = context.text().and_then(|text| text.split_once('=')) {
                self.build_path(service, context.line(), "build.additional_contexts", text);
            }
        }
        self.build_privileges(service, build);
    }

    fn build_path(&mut self, service: &Service<'_>, line: u32, key: &str, path: &str) {
        let path = path.strip_prefix("oci-layout://").unwrap_or(path);
        let is_remote = ["://", "git@", "github.com/", "service:", "target:"]
            .iter()
            .any(|mark| path.contains(mark));
        if is_remote && !path.starts_with(['/', '.', '~']) {
            return;
        }
        if let Place::Host(host) = self.base.place(path) {
            let message = format!(
                "the build of service `{}` reads {host}, which is outside the project; put it into the project",
                service.name
            );
            self.say(line, service.path(key), Rule::Files, message);
        }
    }

    fn build_privileges(&mut self, service: &Service<'_>, build: View<'_>) {
        if let Some(field) = build.field("ssh") {
            let message = format!(
                "the build of service `{}` uses SSH keys of the host; use a build secret of the project",
                service.name
            );
            self.say(field.line, service.path("build.ssh"), Rule::Files, message);
        }
        for key in ["cache_from", "cache_to"] {
            let entries = build.get(key).into_iter().flat_map(View::one_or_many);
            for entry in entries {
                if entry
                    .text()
                    .is_some_and(|entry| entry.to_ascii_lowercase().contains("type=local"))
                {
                    let message = format!(
                        "the build of service `{}` keeps its cache in a folder of the host (`{key}`); keep it in a registry",
                        service.name
                    );
                    self.say(
                        entry.line(),
                        service.path(&format!("build.{key}")),
                        Rule::Files,
                        message,
                    );
                }
            }
        }
        let is_privileged = build.get("privileged").is_some_and(View::is_true);
        let has_entitlements = build
            .get("entitlements")
            .is_some_and(|list| list.items().next().is_some());
        if self.policy.privileged == Permission::Deny && (is_privileged || has_entitlements) {
            let what = format!("the build of service `{}` is privileged", service.name);
            self.forbid(
                build.line(),
                service.path("build"),
                Rule::Privileged,
                &what,
                "privileged = \"allow\"",
            );
        }
        let network = build
            .field("network")
            .map(|field| (field.line, field.value.text()));
        if let Some((line, Some("host"))) = network
            && self.policy.host_namespaces == Permission::Deny
        {
            let what = format!(
                "the build of service `{}` uses the host's network",
                service.name
            );
            self.forbid(
                line,
                service.path("build.network"),
                Rule::HostNamespaces,
                &what,
                "host_namespaces = \"allow\"",
            );
        }
    }
}

/// Whether one of these words stands among a volume's mount options.
fn has_flag(options: View<'_>, flags: &[&str]) -> bool {
    let given = options.get("o").and_then(View::text).unwrap_or_default();
    given.split(',').any(|flag| flags.contains(&flag))
}

/// Whether what is mounted is something that is mounted already, whatever its type is said to be.
fn changes_mounts(options: View<'_>) -> bool {
    has_flag(options, &["bind", "rbind", "remount", "move"])
}

/// The source of a mount in short syntax, if it is a path: `./data:/data:ro`, not `data:/data`.
fn short_source(short: &str) -> Option<&str> {
    let is_path =
        short.starts_with(['.', '/', '~', '\\']) || short.as_bytes().get(1..3) == Some(b":\\");
    let (source, _) = short.split_once(':').filter(|_| is_path)?;
    Some(source)
}

fn is_path(name: &str) -> bool {
    name.contains('/')
}

fn is_engine_socket(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    matches!(
        name,
        "docker.sock" | "containerd.sock" | "podman.sock" | "crio.sock" | "cri-dockerd.sock"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_are_sources() {
        let cases = [
            ("./a:/b", Some("./a")),
            ("/a:/b:ro", Some("/a")),
            ("~/a:/b", Some("~/a")),
            ("data:/b", None),
            ("/anonymous", None),
            ("${X}:/b", None),
        ];
        for (short, source) in cases {
            assert_eq!(short_source(short), source, "{short}");
        }
    }
}
