//! What makes an agent in a cluster: its objects, filled in for one installation, or the values of its chart.

use crate::domain::cluster::check_namespace;
use crate::domain::names::InvalidName;

/// The objects as they are kept, with places to fill.
const TEMPLATE: &str = include_str!("../../../install/kubernetes/agent.yaml");
/// Where the agent itself lives.
const OWN_NAMESPACE: &str = "towline";
/// The image, unless somebody has one of their own.
const IMAGE: &str = concat!("towline-agent:", env!("CARGO_PKG_VERSION"));
/// Where jobs work, unless somebody says another.
const NAMESPACE: &str = "default";
/// The most characters of an image's name.
const MAX_IMAGE: usize = 255;

/// An agent in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterAgent {
    namespace: String,
    image: String,
}

impl ClusterAgent {
    /// One that works in a namespace, run from an image.
    pub fn new(namespace: Option<String>, image: Option<String>) -> Result<Self, InvalidName> {
        let agent = Self {
            namespace: namespace.unwrap_or_else(|| NAMESPACE.to_owned()),
            image: image.unwrap_or_else(|| IMAGE.to_owned()),
        };
        check_namespace(&agent.namespace)?;
        if agent.namespace == OWN_NAMESPACE {
            return Err(InvalidName {
                field: "namespace",
                message: format!("{OWN_NAMESPACE} is the agent's own, where its identity is"),
                remedy: "name one for what is deployed".to_owned(),
            });
        }
        check_image(&agent.image)?;
        Ok(agent)
    }

    /// Its objects, the token among them: what `kubectl apply` is given.
    pub fn manifest(&self, token: &str) -> String {
        [
            ("@NAMESPACE@", self.namespace.as_str()),
            ("@IMAGE@", &self.image),
            ("@TOKEN@", token),
        ]
        .into_iter()
        .fold(TEMPLATE.to_owned(), |text, (place, value)| {
            text.replace(place, value)
        })
    }

    /// The same by its chart, in the folder with Towline's sources.
    pub fn helm(&self, token: &str) -> String {
        let Self { namespace, image } = self;
        format!(
            "helm install towline-agent install/kubernetes/chart --namespace {OWN_NAMESPACE} --create-namespace \
             --set-string 'namespaces={{{namespace}}}' --set-string image={image} --set-string token={token}"
        )
    }
}

/// Names of images have nothing that a shell or YAML would take for more.
fn check_image(image: &str) -> Result<(), InvalidName> {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | ':' | '@' | '-');
    let fits = image.len() <= MAX_IMAGE
        && image.starts_with(|c: char| c.is_ascii_alphanumeric())
        && image.chars().all(is_plain);
    if fits {
        return Ok(());
    }
    Err(InvalidName {
        field: "image",
        message: format!("{image:?} cannot be the name of an image"),
        remedy: "give one as a registry has it, such as registry.example.com/towline-agent:0.1.0"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn agent(namespace: &str, image: &str) -> Result<ClusterAgent, InvalidName> {
        ClusterAgent::new(Some(namespace.to_owned()), Some(image.to_owned()))
    }

    #[test]
    fn every_place_is_filled_and_what_yaml_takes_for_more_stays_text() {
        let text = agent("no", "registry.example.com:5000/towline-agent@sha256:0f")
            .unwrap()
            .manifest("twl1_x-_");
        for line in [
            "  namespace: \"no\"",
            "          args: [run-in-cluster, --namespace, \"no\", --state-dir, /var/lib/towline-agent/state]",
            "          image: \"registry.example.com:5000/towline-agent@sha256:0f\"",
            "  token: \"twl1_x-_\"",
        ] {
            assert!(text.lines().any(|has| has == line), "{line}");
        }
        for place in ["@NAMESPACE", "@IMAGE", "@TOKEN"] {
            assert!(!text.contains(place), "{place}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_field() {
        let plain = "towline-agent:1";
        for (namespace, image, field) in [
            ("No!", plain, "namespace"),
            (OWN_NAMESPACE, plain, "namespace"),
            ("shop", "", "image"),
            ("shop", "-x", "image"),
            ("shop", "a b", "image"),
            ("shop", "a\"\n", "image"),
            ("shop", "$(id)", "image"),
        ] {
            assert_eq!(agent(namespace, image).unwrap_err().field, field, "{image}");
        }
        let usual = ClusterAgent::new(None, None).unwrap();
        assert_eq!(usual.namespace, NAMESPACE);
    }
}
