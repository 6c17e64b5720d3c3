//! What compose's last words mean, and what to do next.

use towline_shared::outcome::FailureReason;

use super::stop::Stop;

/// What a failed call of compose means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// The engine went away; the same may work when it is back.
    Outage,
    /// An image is not there and cannot be fetched; compose names it not always.
    ImageMissing {
        image: Option<String>,
        words: String,
    },
    /// It will not work as it is.
    For(Stop),
}

/// By what the way to an engine on another host says that it is away, whatever the engine was asked for.
const UNREACHED: &str = " does not answer: ";
/// Phrases by which an engine that went away is known.
const OUTAGE: [&str; 8] = [
    "Cannot connect to the Docker daemon",
    "connection refused",
    "error during connect",
    "EOF",
    "connection reset by peer",
    "context canceled",
    "broken pipe",
    "daemon is shutting down",
];

/// Reads the end of compose's output, masked already.
pub(super) fn explain(output: &[String], exit: &str) -> Failed {
    let lines = || {
        output
            .iter()
            .rev()
            .map(|line| line.trim())
            .filter(|line| !line.is_empty())
    };
    let any = |phrases: &[&str]| {
        lines()
            .take(20)
            .find(|line| phrases.iter().any(|phrase| line.contains(phrase)))
    };
    if let Some(line) = any(&["no space left on device", "disk quota exceeded"]) {
        let message = format!(
            "the host's disk is full: {line}. Free space (`docker system df` tells what docker holds), then retry"
        );
        return Failed::For(Stop::failed(FailureReason::DiskFull, message));
    }
    if let Some(line) = any(&["port is already allocated", "address already in use"]) {
        let port = port_of(line).map_or_else(|| "a port".to_owned(), |port| format!("port {port}"));
        let message = format!(
            "{port} is already taken on the host: {line}. Stop what uses it (`ss -ltnp` tells what), or publish another port"
        );
        return Failed::For(Stop::failed(FailureReason::ComposeFailed, message));
    }
    if any(&[UNREACHED]).is_some() {
        return Failed::Outage;
    }
    let missing = [
        "pull access denied",
        "No such image",
        "manifest unknown",
        "manifest for",
        "repository does not exist",
        "failed to resolve reference",
        "unable to get image",
        "no such image",
        "dial tcp",
        "Client.Timeout exceeded",
        "no basic auth credentials",
        "unauthorized: ",
        "authentication required",
        "received unexpected HTTP status",
    ];
    if let Some(line) = any(&missing) {
        return Failed::ImageMissing {
            image: image_of(line).map(str::to_owned),
            words: line.to_owned(),
        };
    }
    if any(&OUTAGE).is_some() {
        return Failed::Outage;
    }
    if let Some(line) = any(&["is already in use by container"]) {
        let message = format!(
            "{line}. Remove that container, or take `container_name` out of the compose file"
        );
        return Failed::For(Stop::failed(FailureReason::ComposeFailed, message));
    }
    let last = lines().find(|line| !is_progress(line));
    let message = last.map_or_else(
        || format!("`docker compose` ended {exit}"),
        |line| format!("`docker compose` ended {exit}: {line}"),
    );
    Failed::For(Stop::failed(FailureReason::ComposeFailed, message))
}

/// Reads the end of a build's output, masked already. The words of the programs that a build runs
/// mean nothing to us: only the builder's own last line does, and not where it repeats theirs.
pub(super) fn explain_build(output: &[String], exit: &str) -> Failed {
    let last = output.iter().rfind(|line| !line.trim().is_empty());
    let of_a_program = ["did not complete successfully", "executor failed running"];
    let is_ours = |line: &&String| !of_a_program.iter().any(|words| line.contains(words));
    if let Some(line) = last.filter(is_ours) {
        let explained = explain(std::slice::from_ref(line), exit);
        if !matches!(
            &explained,
            Failed::For(Stop::Failed {
                reason: FailureReason::ComposeFailed,
                ..
            })
        ) {
            return explained;
        }
    }
    let words = last.map_or_else(String::new, |line| format!(": {}", line.trim()));
    let message = format!("`docker compose build` ended {exit}{words}");
    Failed::For(Stop::failed(FailureReason::ComposeFailed, message))
}

/// What an image that is missing means; `images` are those that the engine does not have.
pub(super) fn image_missing(images: &[String], words: &str) -> Stop {
    let which = match images {
        [] => "an image is".to_owned(),
        [image] => format!("the image {image} is"),
        images => format!("the images {} are", images.join(", ")),
    };
    let advice = if words.contains("unexpected HTTP status: 5") {
        "The registry itself has failed: look at its log, then retry"
    } else {
        "Check name and tag, push it to a registry the host can reach (where that asks who it is, `towline registries add` \
         gives the team's login, and `docker login` on the host one of its own), or bring it there by `docker save` and \
         `docker load`"
    };
    let message = format!("{which} not on the host and cannot be pulled: {words}. {advice}");
    Stop::failed(FailureReason::ComposeFailed, message)
}

