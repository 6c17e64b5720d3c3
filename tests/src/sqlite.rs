//! An SQLite database beside the server that writes it.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, SqliteConnection};

/// Runs a statement that changes something, and gives the number of rows that it touched.
pub(crate) fn execute(file: &Path, sql: &str) -> u64 {
    on(
        &SqliteConnectOptions::new().filename(file),
        async |mut connection| {
            let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut connection);
            let done = done.await;
            done.unwrap_or_else(|error| panic!("{sql}: {error}"))
                .rows_affected()
        },
    )
}

/// The rows of a query with one column of text.
pub(crate) fn rows(file: &Path, sql: &str) -> Vec<String> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    on(&options, async |mut connection| {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    })
}

fn on<T>(options: &SqliteConnectOptions, work: impl AsyncFnOnce(SqliteConnection) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        let connection = options.connect().await.expect("the database opens");
        work(connection).await
    })
}
