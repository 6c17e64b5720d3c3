//! Compose projects for tests: services of busybox that do one thing, well or badly.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    engine::{BUSYBOX, Engine},
    scratch::Scratch,
};

/// A folder with a compose file.
#[derive(Debug)]
pub struct ComposeFolder {
    folder: Scratch,
}

impl ComposeFolder {
    /// A folder with this `docker-compose.yml`.
    pub fn new(compose: &str) -> Self {
        let folder = Self {
            folder: Scratch::new("project"),
        };
        folder.write("docker-compose.yml", compose);
        folder
    }

    /// A compose file of these services, in this order.
    pub fn of(services: &[Service]) -> Self {
        Self::new(&compose_file(services))
    }

    /// Writes a file, over one that is there.
    pub fn write(&self, path: &str, content: &str) {
        let file = self.folder.join(path);
        fs::create_dir_all(file.parent().expect("a file lies in a folder"))
            .expect("the folder can be made");
        fs::write(file, content).expect("the file can be written");
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder as a tar archive, as the API takes it.
    pub fn archive(&self) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        archive.mode(tar::HeaderMode::Deterministic);
        for path in files(self.path()) {
            let name = path
                .strip_prefix(self.path())
                .expect("a file lies below its folder");
            archive
                .append_path_with_name(&path, name)
                .expect("the file can be read");
        }
        archive.into_inner().expect("memory takes everything")
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("and its entries").path());
    let mut found: Vec<PathBuf> = entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect();
    found.sort();
    found
}

/// The compose file of these services.
pub fn compose_file(services: &[Service]) -> String {
    let volumes: Vec<&str> = services
        .iter()
        .filter_map(|service| Some(service.volume.as_ref()?.name.as_str()))
        .collect();
    let services: String = services.iter().map(Service::yaml).collect();
    let volumes: Vec<String> = volumes
        .iter()
        .map(|volume| format!("  {volume}: {{}}\n"))
        .collect();
    let volumes = volumes.concat();
    let volumes = if volumes.is_empty() {
        volumes
    } else {
        format!("volumes:\n{volumes}")
    };
    format!("services:\n{services}{volumes}")
}

/// One service.
#[derive(Clone, Debug)]
pub struct Service {
    name: String,
    image: String,
    script: String,
    lines: Vec<String>,
    volume: Option<Volume>,
}

/// A named volume and where its service has it.
#[derive(Clone, Debug)]
struct Volume {
    name: String,
    folder: String,
}

impl Service {
    /// A service that runs a shell script in busybox. `$` stands for itself.
    pub fn script(name: &str, script: &str) -> Self {
        let (name, script) = (name.to_owned(), script.to_owned());
        Self {
            name,
            image: BUSYBOX.to_owned(),
            script,
            lines: Vec::new(),
            volume: None,
        }
    }

    /// Says `started`, then does nothing until it is told to stop.
    pub fn idle(name: &str) -> Self {
        Self::script(name, "echo started; exec sleep 1000000")
    }

    /// Serves `text` over HTTP on `port` of the host, with a health check.
    pub fn page(name: &str, port: u16, text: &str) -> Self {
        let script =
            format!("echo '{text}' >/www/index.html; echo started; exec httpd -f -p 80 -h /www");
        Self::script(name, &script)
            .line(&format!("ports: [\"{port}:80\"]"))
            .healthy_when("wget -q -O /dev/null http://127.0.0.1/")
    }

    /// Says `about to crash` and exits 7, again and again.
    pub fn crash_loop(name: &str) -> Self {
        Self::script(name, "echo about to crash; sleep 0.2; exit 7").line("restart: always")
    }

    /// Runs, but is never healthy.
    pub fn unhealthy(name: &str) -> Self {
        Self::idle(name).healthy_when("false")
    }

    /// Prints `count` numbered lines as fast as it can, then stays.
    pub fn lines(name: &str, count: u64) -> Self {
        Self::script(name, &format!("seq 1 {count}; exec sleep 1000000"))
    }

    /// Adds a line to `/count/starts` in a named volume at each start: the proof that nothing ran twice.
    pub fn counting(name: &str) -> Self {
        Self::script(
            name,
            "echo $HOSTNAME >>/count/starts; echo counted; exec sleep 1000000",
        )
        .keeping(&format!("{name}-count"), "/count")
    }

    /// With a named volume at `folder`.
    #[must_use]
    pub fn keeping(mut self, volume: &str, folder: &str) -> Self {
        let (name, folder) = (volume.to_owned(), folder.to_owned());
        self.volume = Some(Volume { name, folder });
        self
    }

    /// The same of another image.
    #[must_use]
    pub fn image(mut self, image: &str) -> Self {
        image.clone_into(&mut self.image);
        self
    }

    /// With a health check: a shell command, tried each second, three times.
    #[must_use]
    pub fn healthy_when(self, command: &str) -> Self {
        let test = serde_json::json!(["CMD", "sh", "-c", command]);
        self.line(&format!(
            "healthcheck: {{test: {test}, interval: 1s, timeout: 2s, retries: 3}}"
        ))
    }

    /// Healthy only when the command succeeds, however long that takes.
    #[must_use]
    pub fn done_when(self, command: &str) -> Self {
        let test = serde_json::json!(["CMD", "sh", "-c", command]);
        self.line(&format!(
            "healthcheck: {{test: {test}, interval: 1s, timeout: 10s, retries: 10000}}"
        ))
    }

    /// With another line of YAML.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    fn yaml(&self) -> String {
        let command = serde_json::json!(["sh", "-c", self.script.replace('$', "$$")]);
        let volume = self
            .volume
            .iter()
            .map(|volume| format!("volumes: [\"{}:{}\"]", volume.name, volume.folder));
        let fixed = [
            format!("image: {}", self.image),
            format!("command: {command}"),
            "init: true".to_owned(),
        ];
        let lines = fixed
            .into_iter()
            .chain(volume)
            .chain(self.lines.iter().cloned());
        let lines: Vec<String> = lines.map(|line| format!("    {line}\n")).collect();
        let lines = lines.concat();
        format!("  {}:\n{lines}", self.name)
    }
}

/// How often the counting service of a project has started, as its volume tells.
pub fn starts(engine: &Engine, project: &str) -> usize {
    let container = engine.containers(project);
    let id = container
        .iter()
        .find(|container| {
            container["State"] == "running"
                && container["Mounts"]
                    .as_str()
                    .is_some_and(|mounts| !mounts.is_empty())
        })
        .and_then(|container| container["ID"].as_str())
        .unwrap_or_else(|| panic!("no container of {project} runs"));
    engine
        .run_docker(&["exec", id, "cat", "/count/starts"])
        .lines()
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_services_is_what_compose_reads() {
        let services = [
            Service::counting("a"),
            Service::idle("b").image("x:1").line("restart: always"),
        ];
        let expected = "services:\n  a:\n    image: towline-test/busybox:1\n    \
            command: [\"sh\",\"-c\",\"echo $$HOSTNAME >>/count/starts; echo counted; exec sleep 1000000\"]\n    init: true\n    \
            volumes: [\"a-count:/count\"]\n  b:\n    image: x:1\n    \
            command: [\"sh\",\"-c\",\"echo started; exec sleep 1000000\"]\n    init: true\n    restart: always\n\
            volumes:\n  a-count: {}\n";
        assert_eq!(compose_file(&services), expected);
    }
}
