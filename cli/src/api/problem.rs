//! Problem documents (RFC 9457) with our members `field`, `remedy` and those of a quota.

use chrono::{DateTime, Utc};
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::{projects::Finding, unreachable::address};
use crate::exit::{Exit, Failure, Quota};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    field: Option<String>,
    remedy: Option<String>,
    limit: Option<u64>,
    used: Option<u64>,
    resets_at: Option<DateTime<Utc>>,
    findings: Vec<Finding>,
}

/// The failure that a problem document tells.
pub(super) fn failure(status: StatusCode, body: &[u8]) -> Failure {
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let title = problem.title.unwrap_or_else(|| plain_title(status));
    let detail = problem.detail.filter(|detail| *detail != title);
    let findings = problem.findings.iter().map(Finding::sentence);
    let quota = problem.limit.zip(problem.used).map(|(limit, used)| Quota {
        limit,
        used,
        resets_at: problem.resets_at,
    });
    let findings = findings.chain(quota.as_ref().map(Quota::sentence));
    let details: Vec<_> = detail.into_iter().chain(findings).collect();
    let mut failure = Failure::new(exit(status), title)
        .status(status.as_u16())
        .field(problem.field)
        .quota(quota);
    if !details.is_empty() {
        failure = failure.detail(details.join("\n"));
    }
    match problem.remedy.or_else(|| own_remedy(status)) {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}

/// An answer that is no problem document comes from something else than the API.
pub(super) fn unexplained(status: StatusCode, base: &Url) -> Failure {
    Failure::new(exit(status), plain_title(status))
        .status(status.as_u16())
        .detail(format!("{} did not say why", address(base)))
        .remedy("check that the address is the control plane's and that no proxy answers for it")
}

fn plain_title(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or("no reason given");
    format!("The request was refused: {} {reason}", status.as_u16())
}

/// Whoever should have answered is not there; any other refusal is an answer.
fn exit(status: StatusCode) -> Exit {
    match status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Exit::Unreachable
        }
        _ => Exit::Failed,
    }
}

fn own_remedy(status: StatusCode) -> Option<String> {
    let remedy = match status {
        StatusCode::UNAUTHORIZED => "log in with a valid key: `towline login URL --key-stdin`",
        StatusCode::TOO_MANY_REQUESTS => "wait a moment and try again",
        StatusCode::PAYLOAD_TOO_LARGE => "send less; .towlineignore leaves files out",
        StatusCode::INTERNAL_SERVER_ERROR => {
            "try again; when it stays, the control plane's log says why"
        }
        _ => return None,
    };
    Some(remedy.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_keeps_all_it_says() {
        let body = br#"{"type":"x","title":"Invalid","status":422,"detail":"no such name","field":"target","remedy":"use another","new":1,
            "findings":[{"severity":"error","file":"compose.yaml","line":3,"rule":"privileged","message":"not here"}]}"#;
        let Failure::Told(report) = failure(StatusCode::UNPROCESSABLE_ENTITY, body) else {
            panic!("nothing told")
        };
        let said = serde_json::json!({
            "title": "Invalid", "detail": "no such name\ncompose.yaml:3: not here (privileged)", "field": "target",
            "remedy": "use another", "status": 422,
        });
        assert_eq!(serde_json::to_value(&report).ok(), Some(said));
    }

    #[test]
    fn a_quota_is_told_in_words_and_in_numbers() {
        let table = [
            (
                r#","resets_at":"2026-02-01T00:00:00Z""#,
                "used 10 of 10; resets at 2026-02-01T00:00:00Z",
            ),
            ("", "used 10 of 10"),
        ];
        for (resets, words) in table {
            let body = format!(
                r#"{{"title":"Quota exceeded","detail":"no more","limit":10,"used":10{resets}}}"#
            );
            let Failure::Told(report) = failure(StatusCode::FORBIDDEN, body.as_bytes()) else {
                panic!("nothing told")
            };
            let said = serde_json::to_value(&report).unwrap_or_default();
            assert_eq!(said["detail"], format!("no more\n{words}"));
            assert_eq!((&said["limit"], &said["used"]), (&10.into(), &10.into()));
            assert_eq!(
                said.get("resets_at").is_some(),
                !resets.is_empty(),
                "{said}"
            );
        }
    }

    #[test]
    fn a_refusal_is_a_failure_and_an_absent_answer_is_unreachable() {
        let table = [
            (400, Exit::Failed),
            (401, Exit::Failed),
            (404, Exit::Failed),
            (409, Exit::Failed),
            (500, Exit::Failed),
            (502, Exit::Unreachable),
            (503, Exit::Unreachable),
            (504, Exit::Unreachable),
        ];
        for (code, expected) in table {
            let status = StatusCode::from_u16(code).unwrap_or_default();
            assert_eq!(failure(status, b"{}").exit(), expected, "{code}");
            assert_eq!(failure(status, b"no json").http_status(), Some(code));
        }
    }
}
