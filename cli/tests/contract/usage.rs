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

#[test]
fn plans_are_granted_bought_and_shown() {
    let plane = Plane::start(World::default());
    let until = "2027-01-31T00:00:00Z";
    for arguments in [&["billing", "show"][..], &["billing", "ls"]] {
        let shown = plane.run(arguments);
        assert_eq!(shown.code, Some(0), "{shown:?}");
        for part in ["Pro", until, "manual", "active"] {
            assert!(shown.stdout.contains(part), "{part:?} in {shown:?}");
        }
    }
    let bought = plane.run(&["billing", "buy", "Pro"]);
    assert_eq!(
        bought.stdout, "https://checkout.stripe.com/c/pay_1\n",
        "{bought:?}"
    );
    for wrong in [
        &["billing", "grant", "ann@example.org", "Pro"][..],
        &[
            "billing",
            "grant",
            "ann@example.org",
            "Pro",
            "--until",
            "tomorrow",
        ],
        &["billing", "end", "it"],
    ] {
        assert_eq!(plane.run(wrong).code, Some(2), "{wrong:?}");
    }
    let granted = [
        "billing",
        "grant",
        "ann@example.org",
        "Pro",
        "--until",
        until,
        "--json",
    ];
    let granted: Value = serde_json::from_str(&plane.run(&granted).stdout).unwrap();
    let asked = json!({"user": "00000000-0000-7000-8000-00000000000c", "plan": "00000000-0000-7000-8000-00000000000b", "until": until});
    assert_eq!(granted["asked"], asked);
    let absent = plane.run(&["billing", "buy", "Gold"]);
    assert_eq!(absent.code, Some(1), "{absent:?}");
}
