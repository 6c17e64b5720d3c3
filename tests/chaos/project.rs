//! What is deployed: one container that keeps a ledger of its own starts and prints numbered lines.

use towline_tests::compose::{ComposeFolder, Service};

/// How many lines each start prints.
pub const LINES: u64 = 120;

/// The file in a volume into which each start writes a line: the release's mark, the container's name, and the seconds
/// since the machine's start.
pub const LEDGER: &str = "ledger";

/// The label by which a container tells its release's mark.
pub const MARK: &str = "chaos.mark";

/// The files of a release.
pub fn release(mark: &str) -> ComposeFolder {
    // In pieces, so that faults meet a log that grows.
    let script = format!(
        "rm -f /done; up=$(cut -d' ' -f1 /proc/uptime); echo {mark} $HOSTNAME $up >>/kept/{LEDGER}; \
         i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo tick {mark} $up $i; \
         [ $((i%10)) -ne 0 ] || sleep 0.1; done; touch /done; exec sleep 1000000"
    );
    let healthy = "healthcheck: {test: [CMD, test, -e, /done], interval: 1s, timeout: 5s, start_period: 600s}";
    let service = Service::script("count", &script)
        .keeping("kept", "/kept")
        .line(&format!("labels: {{{MARK}: {mark}}}"))
        .line("restart: always")
        .line("stop_grace_period: 1s")
        .line(healthy);
    ComposeFolder::of(&[service])
}

/// A line that a container has printed.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick<'l> {
    /// The release's mark.
    pub mark: &'l str,
    /// Which start printed it: seconds since the machine's start.
    pub start: &'l str,
    /// Its number, from 1.
    pub number: u64,
}

impl<'l> Tick<'l> {
    /// Reads one; nothing when the line is another's.
    pub fn read(text: &'l str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let ["tick", mark, start, number] = words[..] else {
            return None;
        };
        Some(Self {
            mark,
            start,
            number: number.parse().ok()?,
        })
    }
}