/// Compose tells its progress as ` Container shop-web-1  Started`.
fn is_progress(line: &str) -> bool {
    ["Container ", "Network ", "Volume ", "Image "]
        .iter()
        .any(|thing| line.starts_with(thing))
}

/// The port in `Bind for 0.0.0.0:8080 failed` or `listen tcp4 0.0.0.0:8080: bind: …`.
fn port_of(line: &str) -> Option<&str> {
    let words = line.split_whitespace().rev();
    words
        .filter_map(|word| word.trim_end_matches(':').rsplit_once(':'))
        .map(|(_, port)| port)
        .find(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The image in `pull access denied for acme/shop, …`, `No such image: acme/shop:1` and the like.
fn image_of(line: &str) -> Option<&str> {
    let markers = [
        "pull access denied for ",
        "No such image: ",
        "no such image: ",
        "manifest for ",
        "failed to resolve reference ",
        "unable to get image ",
    ];
    let after = markers.iter().find_map(|marker| line.split_once(marker))?.1;
    let image = after
        .trim_start_matches(['\'', '"'])
        .split([',', ' ', '\'', '"'])
        .next()?;
    Some(image.trim_end_matches(':')).filter(|image| !image.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(output: &str) -> (FailureReason, String) {
        let lines: Vec<String> = output.lines().map(str::to_owned).collect();
        match explain(&lines, "with exit code 1") {
            Failed::For(Stop::Failed { reason, message }) => (reason, message),
            Failed::ImageMissing { image, words } => {
                let images: Vec<String> = image.into_iter().collect();
                match image_missing(&images, &words) {
                    Stop::Failed { reason, message } => (reason, message),
                    other => panic!("{other:?}"),
                }
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn known_failures_name_the_thing_and_the_next_step() {
        use FailureReason::{ComposeFailed, DiskFull};
        let cases = [
            (
                "Error response from daemon: driver failed programming external connectivity on endpoint shop-web-1 (abc): Bind for 0.0.0.0:8080 failed: port is already allocated",
                ComposeFailed,
                "port 8080 is already taken",
            ),
            (
                "Error response from daemon: Ports are not available: listen tcp4 0.0.0.0:81: bind: address already in use",
                ComposeFailed,
                "port 81 is already taken",
            ),
            (
                "Error response from daemon: pull access denied for acme/none, repository does not exist or may require 'docker login'",
                ComposeFailed,
                "the image acme/none is not on the host",
            ),
            (
                "Error response from daemon: No such image: acme/shop:9",
                ComposeFailed,
                "the image acme/shop:9 is not",
            ),
            (
                "Error response from daemon: Get \"https://registry/v2/\": dial tcp: lookup registry: no such host",
                ComposeFailed,
                "an image is not on the host",
            ),
            (
                "Error response from daemon: Head \"http://127.0.0.1:5/v2/shop/manifests/1\": no basic auth credentials",
                ComposeFailed,
                "`towline registries add`",
            ),
            (
                "Error response from daemon: received unexpected HTTP status: 500 Internal Server Error",
                ComposeFailed,
                "The registry itself has failed",
            ),
            (
                "write /x: no space left on device",
                DiskFull,
                "disk is full",
            ),
            (
                "Conflict. The container name \"/web\" is already in use by container \"abc\"",
                ComposeFailed,
                "take `container_name` out",
            ),
            (
                " Container a  Starting\nsomething else\n Container b  Started\n",
                ComposeFailed,
                "ended with exit code 1: something else",
            ),
            ("", ComposeFailed, "`docker compose` ended with exit code 1"),
        ];
        for (output, reason, expected) in cases {
            let found = message(output);
            assert_eq!(found.0, reason, "{output}");
            assert!(found.1.contains(expected), "{output}: {}", found.1);
        }
    }

    #[test]
    fn a_build_s_programs_are_not_believed() {
        let lines = |last: &str| {
            [
                "#5 0.2 wget: connection refused",
                "#5 0.3 dial tcp EOF",
                "------",
                last,
            ]
            .map(str::to_owned)
        };
        let failed = "failed to solve: process \"/bin/sh -c curl || echo EOF\" did not complete successfully: exit code: 7";
        let Failed::For(Stop::Failed { reason, message }) =
            explain_build(&lines(failed), "with exit code 17")
        else {
            panic!("not a failure");
        };
        assert_eq!(reason, FailureReason::ComposeFailed);
        assert_eq!(
            message,
            format!("`docker compose build` ended with exit code 17: {failed}")
        );
        let gone = "failed to receive status: rpc error: code = Unavailable desc = error reading from server: EOF";
        assert_eq!(explain_build(&lines(gone), ""), Failed::Outage);
        let missing = "failed to solve: acme/base:1: pull access denied, repository does not exist";
        assert!(matches!(
            explain_build(&lines(missing), ""),
            Failed::ImageMissing { .. }
        ));
    }

    #[test]
    fn an_engine_that_went_away_is_recognised() {
        for line in [
            "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?",
            "error during connect: EOF",
        ] {
            assert_eq!(explain(&[line.to_owned()], ""), Failed::Outage);
        }
    }
}
