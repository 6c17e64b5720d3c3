//! Lists in pages: newest first, each page going on behind the last item of the one before.

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

#[cfg(test)]
mod tests {
    use super::*;

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
