//! The ways that lead past the points.

mod absence;
mod cancel;
mod deploy;
mod enrol;
mod projects;
mod remove;
mod renew;

use crate::cases::{Case, Way};
use crate::rest;
use crate::stage::Stage;

/// Walks the case's way: a process dies at its point, comes back, and all must be as it should be.
pub fn walk(stage: &mut Stage<'_>, case: &Case) {
    match case.way {
        Way::Deploy | Way::Large | Way::Build => deploy::walk(stage, case),
        Way::Commit => deploy::commit(stage, case),
        Way::Repair => deploy::repair(stage, case),
        Way::HandOver => deploy::hand_over(stage, case),
        Way::Again => deploy::again(stage, case),
        Way::Remove => remove::walk(stage, case),
        Way::Sweep => remove::sweep(stage, case),
        Way::CancelQueued => cancel::queued(stage, case),
        Way::CancelOffered => cancel::offered(stage, case),
        Way::CancelRunning => cancel::running(stage, case),
        Way::CancelBuild => cancel::building(stage, case),
        Way::Unseen => absence::unseen(stage, case),
        Way::Long => absence::long(stage, case),
        Way::Unanswered => absence::unanswered(stage, case),
        Way::Enrol => enrol::walk(stage, case),
        Way::First => enrol::first(stage, case),
        Way::Renew => renew::walk(stage, case),
        Way::Expired => return renew::expired(stage, case),
    }
    rest::settled(stage);
    stage.recovered(case);
}
