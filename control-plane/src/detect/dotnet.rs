//! .NET.

use super::{
    Claim, Strength,
    app::{App, Framework, Language, PackageManager, Serving},
    node::shell_word,
    notes::{Notes, quoted},
    scan,
    tree::{Tree, name},
};

const DEFAULT_VERSION: &str = "8.0";
/// Where .NET's images listen since 8.
const PORT: u16 = 8080;
const SDK_WEB: &str = "Microsoft.NET.Sdk.Web";

pub(super) fn detect(tree: &Tree<'_>, notes: &mut Notes) -> Option<Claim> {
    let projects: Vec<&str> = tree
        .ending(".csproj", 4)
        .chain(tree.ending(".fsproj", 4))
        .collect();
    let read = projects
        .iter()
        .filter_map(|path| Some((*path, tree.glance(path)?)));
    let read: Vec<(&str, &str)> = read.collect();
    let is_test = |(_, text): &(&str, &str)| text.contains("Microsoft.NET.Test.Sdk");
    let is_web = |(_, text): &(&str, &str)| text.contains(SDK_WEB);
    let is_program = |project: &(&str, &str)| {
        is_web(project)
            || ["<OutputType>Exe", "Microsoft.NET.Sdk.Worker"]
                .iter()
                .any(|mark| project.1.contains(mark))
    };
    let has_test = read.iter().any(is_test);
    let programs = || {
        read.iter()
            .copied()
            .filter(|project| !is_test(project) && is_program(project))
    };
    let project = programs().find(is_web).or_else(|| programs().next());
    let Some((file, text)) = project else {
        let first = projects.first()?;
        tree.text(first, notes)?;
        notes.warn(
            first,
            "makes no program (no Web SDK, no OutputType Exe): say what to publish",
        );
        return Some(Claim {
            strength: Strength::Sources,
            app: App::of(Language::Dotnet),
        });
    };
    let version = version(text).unwrap_or_else(|| DEFAULT_VERSION.to_owned());
    let web = text.contains(SDK_WEB);
    let therefore = if web {
        format!("ASP.NET Core {version}, port {PORT}")
    } else {
        format!(".NET {version}")
    };
    let sdk = scan::between(text, "Sdk=\"", "\"").unwrap_or("an SDK");
    notes.found(file, format!("has {}", quoted(sdk)), therefore);
    let programs = programs().count();
    if programs > 1 {
        notes.warn(
            file,
            format!("is one of {programs} programs: change the build command to publish another"),
        );
    }
    let stem = name(file).rsplit_once('.').map_or(file, |(stem, _)| stem);
    let assembly = scan::between(text, "<AssemblyName>", "</AssemblyName>").map(str::trim);
    let assembly = assembly.filter(|name| is_assembly(name)).unwrap_or(stem);
    let app = App {
        framework: web.then_some(Framework::AspNet),
        package_manager: Some(PackageManager::NuGet),
        version: Some(version),
        port: web.then_some(PORT),
        serving: if web {
            Serving::Server
        } else {
            Serving::Worker
        },
        build: Some(format!(
            "dotnet publish {} --configuration Release --output out",
            shell_word(file)
        )),
        output: Some("out".to_owned()),
        start: Some(format!("dotnet {}", shell_word(&format!("{assembly}.dll")))),
        test: has_test.then(|| "dotnet test".to_owned()),
        ..App::of(Language::Dotnet)
    };
    let strength = if web {
        Strength::Framework
    } else {
        Strength::Manifest
    };
    Some(Claim { strength, app })
}

/// `net8.0` of `TargetFramework`, or the newest of `TargetFrameworks`.
fn version(text: &str) -> Option<String> {
    let one = scan::between(text, "<TargetFramework>", "<");
    let said = one.or_else(|| scan::between(text, "<TargetFrameworks>", "<"))?;
    let versions = said.split(';').filter_map(|word| {
        let digits = word.trim().strip_prefix("net")?.split('-').next()?;
        let (major, minor) = digits.split_once('.')?;
        Some((major.parse::<u8>().ok()?, minor.parse::<u8>().ok()?))
    });
    versions
        .max()
        .map(|(major, minor)| format!("{major}.{minor}"))
}

fn is_assembly(name: &str) -> bool {
    name.len() <= 100 && scan::is_name(&name.replace(['.', '-'], "_"))
}
