//! A picture of which most stands and a little moves: a ticker that runs on over a frozen programme.
//!
//! It is worth knowing and no more, since a clock on a card and a still shot in which one small thing moves look the same.

use std::{collections::VecDeque, time::Duration};

use tallylight_model::FaultKind;

use super::{Condition, Look, Open, Phase, is_still, tell};
use crate::decode::PictureStats;

/// This share of the picture stands: a line of text over a tenth of it touches tiles of up to a fifth ...
pub(super) const STANDING: f32 = 0.8;
/// ... in so many pairs of pictures in a row ...
const PAIRS: u32 = 3;
/// ... over at least this long.
const SPAN: Duration = Duration::from_secs(10);

/// Watches for it.
#[derive(Default)]
pub(super) struct Partial {
    pairs: u32,
    since: Duration,
    open: Option<Open>,
}

impl Partial {
    /// Takes a decoded picture.
    pub(super) fn stats(&mut self, stats: &PictureStats, pending: &mut VecDeque<Condition>) {
        let at = stats.media_time;
        let partly = stats.change.as_ref().filter(|change| {
            stats.look == Look::Ordinary && change.same_share >= STANDING && !is_still(change)
        });
        let Some(change) = partly else { return self.reset(pending) };
        if self.pairs == 0 {
            self.since = change.since;
        }
        self.pairs = self.pairs.saturating_add(1);
        let since = self.since;
        if let Some(open) = &mut self.open {
            open.until = open.until.max(at);
            tell(pending, open, Phase::Lasts);
        } else if self.pairs >= PAIRS && at.saturating_sub(since) >= SPAN {
            let evidence = format!(
                "{:.0} % of the picture stands (limit {:.0} %), the rest moves",
                change.same_share * 100.0,
                STANDING * 100.0
            );
            let kind = FaultKind::PartialFreeze;
            let mut open = Open { kind, since, until: at, told: at, evidence };
            tell(pending, &mut open, Phase::Lasts);
            self.open = Some(open);
        }
    }

    /// Ends it where it was last seen.
    pub(super) fn reset(&mut self, pending: &mut VecDeque<Condition>) {
        self.pairs = 0;
        if let Some(mut open) = self.open.take() {
            tell(pending, &mut open, Phase::Ended);
        }
    }
}
