//! Whether two streams of a channel carry the same programme, and how far apart in time: learnt from their fingerprints.
//!
//! How loud a programme is from one tenth of a second to the next survives every encoder, and no two programmes share it. The
//! last half minute of one stream is laid over the last minute and a half of the other at every distance; what counts are the
//! *steps* of the level, which makes the right distance stand out by itself. Two such finds in a row that agree make the offset
//! known, three halves of a minute without any make it another programme. Where there is too little to hear (silence, a tone, a
//! beat that fits everywhere) nothing changes, for ten minutes; and seconds in which a stream is not well are not listened to.
//!
//! Where two streams carry the very same coded frames, their hashes say so at once, and exactly: that is how it is known which
//! source a delivery really shows.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::time::Duration;

use tallylight_model::{Fingerprint, MonoTime, Slice};

use crate::{
    lineup::{AgentNo, Lineup, StreamNo},
    view::ProgrammeView,
};

/// Sources of a channel that are compared.
const MAX_SOURCES: usize = 4;
/// Two streams are compared this often.
const EVERY: Duration = Duration::from_secs(10);
/// Tenths of a second of one stream that are laid over the other.
const WINDOW: usize = 300;
/// How much later than the other a stream may be, in tenths of a second.
const LATEST: usize = 600;
/// Distances that must have been looked at before it is something else: nearly all that there are.
const ALL: usize = 2 * LATEST - 2 * LATEST / 20;
/// Tenths of a second that are kept of a stream, one more for the first step.
const KEPT: usize = WINDOW + LATEST + 1;
/// Coded frames that are kept of a stream.
const KEPT_FRAMES: usize = 128;
/// Tenths in a window whose step must be known in both.
const KNOWN: u32 = 240;
/// Steps have at least this mean square, in square half decibels: 1 dB.
const LIVELY: i64 = 4;
/// Steps beyond this are cut, in half decibels, so that no single one decides.
const LARGEST_STEP: i16 = 40;
/// From this correlation on it is the same, in thousandths ...
const ALIKE: i64 = 500;
/// ... if it is this much more than at any other distance.
const DISTINCT: i64 = 120;
/// Distances this near are the same, in tenths of a second.
const NEAR: i32 = 5;
/// Up to this correlation it is something else.
const UNLIKE: i64 = 350;
/// Finds in a row that make the offset known.
const FINDS: u8 = 2;
/// Comparisons in a row without any that make it another programme.
const MISSES: u8 = 3;
/// What was learnt holds for so long with nothing to confirm it.
const LASTS: Duration = Duration::from_secs(600);
/// The same frames that make two streams the same.
const SAME_FRAMES: usize = 3;
/// The same where it is only asked which of two sources a stream shows.
const SOME_FRAMES: usize = 2;
/// The same frames come this far apart at most, in milliseconds.
const FRAME_ERROR: i64 = 300;
/// An agent's word on a stream is taken until it has said nothing for this long.
const SILENT: Duration = Duration::from_secs(5);

/// By how much one stream is later than another; negative where it is earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lag {
    tenths: i32,
}

impl Lag {
    /// The moment at which the one stream has what the other has `at` a moment.
    pub(crate) fn after(self, at: MonoTime) -> MonoTime {
        if self.tenths < 0 { at - self.span() } else { at + self.span() }
    }

    /// How far apart they are.
    pub(crate) fn span(self) -> Duration {
        Fingerprint::TENTH * self.tenths.unsigned_abs()
    }

    /// In seconds.
    pub(crate) fn seconds(self) -> f64 {
        f64::from(self.tenths) / 10.0
    }

    /// The difference of two stated offsets.
    pub(crate) fn between(later: Duration, earlier: Duration) -> Self {
        let tenths = |span: Duration| i32::try_from(span.as_millis() / 100).unwrap_or(i32::MAX / 2);
        Self { tenths: tenths(later) - tenths(earlier) }
    }

    const fn is_near(self, other: Self) -> bool {
        (self.tenths - other.tenths).abs() <= NEAR
    }
}

/// What is known of two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Programme {
    /// Nothing.
    Unknown,
    /// They carry the same programme, the one so much later than the other.
    Same(Lag),
    /// They carry different ones.
    Other,
}

impl Programme {
    /// The same said of the second.
    const fn turned(self) -> Self {
        match self {
            Self::Same(lag) => Self::Same(Lag { tenths: -lag.tenths }),
            other => other,
        }
    }
}

