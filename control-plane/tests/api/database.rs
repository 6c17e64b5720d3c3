//! On which database a test runs, and rows that are made behind the store's back.

use std::path::Path;
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool, SqlitePool};
use uuid::Uuid;

/// A database of a test.
#[derive(Clone, Debug)]
pub enum Database {
    /// A file in the world's folder.
    Embedded,
    /// PostgreSQL, at this address.
    ScaledOut(String),
}

/// The rows, behind the store's back.
pub enum Rows {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

tokio::task_local! {
    static SCALED_OUT: ();
}

/// Writes each test twice: once per database. Worlds that it opens are on that.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name().await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                $crate::database::scaled_out(super::$name()).await;
            })+
        }
    };
}
pub(crate) use on_both;

/// Runs a test whose worlds are on PostgreSQL.
pub async fn scaled_out(test: impl Future<Output = ()>) {
    SCALED_OUT.scope((), test).await;
}

impl Database {
    /// A new one, of the kind that the test runs on.
    pub async fn make() -> Self {
        if SCALED_OUT.try_with(|()| ()).is_err() {
            return Self::Embedded;
        }
        let superuser = std::env::var("TOWLINE_TEST_POSTGRES").expect(
            "TOWLINE_TEST_POSTGRES is the address of a PostgreSQL server: run `./dev test`",
        );
        let name = format!("towline_{}", Uuid::now_v7().simple());
        let mut connection = PgConnection::connect(&superuser).await.unwrap();
        let sql = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        let options = PgConnectOptions::from_str(&superuser).unwrap();
        Self::ScaledOut(options.database(&name).to_url_lossy().to_string())
    }

    /// Its address, if it has one.
    pub fn url(&self) -> Option<String> {
        match self {
            Self::Embedded => None,
            Self::ScaledOut(url) => Some(url.clone()),
        }
    }

    /// Its rows; the file is in this folder.
    pub async fn rows(&self, folder: &Path) -> Rows {
        match self {
            Self::Embedded => {
                let options = SqliteConnectOptions::new().filename(folder.join("control.db"));
                Rows::Sqlite(SqlitePool::connect_with(options).await.unwrap())
            }
            Self::ScaledOut(url) => Rows::Postgres(PgPool::connect(url).await.unwrap()),
        }
    }
}

/// Writes to the rows of either database.
macro_rules! write_rows {
    ($rows:expr, $sql:expr $(, $value:expr)* $(,)?) => {
        match $rows {
            $crate::database::Rows::Sqlite(pool) => {
                sqlx::query($sql)$(.bind($value.clone()))*.execute(pool).await.unwrap();
            }
            $crate::database::Rows::Postgres(pool) => {
                sqlx::query($sql)$(.bind($value.clone()))*.execute(pool).await.unwrap();
            }
        }
    };
}
pub(crate) use write_rows;
