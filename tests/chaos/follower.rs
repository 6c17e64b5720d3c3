//! Somebody who watches a deployment's log live, and asks again behind the last line whenever the stream breaks.

use std::time::Duration;

use towline_tests::events::{Event, Events, Next};

use crate::{
    client::Client,
    curtain::Curtain,
    diary::{Diary, Reading},
    dice::Dice,
};

/// After this long without a line the connection counts as dead.
const SILENCE: u32 = 20;
/// Between a broken stream and the next.
const PAUSE: Duration = Duration::from_millis(300);
const SECOND: Duration = Duration::from_secs(1);

struct Follower<'r> {
    diary: &'r Diary,
    curtain: &'r Curtain,
    dice: Dice,
    reading: Reading,
    last: Option<String>,
}

/// Follows a log to its end, or to the run's; sometimes breaks the stream on purpose.
pub fn follow(client: Client<'_>, diary: &Diary, curtain: &Curtain, id: &str, dice: Dice) {
    let reading = Reading {
        id: id.to_owned(),
        connections: 0,
        lines: 0,
        ended: false,
    };
    let mut follower = Follower {
        diary,
        curtain,
        dice,
        reading,
        last: None,
    };
    let path = format!("/deployments/{id}/log/stream");
    while !follower.reading.ended && !curtain.is_down() {
        if let Ok(events) = client.api().try_events(&path, follower.last.as_deref()) {
            follower.reading.connections += 1;
            follower.read(&events);
        }
        curtain.sleep(PAUSE, Curtain::is_down);
    }
    let mut entries = diary.open();
    entries.following -= 1;
    entries.readings.push(follower.reading);
}

impl Follower<'_> {
    fn read(&mut self, events: &Events) {
        let mut silent = 0;
        while !self.curtain.is_down() && silent < SILENCE {
            match events.next(SECOND) {
                Next::Nothing => silent += 1,
                Next::Ended => return,
                Next::Event(event) => {
                    silent = 0;
                    self.take(event);
                    if self.reading.ended || self.dice.chance(1) {
                        return;
                    }
                }
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event.kind.as_str() {
            "line" => {
                let (number, expected) = (event.data["n"].as_u64(), self.reading.lines);
                if number != Some(expected) {
                    let id = &self.reading.id;
                    self.diary.breach(format!(
                        "a follower of {id} got line {number:?} where {expected} was due"
                    ));
                }
                self.reading.lines = number.map_or(expected, |number| number + 1);
                self.last = Some(event.id);
            }
            "end" => self.reading.ended = true,
            _ => {}
        }
    }
}
