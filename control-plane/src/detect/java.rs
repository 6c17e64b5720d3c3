//! Java, built by Maven or Gradle.

use towline_shared::yaml;

use super::{
    Claim, Strength,
    app::{App, Framework, Language, PackageManager, Serving},
    notes::{Notes, quoted},
    scan,
    tree::Tree,
    version,
};

/// Those that are supported for years.
const VERSIONS: [&str; 5] = ["25", "21", "17", "11", "8"];
const DEFAULT_VERSION: &str = "21";
const PORT: u16 = 8080;
/// Where its version stands: the text before it in `pom.xml`.
const IN_POM: [&str; 4] = [
    "<java.version>",
    "<maven.compiler.release>",
    "<maven.compiler.source>",
    "<release>",
];
/// The same in `build.gradle`.
const IN_GRADLE: [&str; 4] = [
    "JavaLanguageVersion.of(",
    "jvmToolchain(",
    "sourceCompatibility = JavaVersion.VERSION_",
    "sourceCompatibility",
];

pub(super) fn detect(tree: &Tree<'_>, notes: &mut Notes) -> Option<Claim> {
    let file = tree.first(&["pom.xml", "build.gradle", "build.gradle.kts"])?;
    let text = tree.text(file, notes)?;
    let maven = file == "pom.xml";
    if maven && !text.contains("<project") {
        notes.warn(file, "is no Maven project and was not looked at");
        return None;
    }
    let manager = if maven {
        PackageManager::Maven
    } else {
        PackageManager::Gradle
    };
    notes.found(file, "is there", manager.label());
    let mut app = App {
        package_manager: Some(manager),
        version: Some(java_version(tree, file, text, notes)),
        start: Some("java -jar app.jar".to_owned()),
        port: Some(PORT),
        ..App::of(Language::Java)
    };
    let wrapper = tree.has(if maven { "mvnw" } else { "gradlew" });
    let program = match (maven, wrapper) {
        (true, true) => "./mvnw -B",
        (true, false) => "mvn -B",
        (false, true) => "./gradlew --no-daemon",
        (false, false) => "gradle --no-daemon",
    };
    if maven {
        app.build = Some(format!("{program} -DskipTests package"));
        app.test = Some(format!("{program} test"));
        app.output = Some("target".to_owned());
    } else {
        let task = if text.contains("org.springframework.boot") {
            "bootJar"
        } else {
            "assemble"
        };
        app.build = Some(format!("{program} {task}"));
        app.test = Some(format!("{program} test"));
        app.output = Some("build/libs".to_owned());
    }
    if !text.contains("org.springframework.boot") {
        notes.warn(
            file,
            "names no framework that is known: its build must make one jar that runs by itself; say its port if it listens",
        );
        app.port = None;
        app.serving = Serving::Worker;
        return Some(Claim {
            strength: Strength::Manifest,
            app,
        });
    }
    app.framework = Some(Framework::SpringBoot);
    app.port = Some(spring_port(tree, notes));
    notes.found(
        file,
        "has Spring Boot",
        format!("Spring Boot, port {}", app.port.unwrap_or(PORT)),
    );
    if text.contains("spring-boot-starter-actuator") {
        notes.found(
            file,
            "has the actuator",
            "its health is asked at /actuator/health",
        );
        app.health = Some("/actuator/health".to_owned());
    }
    Some(Claim {
        strength: Strength::Framework,
        app,
    })
}

/// `server.port`, also with a default behind a variable: `${PORT:8081}`.
fn spring_port(tree: &Tree<'_>, notes: &mut Notes) -> u16 {
    let properties = tree.named("application.properties", 4).find_map(|path| {
        let mut lines = scan::code(tree.glance(path)?);
        let value = lines.find_map(|line| line.strip_prefix("server.port"))?;
        Some((path, value.to_owned()))
    });
    let yaml = || {
        let mut files = ["application.yml", "application.yaml"]
            .into_iter()
            .flat_map(|name| tree.named(name, 4));
        files.find_map(|path| {
            let document = yaml::Tree::read(tree.glance(path)?).ok()?;
            let port = document
                .roots()
                .next()?
                .get("server")?
                .get("port")?
                .text()?
                .to_owned();
            Some((path, port))
        })
    };
    let Some((path, value)) = properties.or_else(yaml) else {
        return PORT;
    };
    let digits = value
        .split(|c: char| !c.is_ascii_digit())
        .find_map(scan::as_port);
    if let Some(port) = digits {
        notes.found(path, "has server.port", format!("port {port}"));
    }
    digits.unwrap_or(PORT)
}

fn java_version(tree: &Tree<'_>, file: &str, text: &str, notes: &mut Notes) -> String {
    let marks = if file == "pom.xml" { IN_POM } else { IN_GRADLE };
    let behind = |mark: &&str| text.split_once(*mark).map(|(_, rest)| rest);
    let number = |rest: &str| {
        let rest = rest
            .trim_start_matches(['=', ' ', '\'', '"'])
            .trim_start_matches("1.")
            .trim_start_matches("1_");
        let digits: String = rest
            .chars()
            .take_while(char::is_ascii_digit)
            .take(3)
            .collect();
        (!digits.is_empty()).then_some(digits)
    };
    let in_build = marks
        .iter()
        .filter_map(behind)
        .find_map(number)
        .map(|said| (file, said));
    let in_file = || {
        let said = tree.glance(".java-version")?.trim();
        Some((".java-version", said.trim_start_matches("1.").to_owned()))
    };
    let chosen = in_build.or_else(in_file).and_then(|(file, said)| {
        let version = version::choose(&format!(">={said}"), &[said.as_str()])?;
        // Images exist for those that are supported for years: the next of them runs what an earlier one would.
        let wanted: u32 = version.parse().ok()?;
        let next = VERSIONS
            .iter()
            .rev()
            .find(|known| known.parse().is_ok_and(|known: u32| known >= wanted))?;
        notes.found(
            file,
            format!("asks for Java {}", quoted(&said)),
            format!("Java {next}"),
        );
        Some((*next).to_owned())
    });
    chosen.unwrap_or_else(|| DEFAULT_VERSION.to_owned())
}
