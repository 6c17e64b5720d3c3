//! Several requests at once, and not too many.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::executor::stop::Stop;

/// How many requests are under way at once.
const AT_ONCE: usize = 8;

/// Awaits all, some at a time; gives what they give in their order, or the first stop.
pub(super) async fn all<T>(
    asked: Vec<impl Future<Output = Result<T, Stop>>>,
) -> Result<Vec<T>, Stop> {
    stream::iter(asked).buffered(AT_ONCE).try_collect().await
}
