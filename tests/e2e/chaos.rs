//! A minute of `./dev chaos`, with other faults each time; what it prints has the seed that repeats them.

use towline_tests::parts::binary;
use towline_tests::process::{guarded, output};
use towline_tests::scratch::{RUN, Scratch};

#[test]
fn a_minute_of_chaos_is_survived() {
    let folder = Scratch::new("chaos");
    let json = folder.join("chaos.json");
    // Its small disks go with a mount namespace of its own, whatever happens to it.
    let mut chaos = guarded("unshare");
    chaos.args(["--mount", "--"]).arg(binary("towline-chaos"));
    chaos.args(["--minutes", "1", "--json"]).arg(&json);
    chaos.env(RUN, folder.path());
    println!("{}", output(chaos));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(report["disagreements"], serde_json::json!([]));
    let faults = report["faults"].as_object().unwrap();
    for (fault, count) in faults {
        assert!(count.as_u64() > Some(0), "no fault of this kind: {fault}");
    }
}
