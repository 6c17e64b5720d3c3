//! A container's log, live. Its lines have no numbers; after a loss they are told apart by time.

use std::{collections::VecDeque, mem};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    link::{Contact, First, Heard, Link},
    read,
};
use crate::{
    api::{Client, containers, logs::Line, sse::Event},
    exit::Failure,
};

/// How many lines are asked for after a loss, to find the place again.
const LOOK_BACK: u32 = 1000;

/// What following tells.
#[derive(Debug)]
pub enum News {
    /// Lines, in order, each once.
    Lines(Vec<Line>),
    /// The connection was lost; it is being made again.
    Lost(String),
    /// The connection is there again. After a longer loss, earlier lines may be missing.
    Back(Coverage),
    /// The container's log ended.
    End,
    /// The engine stopped giving the log; why.
    Broken(String),
}

/// Whether a new connection begins where the one before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// The last line of before was seen again, or all lines there are were asked for.
    Seamless,
    /// There were more lines in between than are asked for.
    Torn,
}

/// Follows one container.
#[derive(Debug)]
pub struct Follower<'c> {
    client: &'c Client,
    target: Uuid,
    container: &'c str,
    tail: Option<u32>,
    place: Place,
    link: Link,
    news: VecDeque<News>,
}

impl<'c> Follower<'c> {
    /// Follows from the last `tail` lines on.
    pub fn new(client: &'c Client, target: Uuid, container: &'c str, tail: Option<u32>) -> Self {
        Self {
            client,
            target,
            container,
            tail,
            place: Place::default(),
            link: Link::new(First::Tells),
            news: VecDeque::new(),
        }
    }

    /// The next news. Fails only for what does not pass by itself. Cancelling the wait loses
    /// nothing.
    pub async fn next(&mut self) -> Result<News, Failure> {
        loop {
            if let Some(news) = self.news.pop_front() {
                return Ok(news);
            }
            match self.hear().await? {
                Heard::Opened => self.place.look_back(),
                Heard::Events(events) => self.take(&events)?,
                Heard::Lost(why) => return Ok(News::Lost(why)),
            }
        }
    }

    async fn hear(&mut self) -> Result<Heard, Failure> {
        let (client, target, container) = (self.client, self.target, self.container);
        let tail = match self.place.last {
            Some(_) => Some(LOOK_BACK),
            None => self.tail,
        };
        self.link
            .next(async || containers::follow_log(client, target, container, tail).await)
            .await
    }

    fn take(&mut self, events: &[Event]) -> Result<(), Failure> {
        let mut lines = Vec::new();
        for event in events {
            match event.kind.as_str() {
                "line" => {
                    let line: Line = read(event)?;
                    let fit = self.place.take(line.at);
                    if self.link.hear() == Contact::Lost {
                        self.news.push_back(News::Back(match fit {
                            Fit::Repeat => Coverage::Seamless,
                            Fit::New => Coverage::Torn,
                        }));
                    }
                    if fit == Fit::Repeat {
                        continue;
                    }
                    lines.push(line);
                }
                "error" => {
                    self.flush(&mut lines);
                    self.news.push_back(News::Broken(broken(&event.data)));
                }
                "end" => {
                    self.flush(&mut lines);
                    self.news.push_back(News::End);
                }
                _ => {}
            }
        }
        self.flush(&mut lines);
        Ok(())
    }

    fn flush(&mut self, lines: &mut Vec<Line>) {
        if !lines.is_empty() {
            self.news.push_back(News::Lines(mem::take(lines)));
        }
    }
}

fn broken(data: &str) -> String {
    let said: Option<serde_json::Value> = serde_json::from_str(data).ok();
    let detail = said.as_ref().and_then(|said| said["detail"].as_str());
    detail.unwrap_or("no reason was given").to_owned()
}

/// The last line by its time, and how many lines had that very time.
#[derive(Debug, Default)]
struct Place {
    last: Option<(DateTime<Utc>, u64)>,
    search: Search,
}

/// Where in a stream the reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Search {
    /// Behind all lines of before.
    #[default]
    Done,
    /// Among lines of before; so many of the last moment were met.
    Looking { met: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    New,
    Repeat,
}

impl Place {
    fn look_back(&mut self) {
        self.search = Search::Looking { met: 0 };
    }

    fn take(&mut self, at: DateTime<Utc>) -> Fit {
        if let (Search::Looking { met }, Some((last, count))) = (self.search, self.last) {
            let met = met + u64::from(at == last);
            if at < last || (at == last && met <= count) {
                self.search = Search::Looking { met };
                return Fit::Repeat;
            }
        }
        self.search = Search::Done;
        self.last = match self.last {
            Some((last, count)) if last == at => Some((last, count + 1)),
            _ => Some((at, 1)),
        };
        Fit::New
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(milliseconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::milliseconds(milliseconds)
    }

    #[test]
    fn after_a_loss_lines_of_before_are_left_out_by_their_time() {
        let mut place = Place::default();
        for time in [1, 2, 2] {
            assert_eq!(place.take(at(time)), Fit::New);
        }
        place.look_back();
        let again = [
            (1, Fit::Repeat),
            (2, Fit::Repeat),
            (2, Fit::Repeat),
            (2, Fit::New),
            (3, Fit::New),
        ];
        for (step, (time, fit)) in again.into_iter().enumerate() {
            assert_eq!(place.take(at(time)), fit, "step {step}");
        }
        place.look_back();
        assert_eq!(place.take(at(9)), Fit::New);
        assert_eq!(place.take(at(9)), Fit::New);
    }
}
