//! The projects that the cases deploy.

use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::engine::BUSYBOX;

use crate::rest::Expected;

/// How many lines the talking service prints.
const LINES: u64 = 60;
/// Bytes of a file that does not fit into the journal, however well it is packed.
const LARGE: usize = 300_000;
/// A service that is ready when its file is there.
const READY: &str = "healthcheck: {test: [\"CMD\", \"test\", \"-e\", \"/ready\"], interval: 1s, timeout: 2s, retries: 60}";

fn numbered() -> Vec<String> {
    (1..=LINES).map(|number| number.to_string()).collect()
}

fn both_services() -> Expected {
    Expected {
        printed: vec![
            ("count-1", vec!["counted".to_owned()]),
            ("talk-1", numbered()),
        ],
        is_counted: true,
        replaced: 0,
    }
}

/// A service that counts its starts, and one that prints many lines.
pub fn two_services() -> (ComposeFolder, Expected) {
    let services = [Service::counting("count"), Service::lines("talk", LINES)];
    (ComposeFolder::of(&services), both_services())
}

/// The same with a file that does not fit into the journal.
pub fn large() -> (ComposeFolder, Expected) {
    let (folder, expected) = two_services();
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap_or_default())
    });
    folder.write("noise", &noise.take(LARGE).collect::<String>());
    (folder, expected)
}

/// The same, ready only after some seconds.
pub fn slow() -> (ComposeFolder, Expected) {
    let script = format!("seq 1 {LINES}; sleep 4; touch /ready; exec sleep 1000000");
    let talk = Service::script("talk", &script).line(READY);
    (
        ComposeFolder::of(&[Service::counting("count"), talk]),
        both_services(),
    )
}

/// A service whose image is built from sources that no other project has.
pub fn built(page: &str) -> (ComposeFolder, Expected) {
    let folder = ComposeFolder::new("services:\n  web:\n    build: ./app\n    init: true\n");
    folder.write("app/page", &format!("{page}\n"));
    let dockerfile = format!(
        "FROM {BUSYBOX}\nCOPY page /page\nRUN echo built\nCMD [\"sh\", \"-c\", \"cat /page; exec sleep 1000000\"]\n"
    );
    folder.write("app/Dockerfile", &dockerfile);
    let expected = Expected {
        printed: vec![("web-1", vec![page.to_owned()])],
        is_counted: false,
        replaced: 0,
    };
    (folder, expected)
}

/// A build that does not end by itself.
pub fn endless_build() -> ComposeFolder {
    let folder = ComposeFolder::new("services:\n  web:\n    build: ./app\n");
    let dockerfile = format!("FROM {BUSYBOX}\nRUN echo begun $((40 + 2)); sleep 1000\n");
    folder.write("app/Dockerfile", &dockerfile);
    folder
}

/// A service that is never ready.
pub fn endless() -> ComposeFolder {
    let never = "healthcheck: {test: [\"CMD\", \"false\"], interval: 60s, retries: 9}";
    ComposeFolder::of(&[Service::idle("web").line(never)])
}

/// A service whose new container runs before the old one stops, and its next release.
pub fn handing() -> (ComposeFolder, ComposeFolder, Expected) {
    let folder = |page: &str| {
        let first = "deploy: {update_config: {order: start-first}}";
        let script = format!("echo {page}; exec sleep 1000000");
        ComposeFolder::of(&[Service::script("web", &script).line(first)])
    };
    let expected = Expected {
        printed: vec![("web-2", vec!["second".to_owned()])],
        is_counted: false,
        replaced: 1,
    };
    (folder("first"), folder("second"), expected)
}

/// A service that lacks what only the next release brings, which is the second folder.
pub fn lacking() -> (ComposeFolder, ComposeFolder, Expected) {
    let web = format!(
        "  web:\n    image: {BUSYBOX}\n    init: true\n    command: [\"sh\", \"-c\", \"echo started; exec sleep 1000000\"]\n    \
         volumes: [\"count-count:/count\"]\n    \
         healthcheck: {{test: [\"CMD\", \"test\", \"-s\", \"/count/starts\"], interval: 1s, timeout: 2s, retries: 2}}\n"
    );
    let volumes = "volumes:\n  count-count: {}\n";
    let counting = towline_tests::compose::compose_file(&[Service::counting("count")]);
    let first = ComposeFolder::new(&format!("services:\n{web}{volumes}"));
    let second = ComposeFolder::new(&counting.replace("services:\n", &format!("services:\n{web}")));
    let expected = Expected {
        printed: vec![
            ("count-1", vec!["counted".to_owned()]),
            ("web-1", Vec::new()),
        ],
        is_counted: true,
        replaced: 0,
    };
    (first, second, expected)
}
