//! One program of the stream, and the clock of a stream whose programs are not known.

use tallylight_model::{Pcr, Pid};

use crate::{
    Component, MediaKind, Position, Service,
    accuracy::Meter,
    buffer::{Clock, System},
    clock::Intervals,
    offset::OffsetMeter,
    packet::Header,
    rates::RateMeter,
    timeline::Timeline,
    watch::Watch,
};
use alloc::vec::Vec;
use core::{ops::Range, time::Duration};

/// A program that the PAT lists, or listed before.
pub(crate) struct Program {
    pub(crate) service: Service,
    pub(crate) timeline: Timeline,
    pub(crate) meter: Meter,
    /// By how much longer before its time its picture is sent than its main sound.
    pub(crate) offset: OffsetMeter,
    pub(crate) intervals: Intervals,
    /// Its last PCRs, and the buffers of its tables.
    pub(crate) clock: Clock,
    pub(crate) system: System,
    /// Whether the PAT lists it.
    pub(crate) listed: bool,
    /// Whether its components are cut and watched.
    pub(crate) wanted: bool,
    /// Its components among those that are cut.
    pub(crate) components: Range<usize>,
    /// The distance to the next PCR says nothing: a segment began, or packets were dropped on this side.
    pub(crate) excused: bool,
    pub(crate) rate: RateMeter,
    /// Packets of its PIDs, when rates were last taken.
    pub(crate) packets: u64,
    /// Whether its PMT was read, from where the PAT says now.
    pub(crate) mapped: bool,
    /// The version and CRC of its last PMT, from wherever.
    pub(crate) pmt_version: Option<(u8, u32)>,
    /// The components by the PMT that was elsewhere.
    pub(crate) former: Vec<Component>,
    /// Where its entitlement messages are.
    pub(crate) entitlements: Vec<Pid>,
    pub(crate) pmt: Watch,
    pub(crate) pcrs: Watch,
    pub(crate) video: Watch,
    pub(crate) audio: Watch,
    /// Up to here by the clock of the checks, nothing of it can be found to stay out: only then all is asked again.
    pub(crate) due: Duration,
}

impl Program {
    pub(crate) fn new(program: u16) -> Self {
        Self {
            service: Service { program, ..Service::default() },
            timeline: Timeline::default(),
            meter: Meter::default(),
            offset: OffsetMeter::default(),
            intervals: Intervals::default(),
            clock: Clock::default(),
            system: System::default(),
            listed: false,
            wanted: false,
            components: 0..0,
            excused: false,
            rate: RateMeter::default(),
            packets: 0,
            mapped: false,
            pmt_version: None,
            former: Vec::new(),
            entitlements: Vec::new(),
            pmt: Watch::default(),
            pcrs: Watch::default(),
            video: Watch::default(),
            audio: Watch::default(),
            due: Duration::ZERO,
        }
    }

    /// The PAT lists it.
    pub(crate) fn list(&mut self, pmt_pid: Pid, wanted: bool) {
        if self.service.pmt_pid.replace(pmt_pid) != Some(pmt_pid)
            && core::mem::take(&mut self.mapped)
        {
            self.former = core::mem::take(&mut self.service.components);
        }
        if !self.listed {
            (self.pmt, self.pcrs, self.video, self.audio) = Default::default();
        }
        (self.listed, self.wanted) = (true, wanted);
    }
}

/// A listed component that is neither video nor audio.
pub(crate) struct Other {
    pub(crate) pid: Pid,
    pub(crate) program: u16,
    pub(crate) kind: MediaKind,
    /// Where something of it came first, to the sweep that saw it.
    pub(crate) since: Option<Position>,
    pub(crate) watch: Watch,
}

impl Other {
    pub(crate) fn new(pid: Pid, program: u16, kind: MediaKind) -> Self {
        Self { pid, program, kind, since: None, watch: Watch::default() }
    }
}

/// The clock of the first PID that carries a PCR, until a program has one: what a stream without tables is timed by.
#[derive(Default)]
pub(crate) struct Stray {
    pid: Option<Pid>,
    pub(crate) timeline: Timeline,
    settled: bool,
}

impl Stray {
    /// Whether a program's clock has taken over.
    pub(crate) const fn settled(&self) -> bool {
        self.settled
    }

    pub(crate) fn settle(&mut self) {
        self.settled = true;
    }

    pub(crate) fn announce(&mut self) {
        self.timeline.announce();
    }

    pub(crate) fn pcr(&mut self, header: &Header, pcr: Pcr, place: u64) {
        if *self.pid.get_or_insert(header.pid) == header.pid {
            if header.discontinuity() {
                self.timeline.announce_with(pcr);
            }
            self.timeline.pcr(pcr, place, Duration::ZERO);
        }
    }
}
