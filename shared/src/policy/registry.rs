//! Which registry an image reference names.

use super::place::is_below;

/// Whether one of the listed registries (or parts of them) holds the image; an empty list allows all.
pub(super) fn allowed(registries: &[String], reference: &str) -> bool {
    let name = full_name(reference);
    registries.is_empty() || registries.iter().any(|registry| is_below(&name, registry))
}

/// The name with its registry, as the engine completes it, without tag and digest.
fn full_name(reference: &str) -> String {
    let name = reference.split('@').next().unwrap_or_default();
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    match name.split_once('/') {
        Some(("index.docker.io", rest)) => format!("docker.io/{rest}"),
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_completed_as_the_engine_does() {
        let cases = [
            ("nginx", "docker.io/library/nginx"),
            ("nginx:1.27@sha256:abc", "docker.io/library/nginx"),
            ("acme/shop:2", "docker.io/acme/shop"),
            ("ghcr.io/acme/shop", "ghcr.io/acme/shop"),
            ("localhost/shop:1", "localhost/shop"),
            ("registry:5000/shop", "registry:5000/shop"),
            ("index.docker.io/library/nginx", "docker.io/library/nginx"),
        ];
        for (reference, name) in cases {
            assert_eq!(full_name(reference), name);
        }
    }

    #[test]
    fn lists_match_whole_parts() {
        let list = ["ghcr.io/acme".to_owned(), "docker.io".to_owned()];
        assert!(allowed(&list, "ghcr.io/acme/shop:1") && allowed(&list, "nginx"));
        assert!(!allowed(&list, "ghcr.io/acme-evil/shop") && !allowed(&list, "quay.io/x/y"));
        assert!(allowed(&[], "anything.example/x"));
    }
}
