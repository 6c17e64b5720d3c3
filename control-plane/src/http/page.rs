//! Lists, one page at a time.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::problem::Problem;
use crate::store::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::store::{Listed, Page, Span};

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many items at most, 1 to 200; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before; left out for the first page.
    cursor: Option<Uuid>,
}

impl PageQuery {
    /// The page in the store's words.
    pub fn page(&self) -> Result<Page, Problem> {
        page(self.limit, self.cursor)
    }
}

/// Checks the two parameters of every list.
pub fn page(limit: Option<u32>, cursor: Option<Uuid>) -> Result<Page, Problem> {
    match limit.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(Page {
            limit,
            after: cursor,
        }),
        other => Err(Problem::invalid(
            "limit",
            format!("{other} is not between 1 and {MAX_LIMIT}"),
        )),
    }
}

/// Checks a range of time.
pub fn span(since: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>) -> Result<Span, Problem> {
    match (since, until) {
        (Some(from), Some(to)) if from > to => {
            Err(Problem::invalid("since", "it lies behind `until`"))
        }
        _ => Ok(Span { since, until }),
    }
}

/// A list that is short enough to be one page.
pub fn whole<T>(items: Vec<T>) -> Listed<T> {
    Listed {
        items,
        next_cursor: None,
    }
}
