//! Lists in pages: newest first, each page going on behind the last item of the one before.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// The most items of one page.
pub const MAX_LIMIT: u32 = 200;
/// The items of one page when nothing else is asked for.
pub const DEFAULT_LIMIT: u32 = 50;

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// How many items; at least one, at most [`MAX_LIMIT`].
    pub limit: u32,
    /// The last item of the page before.
    pub after: Option<Uuid>,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            limit: DEFAULT_LIMIT,
            after: None,
        }
    }
}

impl Page {
    /// One more than wanted, which tells whether there is a next page.
    pub(crate) fn fetch(self) -> i64 {
        i64::from(self.limit.clamp(1, MAX_LIMIT)) + 1
    }

    /// Items before this id; identifiers sort by the time of their making.
    pub(crate) fn before(self) -> Uuid {
        self.after.unwrap_or(Uuid::max())
    }

    /// Cuts what was fetched to the page and names the next one.
    pub(crate) fn cut<T>(self, mut items: Vec<T>, id: impl Fn(&T) -> Uuid) -> Listed<T> {
        let limit = self.limit.clamp(1, MAX_LIMIT) as usize;
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = if has_more { items.last().map(id) } else { None };
        Listed { items, next_cursor }
    }
}

/// One page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Listed<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Give this as `cursor` for the next page; absent on the last one.
    pub next_cursor: Option<Uuid>,
}

/// A range of time, open where nothing is given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// From then on.
    pub since: Option<DateTime<Utc>>,
    /// Before then.
    pub until: Option<DateTime<Utc>>,
}

/// How far the clocks of processes and database may lie apart: an id tells the time of its making by one, `created_at`
/// by the other.
const APART: TimeDelta = TimeDelta::hours(1);

impl Span {
    /// The least identifier that something of the range can have: the index is entered there.
    pub(crate) fn first_id(self) -> Uuid {
        self.since.map_or(Uuid::nil(), |since| id_at(since - APART))
    }

    /// An identifier that nothing of the range reaches.
    pub(crate) fn id_behind(self) -> Uuid {
        self.until.map_or(Uuid::max(), |until| id_at(until + APART))
    }
}

/// The least UUIDv7 of a millisecond (RFC 9562, section 5.7: its first 48 bits are the time).
fn id_at(moment: DateTime<Utc>) -> Uuid {
    let milliseconds = u128::try_from(moment.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(milliseconds.min((1 << 48) - 1) << 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_time_is_a_range_of_ids() {
        let (id, now) = (Uuid::now_v7(), Utc::now());
        let span = |since, until| Span {
            since: Some(now + since),
            until: Some(now + until),
        };
        let (hours, holds) = (TimeDelta::hours, |span: Span| {
            span.first_id() <= id && id < span.id_behind()
        });
        assert!(holds(span(hours(0), hours(0))));
        assert!(!holds(span(hours(2), hours(3))));
        assert!(!holds(span(hours(-3), hours(-2))));
        assert!(holds(Span::default()));
        let far = DateTime::<Utc>::MIN_UTC + TimeDelta::days(1);
        assert_eq!(id_at(far), Uuid::nil());
    }

    #[test]
    fn a_page_knows_whether_another_follows() {
        let page = Page {
            limit: 2,
            after: None,
        };
        let ids: Vec<_> = (1..=3).map(Uuid::from_u128).collect();
        assert_eq!(
            page.cut(ids.clone(), |id| *id).next_cursor,
            Some(Uuid::from_u128(2))
        );
        assert_eq!(page.cut(ids[..2].to_vec(), |id| *id).next_cursor, None);
        assert_eq!(
            Page {
                limit: 0,
                after: None
            }
            .fetch(),
            2
        );
        assert_eq!(
            Page {
                limit: u32::MAX,
                after: None
            }
            .fetch(),
            i64::from(MAX_LIMIT) + 1
        );
    }
}
