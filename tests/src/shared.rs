//! What a whole run shares: one engine of each kind and one PostgreSQL, found by the environment.
//!
//! `towline-parts share -- COMMAND…` (which `./dev test` uses) starts them, runs the command with these variables, and
//! ends them. Without the variables every test starts its own.

use std::{env, path::PathBuf};

use crate::{
    engine::{Engine, Place},
    parts::EngineKind,
    postgres::Postgres,
};

/// Environment variable: the shared PostgreSQL, as the URL of its superuser.
pub const POSTGRES: &str = "TOWLINE_TEST_POSTGRES";

/// Environment variable of a shared engine: its folder, process 1 and address, with blanks between.
pub fn engine_variable(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Old => "TOWLINE_TEST_ENGINE_OLD",
        EngineKind::New => "TOWLINE_TEST_ENGINE_NEW",
        EngineKind::Newest => "TOWLINE_TEST_ENGINE_NEWEST",
    }
}

/// The variables by which a child finds these parts.
pub fn variables(engines: &[Engine], postgres: &Postgres) -> Vec<(&'static str, String)> {
    let engines = engines.iter().map(|engine| {
        let Place {
            folder,
            init,
            address,
        } = engine.place();
        (
            engine_variable(engine.kind()),
            format!("{} {init} {address}", folder.display()),
        )
    });
    engines
        .chain([(POSTGRES, postgres.url("postgres"))])
        .collect()
}

pub(crate) fn engine(kind: EngineKind) -> Option<Place> {
    let value = env::var(engine_variable(kind)).ok()?;
    let place = parse(&value);
    Some(place.unwrap_or_else(|| {
        panic!(
            "{} is not 'FOLDER PID ADDRESS': '{value}'",
            engine_variable(kind)
        )
    }))
}

fn parse(value: &str) -> Option<Place> {
    let [folder, init, address] = value.split(' ').collect::<Vec<_>>().try_into().ok()?;
    Some(Place {
        folder: PathBuf::from(folder),
        init: init.parse().ok()?,
        address: address.parse().ok()?,
    })
}
