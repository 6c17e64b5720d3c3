//! As much of it as one host can say: the control plane stays small, and others get their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use towline_shared::Fence;
use towline_shared::ids::JobId;
use towline_shared::metrics::Sample;
use towline_shared::protocol::v1::{Attempt, FromAgent, Hello};
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::patience::wait_until;
use towline_tests::peer::{Identity, Peer, hello};
use towline_tests::story::Installation;

use super::{Evil, time_of_a_deploy};
use crate::on_both;

on_both!(
    a_flood_holds_up_nobody_and_is_bounded,
    connections_that_say_nothing_are_one,
    who_comes_back_again_and_again_is_turned_away,
    a_reader_that_stops_is_let_go,
);

/// The entries of one agent at once; further ones come slowly.
const ENTRIES: usize = 64;

/// Says the same again and again, over new connections when the old ones end, until it is told to stop.
struct Flood {
    running: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

impl Flood {
    fn start(identity: &Identity, act: impl Fn(&Identity, &AtomicBool) + Send + 'static) -> Self {
        let (running, rounds) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let (goes_on, counted, identity) =
            (Arc::clone(&running), Arc::clone(&rounds), identity.clone());
        let thread = thread::spawn(move || {
            while goes_on.load(Relaxed) {
                act(&identity, &goes_on);
                counted.fetch_add(1, Relaxed);
            }
        });
        Self {
            running,
            rounds,
            thread,
        }
    }

