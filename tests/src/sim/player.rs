//! A virtual player, as an agent keeps one beside each stream: a stall outlasts its reason, by as long as filling takes.

use super::platform::Form;

/// Steps in a second.
pub(super) const SECOND: u64 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Filling,
    Playing,
    Stalled,
}

/// An account of media that came against media played, in steps.
#[derive(Clone, Debug)]
pub(super) struct Player {
    state: State,
    level: u64,
    start: u64,
    resume: u64,
}

impl Player {
    /// A player that has just begun: with three segments, or a second of packets.
    pub(super) const fn filling(form: Form) -> Self {
        let (start, resume) = match form {
            Form::Packets => (SECOND, SECOND),
            Form::Segments(secs) => (3 * secs * SECOND, 2 * secs * SECOND),
        };
        Self { state: State::Filling, level: 0, start, resume }
    }

    /// A player that has been playing for long, and got its last media so many steps ago.
    pub(super) const fn playing(form: Form, since: u64) -> Self {
        let new = Self::filling(form);
        Self { state: State::Playing, level: new.start.saturating_sub(since), ..new }
    }

    /// Takes media.
    pub(super) fn take(&mut self, steps: u64) {
        self.level = (self.level + steps).min(4 * self.start);
        let enough = match self.state {
            State::Filling => self.start,
            State::Stalled => self.resume,
            State::Playing => return,
        };
        if self.level >= enough {
            self.state = State::Playing;
        }
    }

    /// Plays one step.
    pub(super) const fn play(&mut self) {
        if matches!(self.state, State::Playing) {
            self.level = self.level.saturating_sub(1);
            if self.level == 0 {
                self.state = State::Stalled;
            }
        }
    }

    pub(super) fn is_dry(&self) -> bool {
        self.state == State::Stalled
    }

    pub(super) fn is_playing(&self) -> bool {
        self.state == State::Playing
    }
}