impl From<Programme> for ProgrammeView {
    fn from(programme: Programme) -> Self {
        match programme {
            Programme::Unknown => Self::Unknown,
            Programme::Same(lag) => Self::Same(lag.seconds()),
            Programme::Other => Self::Other,
        }
    }
}

/// What all streams sound like, and what that says of each and its channel's sources.
#[derive(Debug, Default)]
pub(crate) struct Likeness {
    /// By number.
    streams: Vec<Option<Box<Heard>>>,
}

/// What is kept of one stream.
#[derive(Debug)]
struct Heard {
    trace: Trace,
    /// What it has to do with each source of its channel.
    kin: [Kin; MAX_SOURCES],
    next: MonoTime,
}

/// What one agent heard of a stream.
#[derive(Debug)]
struct Trace {
    agent: AgentNo,
    at: MonoTime,
    was_well: bool,
    /// Levels of tenths of a second, the last one the newest.
    levels: VecDeque<u8>,
    /// The tenth of a second after the last level, counted from the clock's origin.
    end: u64,
    /// Hashes of coded frames and the millisecond of each.
    frames: VecDeque<(u32, u64)>,
}

/// What was learnt of two streams.
#[derive(Clone, Copy, Debug, Default)]
struct Kin {
    known: Option<Known>,
    /// The last find, and how many in a row agree with it.
    found: Option<(Lag, u8)>,
    misses: u8,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    programme: Programme,
    at: MonoTime,
}

/// What one comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Alike(Lag),
    Unlike,
    /// There is too little to hear, or it fits at more than one distance.
    Unclear,
}

impl Likeness {
    /// Puts a new lineup in force: what is known of streams that stay, beside the same sources, stays.
    pub(crate) fn relist(&mut self, old: &Lineup, new: &Lineup) {
        let mut were = core::mem::take(&mut self.streams);
        self.streams.resize_with(new.numbers().len(), || None);
        for was in old.numbers() {
            let Some(no) = new.no(old.id(was)) else { continue };
            let Some(heard) = were.get_mut(was.index()).and_then(Option::take) else { continue };
            let sources = |lineup: &Lineup, no: StreamNo| -> Vec<_> {
                lineup.sources_beside(no).iter().map(|&it| lineup.id(it).clone()).collect()
            };
            if sources(old, was) == sources(new, no) {
                self.streams[no.index()] = Some(heard);
            }
        }
    }

    /// Takes in a slice, `well` if nothing was wrong with the stream in it, and compares the stream with its channel's sources
    /// when it is time to.
    pub(crate) fn slice(
        &mut self,
        lineup: &Lineup,
        agent: AgentNo,
        stream: StreamNo,
        slice: &Slice,
        well: bool,
    ) {
        if slice.fingerprint.is_empty() {
            return;
        }
        let place = &mut self.streams[stream.index()];
        let heard = place.get_or_insert_with(|| Box::new(Heard::new(agent, slice.end)));
        if heard.trace.agent != agent {
            if slice.end < heard.trace.at + SILENT {
                return;
            }
            // Another agent hears it earlier or later by the network between them.
            heard.trace = Trace::new(agent, slice.end);
        }
        heard.trace.hear(slice, well);
        if slice.end < heard.next {
            return;
        }
        heard.next = slice.end + EVERY;
        let sources = lineup.sources_beside(stream).iter().enumerate().take(MAX_SOURCES);
        // Of two sources the later in the list keeps what is known of both.
        for (at, &source) in sources.take_while(|(_, source)| **source != stream) {
            self.compare(stream, at, source, slice.end);
        }
    }

    fn compare(&mut self, stream: StreamNo, at: usize, source: StreamNo, now: MonoTime) {
        let (Some(one), Some(other)) = (self.heard(stream), self.heard(source)) else { return };
        let mut kin = one.kin[at];
        kin.learn(&one.trace, &other.trace, now);
        if let Some(heard) = &mut self.streams[stream.index()] {
            heard.kin[at] = kin;
        }
    }

    fn heard(&self, stream: StreamNo) -> Option<&Heard> {
        self.streams.get(stream.index())?.as_deref()
    }

    /// What was learnt of a stream and a source of its channel.
    pub(crate) fn of(
        &self,
        lineup: &Lineup,
        stream: StreamNo,
        source: StreamNo,
        now: MonoTime,
    ) -> Programme {
        let sources = lineup.sources_beside(stream);
        let place = |no: StreamNo| sources.iter().position(|it| *it == no);
        let Some(at) = place(source) else { return Programme::Unknown };
        match place(stream) {
            Some(own) if own < at => self.known(source, own, now).turned(),
            _ => self.known(stream, at, now),
        }
    }