    fn stop(self) -> u64 {
        self.running.store(false, Relaxed);
        self.thread.join().expect("it floods to its end");
        self.rounds.load(Relaxed)
    }
}

fn introduced(identity: &Identity) -> Option<Peer> {
    let mut peer = Peer::try_connect(identity)?;
    let shake = towline_shared::protocol::ClientHandshake::ours("flood");
    peer.bytes(towline_shared::protocol::encode_handshake(&shake).unwrap());
    peer.say(&FromAgent::Hello(hello()));
    Some(peer)
}

/// Frames of one kind as fast as they are taken; nothing is read but what TCP needs.
fn pour(identity: &Identity, goes_on: &AtomicBool, frame: &[u8]) {
    let Some(mut peer) = introduced(identity) else {
        return;
    };
    while goes_on.load(Relaxed) && peer.takes(frame.to_vec(), Duration::from_secs(1)) {
        while let towline_tests::peer::Heard::Frame(_) = peer.hear(Duration::ZERO) {}
    }
}

fn reports_of_others(identity: &Identity, goes_on: &AtomicBool) {
    let attempt = Attempt {
        job: JobId::new(),
        fence: Fence::new(1, 1),
    };
    pour(
        identity,
        goes_on,
        &FromAgent::Started(attempt).encode().unwrap(),
    );
}

fn unknown_giants(identity: &Identity, goes_on: &AtomicBool) {
    pour(identity, goes_on, &vec![99; 1 << 20]);
}

/// As many small values in one message as fit: each is larger in memory than on the wire.
fn swollen_messages(identity: &Identity, goes_on: &AtomicBool) {
    let mut capabilities = hello().capabilities;
    capabilities.policy.bind_mounts = vec![String::new(); 190_000];
    pour(
        identity,
        goes_on,
        &FromAgent::Capabilities(capabilities).encode().unwrap(),
    );
}

fn samples(identity: &Identity, goes_on: &AtomicBool) {
    pour(
        identity,
        goes_on,
        &FromAgent::Metrics(Sample::default()).encode().unwrap(),
    );
}

fn returns(identity: &Identity, _: &AtomicBool) {
    if let Some(mut peer) = introduced(identity) {
        peer.hear(Duration::from_millis(200));
    }
}

fn impossible_hellos(identity: &Identity, _: &AtomicBool) {
    if let Some(mut peer) = Peer::try_connect(identity) {
        let shake = towline_shared::protocol::ClientHandshake::ours("flood");
        peer.bytes(towline_shared::protocol::encode_handshake(&shake).unwrap());
        peer.say(&FromAgent::Hello(Hello {
            version: "v".repeat(300),
            ..hello()
        }));
        peer.hear(Duration::from_secs(1));
        peer.hear(Duration::from_secs(1));
    }
}

fn a_flood_holds_up_nobody_and_is_bounded(story: &mut Installation) {
    let usual = (0..3).map(|_| time_of_a_deploy(story)).max().unwrap();
    let rest = story.server.memory("VmRSS");
    let acts = [
        reports_of_others,
        unknown_giants,
        swollen_messages,
        samples,
        returns,
        impossible_hellos,
    ];
    let evils = acts.map(|_| Evil::enrol(story));
    let floods: Vec<Flood> = acts
        .into_iter()
        .zip(&evils)
        .map(|(act, evil)| Flood::start(&evil.identity, act))
        .collect();
    thread::sleep(Duration::from_secs(2));
    let meanwhile: Vec<Duration> = (0..3).map(|_| time_of_a_deploy(story)).collect();
    let rounds: Vec<u64> = floods.into_iter().map(Flood::stop).collect();
    let grown = story.server.memory("VmHWM").saturating_sub(rest);
    println!(
        "a deploy took {usual:?}, meanwhile {meanwhile:?}; rounds {rounds:?}; {grown} bytes more"
    );
    // The floods and the control plane share two cores with the engine.
    let fastest = meanwhile.iter().min().unwrap();
    assert!(
        *fastest < usual * 3 + Duration::from_secs(1),
        "{usual:?}, now {meanwhile:?}"
    );
    assert!(grown < 128 << 20, "it has grown by {grown} bytes");
    for evil in &evils {
        let entries = evil.entries(story).len();
        assert!(entries <= ENTRIES + 3, "{entries} entries of one agent");
    }
    assert!(rounds[5] > 0);
    assert_eq!(evils[0].entries(story).len(), ENTRIES, "the flood was one");
}

/// An agent may hold one connection that has not said who it is, however many it opens.
fn connections_that_say_nothing_are_one(story: &mut Installation) {
    let evil = Evil::enrol(story);
    let before = story.server.open_files();
    let mut mute: Vec<Peer> = (0..60).map(|_| Peer::connect(&evil.identity)).collect();
    let began = Instant::now();
    wait_until("they are closed", Duration::from_secs(3), || {
        (story.server.open_files() < before + 10).then_some(())
    });
    let last = mute.last_mut().unwrap();
    assert_eq!(
        last.hear(Duration::from_millis(500)),
        towline_tests::peer::Heard::Nothing,
        "the last one has its time"
    );
    assert!(began.elapsed() < Duration::from_secs(8));
    // Who has introduced itself is not concerned.
    let mut peer = Peer::welcome(&evil.identity);
    let more: Vec<Peer> = (0..5).map(|_| Peer::connect(&evil.identity)).collect();
    assert_eq!(
        peer.hear(Duration::from_millis(500)),
        towline_tests::peer::Heard::Nothing
    );
    drop(more);
    assert_eq!(story.online(), 2);
}

/// Each return costs commits, so that they are counted.
fn who_comes_back_again_and_again_is_turned_away(story: &mut Installation) {
    let evil = Evil::enrol(story);
    let began = Instant::now();
    let mut welcomed = 0;
    for _ in 0..80 {
        let (mut peer, _) = Peer::shake(&evil.identity);
        peer.say(&FromAgent::Hello(hello()));
        welcomed += u64::from(peer.listen().is_some());
    }
    let allowed = 60 + began.elapsed().as_secs() / 5 + 1;
    assert!(
        welcomed <= allowed,
        "{welcomed} of 80, {allowed} are allowed"
    );
    assert!(welcomed >= 60, "{welcomed} of 80");
    assert!(time_of_a_deploy(story) < Duration::from_secs(30));
}

/// It asks for megabytes and reads none, and goes on writing; what the network's own buffers take in between, no test
/// can tell. Then it says nothing more.
fn a_reader_that_stops_is_let_go(story: &mut Installation) {
    let evil = Evil::enrol(story);
    let files = ComposeFolder::of(&[Service::idle("web")]);
    files.write("data", &"x".repeat(3_900_000));
    let project = story.project("large", &files);
    let mut peer = Peer::welcome(&evil.identity);
    let rest = story.server.memory("VmRSS");
    evil.deploy(&project);
    let mut written = 0_u64;
    while written < 256 << 20 && peer.takes(vec![99; 100_000], Duration::from_secs(1)) {
        written += 100_000;
    }
    assert!(time_of_a_deploy(story) < Duration::from_secs(20));
    wait_until("it is let go", Duration::from_mins(1), || {
        (story.online() == 1).then_some(())
    });
    let grown = story.server.memory("VmHWM").saturating_sub(rest);
    assert!(grown < 96 << 20, "it has grown by {grown} bytes");
    assert_eq!(evil.entries(story).len(), 0, "a slow link is no crime");
}
