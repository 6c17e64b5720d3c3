//! Languages whose builds make a program: the image takes that, and none of what made it.

use super::{ALPINE, Asker, Recipe};
use crate::detect::{App, Framework, PackageManager, Serving};

fn port(app: &App, name: &'static str) -> Vec<(&'static str, String)> {
    app.port
        .map(|port| (name, port.to_string()))
        .into_iter()
        .collect()
}

pub(super) fn go(app: &App) -> Recipe {
    let version = app.version.as_deref().unwrap_or("1.25");
    let cgo = app.packages.iter().any(|package| package == "cgo");
    Recipe {
        dockerfile: "go.Dockerfile",
        build_image: format!("golang:{version}-bookworm"),
        run_image: ALPINE.to_owned(),
        setup: vec![format!("CGO_ENABLED={}", u8::from(cgo))],
        install: vec!["go mod download".to_owned()],
        caches: vec!["/go/pkg/mod", "/root/.cache/go-build"],
        test_install: vec!["go mod download".to_owned()],
        read_only: true,
        environment: port(app, "PORT"),
        memory_mib: 256,
        ignore: &["bin", "*.test", "*.out"],
        asker: Some(Asker::Busybox),
        ..Recipe::default()
    }
}

pub(super) fn rust(app: &App) -> Recipe {
    let version = app.version.as_deref().unwrap_or("1.91");
    let mut environment = port(app, "PORT");
    if let (Some(Framework::Rocket), Some(port)) = (app.framework, app.port) {
        environment = vec![
            ("ROCKET_ADDRESS", "0.0.0.0".to_owned()),
            ("ROCKET_PORT", port.to_string()),
        ];
    }
    Recipe {
        dockerfile: "rust.Dockerfile",
        build_image: format!("rust:{version}-alpine"),
        run_image: ALPINE.to_owned(),
        caches: vec!["/usr/local/cargo/registry", "/src/target"],
        read_only: true,
        environment,
        memory_mib: 256,
        ignore: &["target"],
        asker: Some(Asker::Busybox),
        ..Recipe::default()
    }
}

pub(super) fn java(app: &App) -> Recipe {
    let version = app.version.as_deref().unwrap_or("21");
    let build = app.build.as_deref().unwrap_or_default();
    let gradle = app.package_manager == Some(PackageManager::Gradle);
    let build_image = match (build.starts_with("./"), gradle) {
        (true, _) => format!("eclipse-temurin:{version}-jdk"),
        (false, false) => format!("maven:3-eclipse-temurin-{version}"),
        (false, true) => format!("gradle:8-jdk{version}"),
    };
    Recipe {
        dockerfile: "java.Dockerfile",
        build_image,
        run_image: format!("eclipse-temurin:{version}-jre-alpine"),
        caches: vec![if gradle { "/root/.gradle" } else { "/root/.m2" }],
        read_only: true,
        environment: port(app, "SERVER_PORT")
            .into_iter()
            .chain([("JAVA_TOOL_OPTIONS", "-XX:MaxRAMPercentage=75".to_owned())])
            .collect(),
        memory_mib: 1024,
        start_s: 90,
        ignore: &["target", "build", ".gradle", "*.class"],
        asker: Some(Asker::Busybox),
        ..Recipe::default()
    }
}

pub(super) fn dotnet(app: &App) -> Recipe {
    let version = app.version.as_deref().unwrap_or("8.0");
    let kind = if app.serving == Serving::Worker {
        "runtime"
    } else {
        "aspnet"
    };
    Recipe {
        dockerfile: "dotnet.Dockerfile",
        build_image: format!("mcr.microsoft.com/dotnet/sdk:{version}"),
        run_image: format!("mcr.microsoft.com/dotnet/{kind}:{version}-alpine"),
        caches: vec!["/root/.nuget/packages"],
        // app
        user: 1654,
        read_only: true,
        environment: port(app, "ASPNETCORE_HTTP_PORTS")
            .into_iter()
            .chain([("DOTNET_EnableDiagnostics", "0".to_owned())])
            .collect(),
        start_s: 60,
        ignore: &["**/bin", "**/obj", "out", ".vs"],
        asker: Some(Asker::Busybox),
        ..Recipe::default()
    }
}

pub(super) fn elixir(app: &App) -> Recipe {
    let version = app.version.as_deref().unwrap_or("1.18");
    let image = format!("elixir:{version}-alpine");
    let mut environment = port(app, "PORT");
    if app.framework == Some(Framework::Phoenix) {
        environment.push(("PHX_SERVER", "true".to_owned()));
    }
    Recipe {
        dockerfile: "elixir.Dockerfile",
        build_image: image.clone(),
        // A release needs the very libraries that it was built with.
        run_image: image,
        install: vec!["mix deps.get --only prod".to_owned()],
        caches: vec!["/root/.hex/packages"],
        // It writes its configuration there when it starts.
        writable: vec!["/app/tmp".to_owned()],
        test_install: [
            "mix local.hex --force",
            "mix local.rebar --force",
            "mix deps.get",
        ]
        .map(str::to_owned)
        .to_vec(),
        environment,
        start_s: 60,
        ignore: &["_build", "deps", "*.ez", "erl_crash.dump"],
        asker: Some(Asker::Busybox),
        ..Recipe::default()
    }
}
