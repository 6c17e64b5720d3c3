//! One connection, as bad as TCP can be: it keeps the order of what it carries, but it may stand still, take bytes
//! that never arrive, end at different times for its two ends, and bring what was sent long after its sender has gone.

use std::collections::VecDeque;

use crate::dice::Dice;

/// Names a connection within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

/// What travels.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// An encoded frame.
    Frame(Vec<u8>),
    /// The end: nothing follows.
    End,
}

/// How one direction of a connection behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// What is sent arrives.
    #[default]
    Open,
    /// What is sent waits, and may arrive later.
    Stuck,
    /// What is sent is gone.
    Void,
}

/// One direction.
#[derive(Debug, Default)]
pub struct Lane {
    parcels: VecDeque<Parcel>,
    echo: Option<Parcel>,
    /// How it behaves.
    pub flow: Flow,
    /// When it carries again what waits, by the true time.
    late_until: Option<i64>,
}

impl Lane {
    /// Takes a parcel on.
    pub fn send(&mut self, parcel: Parcel) {
        if self.flow != Flow::Void {
            self.parcels.push_back(parcel);
        }
    }

    /// Whether something would arrive now.
    pub fn delivers(&self) -> bool {
        self.flow == Flow::Open && !self.parcels.is_empty()
    }

    /// The next arrival.
    pub fn arrive(&mut self) -> Option<Parcel> {
        if self.flow == Flow::Open {
            self.parcels.pop_front()
        } else {
            None
        }
    }

    /// Loses all that travels behind the first `kept` parcels, and ends.
    pub fn cut(&mut self, kept: usize) {
        self.parcels.truncate(kept);
        self.parcels.push_back(Parcel::End);
    }

    /// Keeps a copy of one of the frames that travel, to arrive once more at any later time.
    pub fn copy(&mut self, dice: &mut Dice) {
        let frames = self
            .parcels
            .iter()
            .filter(|parcel| matches!(parcel, Parcel::Frame(_)));
        let frames: Vec<Parcel> = frames.cloned().collect();
        self.echo = dice.pick(&frames).or(self.echo.take());
    }

    /// Whether a copy waits.
    pub const fn echoes(&self) -> bool {
        self.echo.is_some()
    }

    /// Lets the copy travel.
    pub fn echo(&mut self) {
        let ended = matches!(self.parcels.back(), Some(Parcel::End));
        if let Some(parcel) = self.echo.take().filter(|_| !ended) {
            self.send(parcel);
        }
    }

    /// Holds back what travels until then.
    pub fn delay(&mut self, until: i64) {
        if self.flow == Flow::Open {
            self.flow = Flow::Stuck;
            self.late_until = Some(until);
        }
    }

    /// Time has passed.
    pub fn pass(&mut self, now: i64) {
        if self.late_until.take_if(|until| *until <= now).is_some() && self.flow == Flow::Stuck {
            self.flow = Flow::Open;
        }
    }

    /// How many parcels travel.
    pub fn travelling(&self) -> usize {
        self.parcels.len()
    }

    /// Nothing arrives from here any more.
    pub fn close(&mut self) {
        self.parcels.clear();
        self.flow = Flow::Void;
    }
}

/// A connection of a host's agent to one replica of the control plane.
#[derive(Debug)]
pub struct Link {
    /// Its name.
    pub id: LinkId,
    /// Which host dialled.
    pub host: usize,
    /// From the agent to the control plane.
    pub up: Lane,
    /// From the control plane to the agent.
    pub down: Lane,
}
