//! What API, exposition and wall are written from: the judgement and the little that stands beside it, at one moment.

use std::collections::VecDeque;

use tallylight_decide::{Decider, KillSwitch, lineup::Channel};
use tallylight_model::{ChannelId, FaultRecord, MonoTime, NodeId};

use crate::{calendar::Calendar, panel::Standing};

/// Channels read at once: while they are, nothing is judged. A platform has thousands, so they are read piece by piece, and
/// inputs are judged between two pieces.
const PIECE: usize = 32;

/// Everything that can be shown, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The judgement.
    pub decider: &'a Decider,
    /// The moment on both clocks.
    pub calendar: Calendar,
    /// The kill switch's position when it was last looked at.
    pub kill_switch: KillSwitch,
    /// The way to the panel; `None` where none is configured.
    pub panel: Option<Standing>,
    /// Faults that ended, the last one last.
    pub ended: &'a VecDeque<Ended>,
    /// The journal cannot be written: nothing is acted on.
    pub journal_fails: bool,
}

/// A fault that ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Who saw it.
    pub node: NodeId,
    /// What its agent said when it ended.
    pub fault: FaultRecord,
    /// When it ended.
    pub at: MonoTime,
}

impl<'a> View<'a> {
    /// The channels to read after this one.
    #[must_use]
    pub fn piece(&self, after: Option<&ChannelId>) -> Piece<'a> {
        Piece(self.decider.lineup().channels_after(after).take(PIECE).collect())
    }
}

/// Some channels, in order of their ids.
#[derive(Clone, Debug)]
pub struct Piece<'a>(Vec<&'a Channel>);

impl<'a> Piece<'a> {
    /// Its channels.
    pub fn channels(&self) -> impl Iterator<Item = &'a Channel> + use<'_, 'a> {
        self.0.iter().copied()
    }

    /// After which channel to go on; `None` if there are none left.
    #[must_use]
    pub fn last(&self) -> Option<ChannelId> {
        self.0.last().map(|channel| channel.id.clone())
    }
}
