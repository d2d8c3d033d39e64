//! What goes wrong with a channel's sources, its programme and its processing.

use std::{collections::BTreeSet, time::Duration};

use tallylight_decide::{
    incident::Subject,
    lineup::{Channel, Source},
};
use tallylight_model::{FaultKind, MonoTime, StreamId};

use super::{Draw, HARD, LASTS, PICTURE, loosely};
use crate::sim::{START, platform::Trouble};

pub(super) fn source(draw: &mut Draw<'_>) -> Option<()> {
    let kind = draw.dice.pick(HARD);
    bad_source(draw, kind)
}

pub(super) fn source_picture(draw: &mut Draw<'_>) -> Option<()> {
    let kind = draw.dice.pick(PICTURE);
    bad_source(draw, kind)
}

fn bad_source(draw: &mut Draw<'_>, kind: FaultKind) -> Option<()> {
    let channel = draw.delivered()?;
    let id = channel.sources[0].stream.clone();
    let (at, lasts) = (draw.at, draw.lasts());
    draw.trouble(at, lasts, Trouble::Source(id.clone(), kind));
    draw.whole(Subject::Source(id), at, lasts, &[kind]);
    Some(())
}

/// Not dead: packets lost now and then, for some seconds each time.
pub(super) fn source_gray(draw: &mut Draw<'_>) -> Option<()> {
    let id = draw.delivered()?.sources[0].stream.clone();
    let kind = draw.dice.pick(&[FaultKind::Continuity, FaultKind::NoData, FaultKind::DecodeErrors]);
    let lasts = Duration::from_secs(LASTS);
    draw.pulses(lasts, (1500, 7000), (3000, 12_000), &Trouble::Source(id.clone(), kind));
    draw.whole(Subject::Source(id), draw.at, lasts, &[kind]);
    loosely(draw);
    Some(())
}

pub(super) fn source_flaps(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered()?;
    let kind = draw.dice.pick(HARD);
    let lasts = Duration::from_secs(LASTS + 60);
    for source in channel.sources.iter().take(2) {
        let what = Trouble::Source(source.stream.clone(), kind);
        draw.pulses(lasts, (5000, 20_000), (15_000, 60_000), &what);
        draw.whole(Subject::Source(source.stream.clone()), draw.at, lasts, &[kind]);
        if draw.dice.one_in(2) {
            break;
        }
    }
    loosely(draw);
    Some(())
}

pub(super) fn source_and_backup(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered().filter(|it| it.sources.len() > 1)?;
    let kind = draw.dice.pick(HARD);
    let (at, lasts) = (draw.at, draw.lasts());
    let mut from = at;
    for source in &channel.sources {
        draw.trouble(from, lasts, Trouble::Source(source.stream.clone(), kind));
        draw.whole(Subject::Source(source.stream.clone()), from, lasts, &[kind]);
        from = from + draw.dice.millis(15_000);
    }
    // They may as well be one provider's, if they are.
    let of: BTreeSet<_> = channel.sources.iter().filter_map(|it| it.provider.clone()).collect();
    for fault in &mut draw.scenario.faults {
        fault.or.extend(of.iter().cloned().map(Subject::Provider));
        fault.must = false;
    }
    Some(())
}

pub(super) fn backup(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.channel();
    let source = channel.sources.get(1)?.stream.clone();
    let kind = draw.dice.pick(HARD);
    let (at, lasts) = (draw.at, draw.lasts());
    draw.trouble(at, lasts, Trouble::Source(source.clone(), kind));
    draw.whole(Subject::Source(source), at, lasts, &[kind]);
    Some(())
}

/// The backup looks good, and what is made of it is not.
pub(super) fn unfit_backup(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered().filter(|it| it.sources.len() > 1)?;
    let (at, lasts) = (draw.at, draw.lasts());
    let first = channel.sources[0].stream.clone();
    draw.trouble(at, lasts, Trouble::Source(first.clone(), FaultKind::NoData));
    draw.whole(Subject::Source(first), at, lasts, &[FaultKind::NoData]);
    let second = channel.sources[1].stream.clone();
    unfit(draw, &channel, &second, (START, lasts + Duration::from_secs(60)));
    Some(())
}

/// What is made of a source is bad for a time, which is then named as the channel's processing.
pub(super) fn unfit(
    draw: &mut Draw<'_>,
    channel: &Channel,
    source: &StreamId,
    (from, lasts): (MonoTime, Duration),
) {
    draw.trouble(from, lasts, Trouble::Unfit(source.clone(), FaultKind::NoVideo));
    draw.whole(Subject::Processing(channel.id.clone()), draw.at, Duration::ZERO, &[]);
}

/// Too short to be anything.
pub(super) fn short(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered()?;
    let kind = draw.dice.pick(&[FaultKind::Black, FaultKind::NoVideo, FaultKind::NoData]);
    let lasts = Duration::from_millis(draw.dice.magnitude(200, 3500));
    let id = channel.sources[0].stream.clone();
    draw.trouble(draw.at, lasts, Trouble::Source(id.clone(), kind));
    draw.whole(Subject::Source(id), draw.at, lasts, &[kind]);
    draw.whole(Subject::Processing(channel.id), draw.at, lasts, &[kind]);
    loosely(draw);
    Some(())
}

/// Every source shows it, each at its own offset.
pub(super) fn programme(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered()?;
    let kind = draw.dice.pick(PICTURE);
    let (at, lasts) = (draw.at, draw.lasts());
    for source in &channel.sources {
        let behind = Source::offset(source);
        draw.trouble(at + behind, lasts, Trouble::Source(source.stream.clone(), kind));
    }
    draw.whole(Subject::Programme(channel.id), at, lasts, &[kind]);
    Some(())
}

trait Offset {
    fn offset(&self) -> Duration;
}

impl Offset for Source {
    /// What is stated is true; what is not stated is like it.
    fn offset(&self) -> Duration {
        self.offset.unwrap_or(Duration::from_millis(700 * u64::from(self.priority - 1)))
    }
}

pub(super) fn processing(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered()?;
    let (at, lasts) = (draw.at, draw.lasts());
    draw.trouble(at, lasts, Trouble::Hang(channel.id.clone()));
    draw.whole(Subject::Processing(channel.id), at, lasts, &[FaultKind::NoData]);
    Some(())
}

pub(super) fn processing_sick(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered()?;
    let kinds = [FaultKind::NoVideo, FaultKind::DecodeErrors, FaultKind::Black, FaultKind::Freeze];
    let kind = draw.dice.pick(&kinds);
    let (at, lasts) = (draw.at, draw.lasts());
    draw.trouble(at, lasts, Trouble::Sick(channel.id.clone(), kind));
    draw.whole(Subject::Processing(channel.id), at, lasts, &[kind]);
    Some(())
}

/// A glitch of the source, over which the processing trips.
pub(super) fn glitch_then_hang(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered()?;
    let (at, lasts) = (draw.at, draw.lasts());
    let id = channel.sources[0].stream.clone();
    let glitch = Duration::from_millis(draw.dice.magnitude(500, 4000));
    draw.trouble(at, glitch, Trouble::Source(id.clone(), FaultKind::NoData));
    draw.trouble(at + glitch / 2, lasts, Trouble::Hang(channel.id.clone()));
    draw.whole(Subject::Processing(channel.id), at, lasts, &[FaultKind::NoData]);
    draw.whole(Subject::Source(id), at, glitch, &[FaultKind::NoData]);
    Some(())
}