    fn known(&self, stream: StreamNo, at: usize, now: MonoTime) -> Programme {
        let kin = self.heard(stream).and_then(|it| it.kin.get(at));
        let known = kin.and_then(|it| it.known).filter(|it| now.since(it.at) <= LASTS);
        known.map_or(Programme::Unknown, |it| it.programme)
    }

    /// Whether what a stream has since a moment are the very coded frames of a source.
    pub(crate) fn is_identical(&self, stream: StreamNo, source: StreamNo, since: MonoTime) -> bool {
        let traces = self.heard(stream).zip(self.heard(source));
        traces.is_some_and(|(one, other)| {
            same_frames(&one.trace, &other.trace, since, SOME_FRAMES).is_some()
        })
    }
}

impl Heard {
    fn new(agent: AgentNo, at: MonoTime) -> Self {
        let next = at + EVERY;
        Self { trace: Trace::new(agent, at), kin: [Kin::default(); MAX_SOURCES], next }
    }
}

impl Trace {
    fn new(agent: AgentNo, at: MonoTime) -> Self {
        Self { agent, at, was_well: true, levels: VecDeque::new(), end: 0, frames: VecDeque::new() }
    }

    fn hear(&mut self, slice: &Slice, well: bool) {
        self.at = self.at.max(slice.end);
        let start = slice.end - slice.length - Fingerprint::BEHIND;
        // A fingerprint is of the second before its slice: in both nothing may have been wrong.
        let well = core::mem::replace(&mut self.was_well, well) && well;
        let tenth = Fingerprint::TENTH.as_nanos() as u64;
        let first = (start.as_nanos() + tenth / 2) / tenth;
        let Fingerprint { sound, coded } = &slice.fingerprint;
        for (index, &level) in (first..).zip(sound) {
            self.push(index, if well { level } else { 0 });
        }
        for frame in coded {
            let at = (start + frame.after).as_nanos() / 1_000_000;
            if self.frames.len() == KEPT_FRAMES {
                self.frames.pop_front();
            }
            self.frames.push_back((frame.hash, at));
        }
    }

    /// Puts a level in its place. What is too old for that is dropped, what was skipped is not known.
    fn push(&mut self, index: u64, level: u8) {
        if index >= self.end + KEPT as u64 {
            self.levels.clear();
        } else if self.end > 0 {
            for _ in self.end..index {
                self.levels.push_back(0);
            }
        }
        if index < self.end {
            let back = usize::try_from(self.end - index).unwrap_or(usize::MAX);
            let place = self.levels.len().checked_sub(back);
            if let Some(known) = place.and_then(|place| self.levels.get_mut(place)) {
                *known = level;
            }
            return;
        }
        self.levels.push_back(level);
        self.end = index + 1;
        while self.levels.len() > KEPT {
            self.levels.pop_front();
        }
    }

    /// The steps between levels, the last one first, and how many of them are known up to each.
    fn steps(&self) -> Steps {
        let mut steps =
            Steps { of: Vec::with_capacity(KEPT), energy: alloc::vec![0], known: alloc::vec![0] };
        let (mut energy, mut known) = (0_i64, 0_u32);
        for (&after, &before) in self.levels.iter().rev().zip(self.levels.iter().rev().skip(1)) {
            let is_known = after > 0 && before > 0;
            let step = if is_known { i16::from(after) - i16::from(before) } else { 0 };
            let step = step.clamp(-LARGEST_STEP, LARGEST_STEP);
            energy += i64::from(step) * i64::from(step);
            known += u32::from(is_known);
            steps.of.push(step);
            steps.energy.push(energy);
            steps.known.push(known);
        }
        steps
    }
}

/// The steps of a trace, newest first, with their sums up to each.
struct Steps {
    of: Vec<i16>,
    energy: Vec<i64>,
    known: Vec<u32>,
}

impl Steps {
    /// Whether the window that begins so many tenths ago says enough, and the sum of its squares.
    fn energy_at(&self, from: usize) -> Option<i64> {
        let to = from + WINDOW;
        let known = self.known.get(to)? - self.known[from];
        let energy = self.energy[to] - self.energy[from];
        (known >= KNOWN && energy >= LIVELY * i64::from(known)).then_some(energy)
    }

    /// The correlation of this stream's window with another's, in thousandths.
    fn correlation(&self, from: usize, other: &Self, other_from: usize) -> Option<i64> {
        let energy = self.energy_at(from)?;
        let product = energy.checked_mul(other.energy_at(other_from)?)?;
        let (a, b) = (&self.of[from..from + WINDOW], &other.of[other_from..other_from + WINDOW]);
        let sum: i32 = a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        let root = i64::try_from(product.unsigned_abs().isqrt()).ok().filter(|&root| root > 0)?;
        Some(i64::from(sum) * 1_000 / root)
    }
}

