//! What API, exposition and wall are written from: the judgement and the little that stands beside it, at one moment.

use tallylight_decide::{Decider, KillSwitch};

use crate::{calendar::Calendar, panel::Standing};

/// Everything that can be shown, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The judgement.
    pub decider: &'a Decider,
    /// The moment on both clocks.
    pub calendar: Calendar,
    /// The kill switch's position when it was last looked at.
    pub kill_switch: KillSwitch,
    /// The way to the panel.
    pub panel: Standing,
}
