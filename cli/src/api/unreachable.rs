//! Why the control plane cannot be reached, and what to do about it.

use std::{error::Error as StdError, io};

use reqwest::Url;
use rustls::CertificateError;
use towline_pki::PinMismatch;

use crate::exit::{Exit, Failure};

/// Where it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Before an answer came.
    Request,
    /// In the middle of an answer.
    Answer,
}

/// An answer did not come in time.
pub(super) fn too_slow(base: &Url) -> Failure {
    Failure::new(
        Exit::Unreachable,
        format!("{} does not answer", address(base)),
    )
    .detail("nothing came for too long")
    .remedy("check the network between here and there, then try again")
}

/// The failure that an error of the HTTP client tells.
pub(super) fn failure(base: &Url, error: &reqwest::Error, part: Part) -> Failure {
    if let Some(mismatch) = PinMismatch::find_in(error) {
        return other_authority(base, mismatch);
    }
    if let Some(rustls::Error::InvalidCertificate(reason)) = cause_in(error) {
        return bad_certificate(base, reason);
    }
    if error.is_timeout() {
        return too_slow(base);
    }
    if part == Part::Answer {
        return Failure::new(
            Exit::Unreachable,
            format!("The connection to {} broke", address(base)),
        )
        .detail(innermost(error));
    }
    Failure::new(
        Exit::Unreachable,
        format!("{} cannot be reached", address(base)),
    )
    .detail(innermost(error))
    .remedy(match cause_in::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) if proxied() => {
            "check that the control plane runs, that host and port are right, and that the proxy of HTTPS_PROXY runs; \
             NO_PROXY names hosts that need none"
        }
        Some(io::ErrorKind::ConnectionRefused) => {
            "check that the control plane runs and that host and port are right"
        }
        _ => "check the address, the network and HTTPS_PROXY",
    })
}

/// Whether the environment names a proxy, which may be the one that refuses.
fn proxied() -> bool {
    ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// The address as people write it.
pub fn address(base: &Url) -> &str {
    base.as_str().trim_end_matches('/')
}

fn reason_in_words(reason: &CertificateError) -> String {
    use CertificateError as Why;
    match reason {
        Why::UnknownIssuer => "it is signed by an authority that this machine does not know".into(),
        Why::Expired | Why::ExpiredContext { .. } => "it has expired".into(),
        Why::NotValidYet | Why::NotValidYetContext { .. } => "it is not valid yet".into(),
        other => other.to_string(),
    }
}

fn other_authority(base: &Url, mismatch: &PinMismatch) -> Failure {
    Failure::new(
        Exit::Unreachable,
        format!("{} is not the control plane it should be", address(base)),
    )
    .detail(format!(
        "its CA is {}\nbut {} is trusted",
        mismatch.presented, mismatch.expected
    ))
    .remedy(
        "check the address; if the installation was made anew, compare the fingerprint with the \
             one it printed at its first start and log in again with --ca-fingerprint",
    )
}

fn bad_certificate(base: &Url, reason: &CertificateError) -> Failure {
    use CertificateError as Why;
    let remedy = match reason {
        Why::UnknownIssuer => {
            "log in with --ca-fingerprint; the control plane printed it at its first start"
        }
        Why::Expired
        | Why::ExpiredContext { .. }
        | Why::NotValidYet
        | Why::NotValidYetContext { .. } => {
            "check the clocks of this machine and of the control plane"
        }
        Why::NotValidForName | Why::NotValidForNameContext { .. } => {
            "use the host name that the control plane was given as its public URL"
        }
        _ => "check the control plane's certificate",
    };
    Failure::new(
        Exit::Unreachable,
        format!("The certificate of {} is not trusted", address(base)),
    )
    .detail(reason_in_words(reason))
    .remedy(remedy)
}

/// Looks for a cause in the chain. An `io::Error` keeps its payload outside of it.
fn cause_in<'e, T: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e T> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    next_cause(error).and_then(cause_in)
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    if cause_in(error).map(io::Error::kind) == Some(io::ErrorKind::UnexpectedEof) {
        return "it was closed in the middle".into();
    }
    let mut innermost = error;
    while let Some(cause) = next_cause(innermost) {
        innermost = cause;
    }
    innermost.to_string()
}

fn next_cause<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e (dyn StdError + 'static)> {
    let payload = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match payload {
        Some(payload) => Some(payload),
        None => error.source(),
    }
}