impl Kin {
    fn learn(&mut self, one: &Trace, other: &Trace, now: MonoTime) {
        let exact = same_frames(one, other, now - EVERY - EVERY, SAME_FRAMES);
        let finding = match exact {
            Some(lag) => Finding::Alike(lag),
            None => self.near(one, other).unwrap_or_else(|| search(one, other)),
        };
        match finding {
            Finding::Alike(lag) => {
                let agreed = self.found.filter(|(last, _)| last.is_near(lag)).map_or(0, |it| it.1);
                let finds = agreed.saturating_add(1);
                self.found = Some((lag, finds));
                self.misses = 0;
                if finds >= FINDS || exact.is_some() {
                    self.known = Some(Known { programme: Programme::Same(lag), at: now });
                }
            }
            Finding::Unlike => {
                self.found = None;
                self.misses = self.misses.saturating_add(1);
                if self.misses >= MISSES {
                    self.known = Some(Known { programme: Programme::Other, at: now });
                }
            }
            Finding::Unclear => {}
        }
    }

    /// Looks where they fitted last, which nearly always is where they fit.
    fn near(&self, one: &Trace, other: &Trace) -> Option<Finding> {
        let (lag, _) = self.found?;
        let (a, b) = (one.steps(), other.steps());
        let around = lag.tenths - NEAR..=lag.tenths + NEAR;
        let fits = around.filter_map(|tenths| Some((at(one, &a, other, &b, tenths)?, tenths)));
        let (best, tenths) = fits.max()?;
        (best >= ALIKE).then_some(Finding::Alike(Lag { tenths }))
    }
}

/// The correlation at a distance: by so many tenths the first is later.
fn at(one: &Trace, a: &Steps, other: &Trace, b: &Steps, tenths: i32) -> Option<i64> {
    // The newest step of the first and of the second are so far apart.
    let ahead = i64::try_from(one.end).ok()? - i64::try_from(other.end).ok()?;
    let shift = i64::from(tenths) - ahead;
    // A positive shift goes back in the second, a negative one in the first.
    let (from, other_from) = if shift >= 0 { (0, shift) } else { (-shift, 0) };
    a.correlation(usize::try_from(from).ok()?, b, usize::try_from(other_from).ok()?)
}

/// Looks at every distance.
fn search(one: &Trace, other: &Trace) -> Finding {
    let (a, b) = (one.steps(), other.steps());
    let latest = LATEST as i32;
    let fits: Vec<(i64, i32)> = (-latest..=latest)
        .filter_map(|tenths| Some((at(one, &a, other, &b, tenths)?, tenths)))
        .collect();
    let Some(&(best, tenths)) = fits.iter().max() else { return Finding::Unclear };
    let apart = |other: &&(i64, i32)| (other.1 - tenths).abs() > NEAR;
    let next = fits.iter().filter(apart).map(|it| it.0).max().unwrap_or(0);
    if best >= ALIKE && best - next >= DISTINCT {
        Finding::Alike(Lag { tenths })
    } else if best <= UNLIKE && fits.len() >= ALL {
        Finding::Unlike
    } else {
        Finding::Unclear
    }
}

/// The lag of a stream behind another that had the same coded frames, at least so many that the first has since a moment.
fn same_frames(one: &Trace, other: &Trace, since: MonoTime, least: usize) -> Option<Lag> {
    let since = since.as_nanos() / 1_000_000;
    let recent = one.frames.iter().filter(|(_, at)| *at >= since);
    let mut lags: Vec<(i64, u32)> = recent
        .filter_map(|&(hash, at)| {
            let (_, was) = other.frames.iter().rev().find(|(theirs, _)| *theirs == hash)?;
            Some((i64::try_from(at).ok()? - i64::try_from(*was).ok()?, hash))
        })
        .collect();
    lags.sort_unstable();
    let (median, _) = *lags.get(lags.len() / 2)?;
    lags.retain(|(lag, _)| (lag - median).abs() <= FRAME_ERROR);
    lags.sort_unstable_by_key(|(_, hash)| *hash);
    lags.dedup_by_key(|(_, hash)| *hash);
    let tenths = i32::try_from((median + 50).div_euclid(100)).ok()?;
    (lags.len() >= least).then_some(Lag { tenths })
}

#[cfg(test)]
mod tests;
