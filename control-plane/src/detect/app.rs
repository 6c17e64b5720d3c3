//! What was detected, in the words of the API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::notes::{Evidence, Finding};

/// What a repository is, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Detected {
    /// How it is packed into images.
    pub packing: Packing,
    /// What runs in it.
    pub app: App,
    /// Why, in sentences.
    pub evidence: Vec<Evidence>,
    /// What people should know: files that cannot be read, what could not be told, what else is there.
    pub findings: Vec<Finding>,
}

/// How a repository is packed into images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Packing {
    /// Its own compose file says how.
    Compose {
        /// Where it lies.
        file: String,
    },
    /// Its own Dockerfile says how.
    Dockerfile {
        /// Where it lies.
        file: String,
    },
    /// By generated files.
    Generated,
    /// Nothing says how to run it.
    Unknown,
}

/// An application: what generation reads, and people may change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct App {
    /// Its language.
    pub language: Option<Language>,
    /// Its framework.
    pub framework: Option<Framework>,
    /// What installs its dependencies.
    pub package_manager: Option<PackageManager>,
    /// Which version of the language it takes (`22`, `3.13`).
    pub version: Option<String>,
    /// The port on which it listens in its container.
    pub port: Option<u16>,
    /// Whether it is a server.
    pub serving: Serving,
    /// The files that name its dependencies. They are copied first, so that the dependencies are installed again only
    /// when these change; none when the whole source must be there for that.
    pub manifests: Vec<String>,
    /// Dependencies that lie in the repository itself (`file:./greeting`), and further files that the manifests name. They are
    /// copied with the manifests, to where they lie.
    pub local: Vec<String>,
    /// The command that builds it.
    pub build: Option<String>,
    /// The command that starts it, in its folder of the image.
    pub start: Option<String>,
    /// The command that tests it.
    pub test: Option<String>,
    /// What building makes and the image takes: a program, a folder.
    pub output: Option<String>,
    /// The path at which it says that it is well. None: it is well when it takes connections.
    pub health: Option<String>,
    /// Packages that its image needs, by the names of the image's distribution, and extensions of PHP.
    pub packages: Vec<String>,
    /// What must outlive its containers.
    pub volumes: Vec<Volume>,
}

/// A folder that outlives containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// The folder in the container.
    pub path: String,
}

/// Whether an application is a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Serving {
    /// It listens, on its port if that is known.
    #[default]
    Server,
    /// It makes files that a web server serves.
    Static,
    /// It runs and listens to nobody.
    Worker,
}

impl App {
    /// An application of which only the language is known.
    pub fn of(language: Language) -> Self {
        Self {
            language: Some(language),
            ..Self::default()
        }
    }

    /// Whether it is known how to run it.
    pub fn runs(&self) -> bool {
        self.start.is_some() || self.serving == Serving::Static
    }
}

/// An enumeration with the name that people know each member by.
macro_rules! labelled {
    ($(#[$doc:meta])* $name:ident { $($member:ident = $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $(#[doc = $label] $member,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$member,)*];

            /// The name that people know it by.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$member => $label,)* }
            }
        }
    };
}

labelled! {
    /// A language, or what stands for one.
    Language {
        Node = "Node.js",
        Python = "Python",
        Go = "Go",
        Rust = "Rust",
        Java = "Java",
        Php = "PHP",
        Ruby = "Ruby",
        Dotnet = ".NET",
        Elixir = "Elixir",
        Deno = "Deno",
        Site = "static files",
    }
}

labelled! {
    /// A framework that says more than its language.
    Framework {
        Next = "Next.js",
        Nuxt = "Nuxt",
        SvelteKit = "SvelteKit",
        Nest = "NestJS",
        Astro = "Astro",
        Vite = "Vite",
        CreateReactApp = "Create React App",
        Express = "Express",
        Fastify = "Fastify",
        Koa = "Koa",
        Hono = "Hono",
        Django = "Django",
        Flask = "Flask",
        FastApi = "FastAPI",
        Gin = "Gin",
        Echo = "Echo",
        Fiber = "Fiber",
        Chi = "chi",
        Axum = "axum",
        Actix = "Actix Web",
        Rocket = "Rocket",
        SpringBoot = "Spring Boot",
        Laravel = "Laravel",
        Symfony = "Symfony",
        Rails = "Rails",
        Sinatra = "Sinatra",
        AspNet = "ASP.NET Core",
        Phoenix = "Phoenix",
        Fresh = "Fresh",
    }
}

labelled! {
    /// What installs dependencies.
    PackageManager {
        Npm = "npm",
        Pnpm = "pnpm",
        Yarn = "Yarn",
        YarnBerry = "Yarn (Berry)",
        Bun = "Bun",
        Pip = "pip",
        Poetry = "Poetry",
        Uv = "uv",
        GoModules = "Go modules",
        Cargo = "Cargo",
        Maven = "Maven",
        Gradle = "Gradle",
        Composer = "Composer",
        Bundler = "Bundler",
        NuGet = "NuGet",
        Mix = "Mix",
        Deno = "Deno",
    }
}
