//! What is used of a plan.

use serde_json::{Value, json};

use crate::plane::{Plane, World};

#[test]
fn usage_stands_beside_what_the_plan_allows() {
    let plane = Plane::start(World::default());
    let shown = plane.run(&["usage", "--days", "7"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for part in [
        "Free",
        "2 of 3",
        "9 of 50, resets at 2026-01-31T00:00:00Z",
        "2026-01-28",
        "3 min 20 s",
        "2.0 KiB",
    ] {
        assert!(shown.stdout.contains(part), "{part:?} in {shown:?}");
    }
    let told = plane.run(&["usage", "--days", "7", "--json"]);
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(
        (&told["plan"]["price"], &told["items"][0]["deployments"]),
        (&json!(0), &json!(50))
    );
    assert_eq!(plane.run(&["usage", "--days", "0"]).code, Some(2));
}

#[test]
fn plans_are_listed_and_what_is_named_changes() {
    let plane = Plane::start(World::default());
    let listed = plane.run(&["plans", "ls"]);
    for part in ["Free", "0.00 EUR", "Pro", "19.00 EUR", "no limit"] {
        assert!(listed.stdout.contains(part), "{part:?} in {listed:?}");
    }
    let changed = plane.run(&[
        "plans",
        "change",
        "Pro",
        "--max-teams",
        "7",
        "--max-projects",
        "none",
        "--json",
    ]);
    let changed: Value = serde_json::from_str(&changed.stdout).unwrap();
    assert_eq!(
        changed["asked"],
        json!({"max_teams": 7, "max_projects": null})
    );
    for wrong in [
        &["plans", "change", "Pro"][..],
        &["plans", "change", "Pro", "--max-teams", "many"],
    ] {
        assert_eq!(plane.run(wrong).code, Some(2), "{wrong:?}");
    }
    assert_eq!(
        plane.run(&["plans", "change", "Gold", "--price", "1"]).code,
        Some(1)
    );
}
