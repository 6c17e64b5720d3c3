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
