//! On what a target's agent works.

use towline_shared::protocol::v1::Engine;

/// What runs what is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// A container engine.
    Docker,
    /// A cluster.
    Kubernetes,
}

impl Platform {
    /// What an agent has; `None` while it has nothing that answers.
    pub const fn of_engine(engine: &Engine) -> Option<Self> {
        match engine {
            Engine::Docker { .. } => Some(Self::Docker),
            Engine::Kubernetes(_) => Some(Self::Kubernetes),
            Engine::Missing(_) => None,
        }
    }

    /// What a type of target stands for.
    pub fn of_type(target_type: &str) -> Self {
        match target_type {
            "kubernetes_agent" => Self::Kubernetes,
            _ => Self::Docker,
        }
    }

    /// The type of the targets that an agent there serves.
    pub const fn target_type(self) -> &'static str {
        match self {
            Self::Docker => "docker_agent",
            Self::Kubernetes => "kubernetes_agent",
        }
    }

    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// What it is, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Docker => "a container engine",
            Self::Kubernetes => "a Kubernetes cluster",
        }
    }
}
