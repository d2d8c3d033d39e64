//! The analyser: bytes in, events out.

use alloc::vec::Vec;
use core::time::Duration;

use tallylight_model::{MonoTime, Pid};

use crate::{
    CheckProfile, CheckReport, ClockReport, CueCounters, ElementaryReport, Event, Offset,
    PidReport, Position, Rates, Service, Totals, elementary::Elementary, flow::Flow, sync::Framer,
};

/// By which clock the time-outs run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckClock {
    /// Media time: for files, segments and whatever does not arrive in real time.
    #[default]
    Media,
    /// Arrival time while packets arrive: for datagrams.
    Arrival,
}

/// Which programs' components are cut into access units and watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// All of them.
    #[default]
    All,
    /// One, by its program number.
    Program(u16),
    /// None: packets, tables and clocks only.
    None,
}

/// Whose data is handed out with access units. Sizes, types and stamps always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Payload {
    /// Nobody's.
    None,
    /// Audio frames' and key pictures'.
    #[default]
    Keys,
    /// All.
    All,
}

/// What an analyser is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnalyserConfig {
    /// By which clock the time-outs run.
    pub clock: CheckClock,
    /// Whose access units are cut.
    pub wanted: Wanted,
    /// Whose data is handed out.
    pub payload: Payload,
    /// Which checks are looked at, and by which limits.
    pub profile: CheckProfile,
}

/// Analyses one transport stream.
///
/// Take all events after each push: 65,536 events and 64 MiB of payload are kept, further ones are dropped and counted. A
/// push of up to 1 MiB stays far below. Otherwise it does not matter how the bytes are cut.
pub struct Analyser {
    framer: Framer,
    flow: Flow,
}

impl Analyser {
    /// Starts at the begin of a stream, or anywhere in one.
    #[must_use]
    pub fn new(config: AnalyserConfig) -> Self {
        Self { framer: Framer::new(), flow: Flow::new(config) }
    }

    /// Takes bytes that arrived at `at`.
    pub fn push(&mut self, at: MonoTime, bytes: &[u8]) {
        self.flow.arrive(at);
        self.flow.totals.bytes += bytes.len() as u64;
        self.framer.push(bytes, &mut |frame| self.flow.frame(frame));
    }

    /// Returns the next event; `None` until more bytes bring one.
    pub fn poll(&mut self) -> Option<Event> {
        self.flow.out.pop()
    }

    /// Tells that what follows is the next segment of the same stream, without a discontinuity tag: a counter that jumps at its
    /// begin is [`FindingKind::BoundaryContinuity`].
    pub fn boundary(&mut self) {
        self.flow.boundary();
        self.framer.cut();
    }

    /// Tells that what follows is another piece of stream (`EXT-X-DISCONTINUITY`, a new connection): clocks and counters begin
    /// anew, media time goes on.
    pub fn discontinuity(&mut self) {
        self.flow.discontinuity();
        self.framer.cut();
    }

    /// Tells that packets before the next push were dropped on this side: what is missing is nobody's fault. Counters are not
    /// compared across it, access units that it cuts are damaged.
    pub fn unobserved(&mut self) {
        self.flow.unobserved();
        self.framer.cut();
    }

    /// Ends the stream: hands out the last access units, and judges what was too short to be judged before.
    pub fn finish(&mut self) {
        self.framer.finish(&mut |frame| self.flow.frame(frame));
        self.flow.finish();
    }

    /// Changes whose data is handed out, from the next access unit on.
    pub fn set_payload(&mut self, payload: Payload) {
        self.flow.config.payload = payload;
        for stream in &mut self.flow.streams {
            stream.set_payload(payload);
        }
    }

    /// Whether packets are being found.
    #[must_use]
    pub const fn in_sync(&self) -> bool {
        self.framer.in_sync()
    }

    /// Returns the services that the PAT lists, by program number.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.flow.programs.iter().filter(|program| program.listed).map(|program| &program.service)
    }

    /// Returns what was counted of the whole stream.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals { dropped_events: self.flow.out.dropped, ..self.flow.totals }
    }

    /// Returns the PIDs in ascending order, without null packets.
    #[must_use]
    pub fn pids(&self) -> Vec<PidReport> {
        let mut pids: Vec<_> =
            self.flow.pids.iter().filter(|s| s.counters.packets > 0).map(|s| s.report()).collect();
        pids.sort_unstable_by_key(|report| report.pid);
        pids
    }

    /// Returns one PID; `None` if nothing came on it.
    #[must_use]
    pub fn pid(&self, pid: Pid) -> Option<PidReport> {
        self.flow.pids.get(pid).map(|state| state.report())
    }

    /// Returns the components that are cut into access units or watched.
    pub fn elementary(&self) -> impl Iterator<Item = ElementaryReport> + '_ {
        self.flow.streams.iter().map(Elementary::report)
    }

    /// Returns by how much longer before its presentation a program's picture is sent than its main sound: the difference of the
    /// leads of both (see [`ElementaryReport::lead`]), second by second. No lip-sync: see there why a change of it matters.
    #[must_use]
    pub fn picture_ahead_of_sound(&self, program: u16) -> Option<Offset> {
        self.flow.programs.iter().find(|p| p.service.program == program)?.offset.report()
    }

    /// Returns where something of a component that is neither video nor audio came first, to 100 ms.
    #[must_use]
    pub fn seen_since(&self, pid: Pid) -> Option<Position> {
        self.flow.others.iter().find(|other| other.pid == pid)?.since
    }

    /// Returns the PIDs on which T2-MI packets with a right CRC came (ETSI TS 102 773), and since where, whatever tables say.
    pub fn t2mi(&self) -> impl Iterator<Item = (Pid, Position)> + '_ {
        self.flow.tables.t2mi()
    }

    /// Returns what was counted of cues for splices (SCTE 35), by PID.
    pub fn cues(&self) -> impl Iterator<Item = (Pid, CueCounters)> + '_ {
        self.flow.tables.cues()
    }

    /// Returns the rates of the whole stream, null packets included; `None` before its first complete second.
    #[must_use]
    pub fn rates(&self) -> Option<Rates> {
        self.flow.rate.rates()
    }

    /// Returns the rates of one program: its tables, clock and components. A PID that several programs list counts for one.
    #[must_use]
    pub fn service_rates(&self, program: u16) -> Option<Rates> {
        self.flow.programs.iter().find(|p| p.service.program == program)?.rate.rates()
    }

    /// Returns the clocks of the programs that the PAT lists, as far as PCRs came.
    pub fn clocks(&self) -> impl Iterator<Item = ClockReport> + '_ {
        let listed = self.flow.programs.iter().filter(|program| program.listed);
        listed.filter(|program| program.timeline.ticks() > 0).filter_map(|program| {
            Some(ClockReport {
                program: program.service.program,
                pid: program.service.pcr_pid?,
                interval: program.intervals.get(),
                furthest_off: program.meter.furthest_off(),
            })
        })
    }

    /// Returns the checks of TR 101 290 that the profile looks at, by number.
    pub fn checks(&self) -> impl Iterator<Item = CheckReport> + '_ {
        self.flow.checks()
    }

    /// Where the stream is: media time by the primary program, the first wanted one whose clock runs.
    #[must_use]
    pub fn position(&self) -> Position {
        self.flow.position(None)
    }

    /// Media time of one program; `None` if it is not there or its clock was not seen yet.
    #[must_use]
    pub fn media_time(&self, program: u16) -> Option<Duration> {
        let program = self.flow.programs.iter().find(|p| p.service.program == program)?;
        program.timeline.now(self.flow.place)
    }
}
