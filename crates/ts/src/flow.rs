//! What happens to each packet: counters, clocks, and on to tables and components.

use alloc::vec::Vec;
use core::{cell::OnceCell, time::Duration};

use tallylight_model::{MonoTime, Pcr, Pid};

use crate::{
    AnalyserConfig, Check, CheckClock, Condition, Event, Finding, FindingKind, Indicator, Position,
    Setting, Totals,
    buffer::{self, Change},
    continuity::Verdict,
    elementary::{Elementary, Here},
    ledger::{Ledger, Subject},
    outbox::Outbox,
    packet::{self, Header, PACKET, PAYLOAD},
    pids::{PidTable, Role},
    program::{Other, Program, Stray},
    rates::RateMeter,
    si::Information,
    structure::Told,
    sync::{Frame, Run},
    tables::Tables,
    timeline::Step,
    watch::Watch,
};

/// Bytes in which packets must be found, or the input is called no transport stream.
const MAX_SEARCH: u64 = 64 << 10;
/// The checks run every so many packets for each program, of which [`MANY`] count: 11 ms of a 4 Mb/s stream.
const CHECK_EVERY: u64 = 32;
const MANY: usize = 16;
/// A pause counts towards time-outs for at most this long: one between arrivals towards all of them, one in media time (packets
/// of a capture are missing) towards those of tables. See [`checks`](crate::checks).
pub(crate) const MAX_PAUSE: Duration = Duration::from_millis(250);

/// Everything behind the framer.
pub(crate) struct Flow {
    pub(crate) config: AnalyserConfig,
    pub(crate) out: Outbox,
    pub(crate) totals: Totals,
    pub(crate) pids: PidTable,
    pub(crate) tables: Tables,
    pub(crate) programs: Vec<Program>,
    pub(crate) streams: Vec<Elementary>,
    pub(crate) stray: Stray,
    pub(crate) pat: Watch,
    /// Packets of the PAT's PID, whatever they carry.
    pub(crate) pat_packets: Watch,
    /// Up to here by the clock of the checks, neither can be found to stay out.
    pub(crate) pat_due: Duration,
    pub(crate) cat: Watch,
    pub(crate) information: Information,
    pub(crate) ledger: Ledger,
    /// Packets so far, with skipped bytes counted as packets: what clocks are interpolated by.
    pub(crate) place: u64,
    /// When the last bytes arrived, and for how long packets have been arriving.
    pub(crate) at: Option<MonoTime>,
    pub(crate) traffic: Duration,
    pub(crate) next_check: u64,
    /// When the second of the rates began.
    pub(crate) window: Option<Duration>,
    pub(crate) rate: RateMeter,
    pub(crate) next_sweep: Duration,
    /// Scrambled packets at the last sweep.
    pub(crate) scrambled_before: u64,
    /// The last sweep that packets had been scrambled before, if they still are.
    pub(crate) scrambled_at: Option<(Duration, Position)>,
    /// Components that are not cut.
    pub(crate) others: Vec<Other>,
    pub(crate) told: Told,
    /// Room for what the buffers of a program come to.
    pub(crate) changes: Vec<Change>,
    pub(crate) follows_buffers: bool,
    skipped: u64,
    /// Where the first of two corrupted sync bytes stood.
    corrupted: Option<Position>,
    /// Since when synchronisation is lost.
    lost: Option<Position>,
    ever_in_sync: bool,
    /// Bytes since packets were last found.
    searched: u64,
    resets: u32,
    boundaries: u32,
    /// PIDs whose last payload is in the run that is being read.
    lent: Vec<Pid>,
}

impl Flow {
    pub(crate) fn new(config: AnalyserConfig) -> Self {
        let mut flow = Self {
            config,
            out: Outbox::default(),
            totals: Totals::default(),
            pids: PidTable::new(),
            tables: Tables::default(),
            programs: Vec::new(),
            streams: Vec::new(),
            stray: Stray::default(),
            pat: Watch::default(),
            pat_packets: Watch::default(),
            pat_due: Duration::ZERO,
            cat: Watch::default(),
            information: Information::default(),
            ledger: Ledger::new(),
            place: 0,
            at: None,
            traffic: Duration::ZERO,
            next_check: CHECK_EVERY,
            window: None,
            rate: RateMeter::default(),
            next_sweep: Duration::ZERO,
            scrambled_before: 0,
            scrambled_at: None,
            others: Vec::new(),
            told: Told::default(),
            changes: Vec::new(),
            follows_buffers: buffer::is_followed(&config.profile),
            skipped: 0,
            corrupted: None,
            lost: None,
            ever_in_sync: false,
            searched: 0,
            resets: 0,
            boundaries: 0,
            lent: Vec::new(),
        };
        flow.assign_roles();
        flow
    }

    pub(crate) fn arrive(&mut self, at: MonoTime) {
        let pause = self.at.map_or(Duration::ZERO, |before| at.since(before));
        self.traffic += pause.min(MAX_PAUSE);
        self.at = Some(at);
    }

    /// The place now, by the clock of a program (its index) or the primary one.
    pub(crate) fn position(&self, program: Option<usize>) -> Position {
        Position {
            packet: self.totals.packets,
            at: self.at.unwrap_or_default(),
            media: self.media(program),
        }
    }

    pub(crate) fn media(&self, program: Option<usize>) -> Option<Duration> {
        if let Some(program) = program.and_then(|i| self.programs.get(i))
            && let Some(own) = program.timeline.now(self.place)
        {
            return Some(own);
        }
        let primary = || self.programs[self.primary()?].timeline.now(self.place);
        primary().or_else(|| self.stray.timeline.now(self.place))
    }

    /// The program whose clock stands for the stream: the first wanted one whose clock runs.
    pub(crate) fn primary(&self) -> Option<usize> {
        let programs = || self.programs.iter().enumerate().filter(|(_, p)| p.timeline.runs());
        let (index, _) = programs().find(|(_, p)| p.wanted).or_else(|| programs().next())?;
        Some(index)
    }

    pub(crate) fn find(&mut self, kind: FindingKind, pid: Option<Pid>, program: Option<usize>) {
        let position = self.position(program);
        self.find_at(kind, pid, program, position);
    }

    pub(crate) fn find_at(
        &mut self,
        kind: FindingKind,
        pid: Option<Pid>,
        program: Option<usize>,
        position: Position,
    ) {
        let program = program.and_then(|i| Some(self.programs.get(i)?.service.program));
        let checks = kind.indicators();
        let mut told = checks.is_empty();
        for &check in checks {
            told |= self.config.profile.setting(check) == Setting::Fault;
            self.count(check, (pid, program), position);
        }
        if told {
            self.out.push(Event::Finding(Finding { kind, pid, program, position }));
        }
    }

    fn count(&mut self, check: Indicator, subject: Subject, position: Position) {
        if self.config.profile.setting(check) != Setting::Off {
            let now = self.when(&position);
            self.ledger.event(check, subject, now, position);
        }
    }

    /// A place by the clock of the checks.
    pub(crate) fn when(&self, position: &Position) -> Duration {
        match self.config.clock {
            CheckClock::Media => position.media.unwrap_or_default(),
            CheckClock::Arrival => position.at.since(MonoTime::ZERO),
        }
    }

    pub(crate) fn frame(&mut self, frame: Frame<'_>) {
        match frame {
            Frame::Packets(run) => {
                self.corrupted = None;
                let mut at = 0;
                while let Some(raw) = run.packets(at).next() {
                    let mut taken = self.streak(run, at);
                    if taken == 0 {
                        self.packet(raw, run.bytes, at);
                        taken = 1;
                    }
                    at += taken * run.stride;
                    self.totals.packets += taken as u64;
                    self.place += taken as u64;
                    if self.place >= self.next_check {
                        let programs = self.programs.len().clamp(1, MANY) as u64;
                        self.next_check = self.place + CHECK_EVERY * programs;
                        self.run_checks();
                    }
                }
                for pid in self.lent.drain(..) {
                    self.pids.entry(pid).continuity.keep(run.bytes);
                }
            }
            Frame::Corrupted => {
                self.totals.sync_byte_errors += 1;
                self.find(FindingKind::SyncByte, None, None);
                self.corrupted.get_or_insert(self.position(None));
                self.totals.packets += 1;
                self.place += 1;
            }
            Frame::Lost => {
                self.totals.sync_losses += 1;
                let since = self.corrupted.take().unwrap_or_else(|| self.position(None));
                self.lose_sync(since);
                // The two packets are searched again and counted there; time does not go back with them.
                self.stray.timeline.keep(self.place);
                self.programs.iter_mut().for_each(|program| program.timeline.keep(self.place));
                self.place -= 2;
            }
            Frame::Searching { bytes } => {
                self.totals.skipped_bytes += bytes;
                self.skipped += bytes;
                self.place += self.skipped / PACKET as u64;
                self.skipped %= PACKET as u64;
                self.searched += bytes;
                if self.searched >= MAX_SEARCH {
                    self.no_stream();
                }
            }
            Frame::Gained { .. } => {
                self.ever_in_sync = true;
                self.searched = 0;
                if let Some(since) = self.lost.take() {
                    self.condition(Check::SyncLoss, None, None, false, since);
                }
            }
        }
    }

    fn no_stream(&mut self) {
        if self.lost.is_none() {
            let bytes = if self.ever_in_sync { self.searched } else { self.totals.bytes };
            self.find(FindingKind::NotTransportStream { bytes }, None, None);
            let here = self.position(None);
            self.lose_sync(if self.ever_in_sync { here } else { Position { packet: 0, ..here } });
        }
    }

    fn lose_sync(&mut self, since: Position) {
        self.lost = Some(since);
        self.condition(Check::SyncLoss, None, None, true, since);
    }

    pub(crate) fn condition(
        &mut self,
        check: Check,
        pid: Option<Pid>,
        program: Option<usize>,
        holds: bool,
        since: Position,
    ) {
        let position = self.position(program);
        self.condition_at(check, pid, program, holds, since, position);
    }

    pub(crate) fn condition_at(
        &mut self,
        check: Check,
        pid: Option<Pid>,
        program: Option<usize>,
        holds: bool,
        since: Position,
        position: Position,
    ) {
        let program = program.and_then(|i| Some(self.programs.get(i)?.service.program));
        let indicators = check.indicators();
        let mut told = indicators.is_empty();
        for &indicator in indicators {
            told |= self.config.profile.setting(indicator) == Setting::Fault;
            self.mark(indicator, (pid, program), holds, since, position);
        }
        if told {
            let condition = Condition { check, pid, program, holds, since, position };
            self.out.push(Event::Condition(condition));
        }
    }

    /// Notes that a condition of a check began or ended.
    pub(crate) fn mark(
        &mut self,
        indicator: Indicator,
        subject: Subject,
        holds: bool,
        since: Position,
        position: Position,
    ) {
        if self.config.profile.setting(indicator) == Setting::Off {
            return;
        }
        if holds {
            let since = self.when(&since);
            self.ledger.begin(indicator, subject, since, position);
        } else {
            let now = self.when(&position);
            self.ledger.end(indicator, subject, now);
        }
    }

    /// Takes packets from a place in a run on that only carry on what their component has in progress, as most do, and returns
    /// how many; [`packet`](Self::packet) would do the same with each of them.
    fn streak(&mut self, run: Run<'_>, at: usize) -> usize {
        self.streak_of(run, at).unwrap_or(0)
    }

    fn streak_of(&mut self, run: Run<'_>, at: usize) -> Option<usize> {
        let mut packets = run.packets(at);
        let (pid, counter) = packet::plain(packets.next()?)?;
        let state = self.pids.get_mut(pid)?;
        let Role::Elementary(stream) = state.role else { return None };
        let stream = self.streams.get_mut(usize::from(stream))?;
        let timeline = &mut self.programs.get_mut(stream.owner)?.timeline;
        let known = state.resets == self.resets && state.boundaries == self.boundaries;
        if !known || state.scrambled || !state.continuity.goes_on(counter) {
            return None;
        }
        let room =
            if timeline.is_sparse() { 1 } else { self.next_check.saturating_sub(self.place) };
        let payloads = packet::alike(run.packets(at)).take(room.max(1) as usize);
        let taken = stream.carry_on(self.totals.packets, payloads);
        if let Some(others) = taken.checked_sub(1) {
            state.counters.packets += taken as u64;
            let place = at + others * run.stride + PACKET - PAYLOAD;
            state.continuity.go_on(counter.wrapping_add(others as u8) & 0x0F, place);
            timeline.touch(self.place);
            timeline.touch_alike(self.place + others as u64);
        }
        Some(taken)
    }

    /// Takes the packet that begins at `at` in a run.
    fn packet(&mut self, raw: &[u8; PACKET], run: &[u8], at: usize) {
        if packet::pid(raw) == Pid::NULL {
            self.totals.null_packets += 1;
        } else {
            self.carried(&Header::parse(raw), raw, run, at);
        }
    }

    fn carried(&mut self, header: &Header, raw: &[u8; PACKET], run: &[u8], at: usize) {
        let payload = header.payload(raw);
        let state = self.pids.entry(header.pid);
        state.counters.packets += 1;
        state.counters.unit_starts += u64::from(header.unit_start);
        if state.resets != self.resets {
            state.resets = self.resets;
            state.continuity.reset();
        }
        let crossing = state.boundaries != self.boundaries;
        state.boundaries = self.boundaries;
        if header.has_payload && !state.continuity.is_lent() {
            self.lent.push(header.pid);
        }
        let verdict = state.continuity.handle(header, run, at);
        let (role, clock, awaited) = (state.role, state.clock.is_some(), state.awaited);
        let scrambling = header.scrambled || state.scrambled;
        if header.transport_error {
            state.counters.transport_errors += 1;
            self.totals.transport_errors += 1;
            self.find(FindingKind::TransportError, Some(header.pid), self.owner(header.pid));
        }
        if verdict != Verdict::Expected {
            self.judge(header.pid, verdict, crossing);
        }
        if awaited {
            self.other_came(header.pid);
        }
        if !header.transport_error {
            if (clock || !self.stray.settled())
                && let Some(pcr) = header.pcr(raw)
            {
                self.clock(header, pcr, clock);
            }
            if scrambling {
                self.note_scrambling(header, role);
            }
        }
        if matches!(verdict, Verdict::LegalDuplicate | Verdict::ExcessDuplicate) {
            return;
        }
        let lost = matches!(verdict, Verdict::Error { .. } | Verdict::Late { .. });
        match role {
            Role::None => {}
            Role::Tables(reader) => {
                self.table_packet(reader, header);
                if header.scrambled || header.transport_error {
                    self.tables.lost(reader);
                } else {
                    self.sections(reader, lost, header.unit_start, payload);
                }
            }
            Role::Elementary(stream) => self.elementary(stream, lost, header, payload),
        }
    }

    /// The program that lists a PID, by its index.
    pub(crate) fn owner(&self, pid: Pid) -> Option<usize> {
        let number = self.pids.get(pid)?.program?;
        self.programs.iter().position(|program| program.service.program == number)
    }

    /// Counts what the continuity counter says.
    fn judge(&mut self, pid: Pid, verdict: Verdict, crossing: bool) {
        if verdict == Verdict::First {
            return self.first_of(pid);
        }
        let counters = &mut self.pids.entry(pid).counters;
        let kind = match verdict {
            Verdict::First | Verdict::Expected => return,
            Verdict::LegalDuplicate => {
                counters.legal_duplicates += 1;
                return;
            }
            Verdict::ExcessDuplicate => {
                counters.excess_duplicates += 1;
                self.totals.excess_duplicates += 1;
                FindingKind::ExcessDuplicate
            }
            Verdict::Error { missing } | Verdict::Late { missing } if crossing => {
                counters.boundary_continuity += 1;
                self.totals.boundary_continuity += 1;
                FindingKind::BoundaryContinuity { missing }
            }
            Verdict::Error { missing } | Verdict::Late { missing } => {
                counters.late_packets += u64::from(matches!(verdict, Verdict::Late { .. }));
                counters.continuity_errors += 1;
                counters.missing_packets += u64::from(missing);
                self.totals.continuity_errors += 1;
                self.totals.missing_packets += u64::from(missing);
                FindingKind::Continuity { missing }
            }
        };
        self.find(kind, Some(pid), self.owner(pid));
    }

    /// Gives a PCR to the programs that have their clock on its PID, or to the stray clock while no program has one.
    fn clock(&mut self, header: &Header, pcr: Pcr, listed: bool) {
        let Some(clocked) = self.pids.entry(header.pid).pcr(self.place) else {
            if !listed {
                self.run_checks_by(header.pid);
                self.stray.pcr(header, pcr, self.place);
            }
            return;
        };
        let own = (clocked.first..=clocked.last)
            .filter(|&i| self.programs[i].service.pcr_pid == Some(header.pid));
        let (mut steady, mut runs, mut awaited) = (!header.discontinuity(), true, false);
        for program in own.map(|i| &self.programs[i]) {
            steady &= program.timeline.goes_on(pcr, self.place);
            runs &= program.timeline.runs();
            awaited |= program.pcrs.holds();
        }
        if !steady {
            // What stayed out up to here did so by the time before the step.
            self.run_checks_by(header.pid);
        }
        let mut start = Duration::ZERO;
        if !runs {
            // Where PCRs came before the tables, time began with the first of them.
            self.stray.pcr(header, pcr, self.place);
            start = self.media(None).unwrap_or_default();
        }
        let mut told = false;
        for i in clocked.first..=clocked.last {
            if self.programs[i].service.pcr_pid != Some(header.pid) {
                continue;
            }
            let program = &mut self.programs[i];
            if header.discontinuity() {
                program.timeline.announce_with(pcr);
            }
            let step = program.timeline.pcr(pcr, self.place, start);
            let here = self.position(Some(i));
            if !told {
                self.compare(i, pcr, step, here);
            }
            self.follow_buffers(i, pcr, step, here);
            let Some(kind) = self.step(i, step, here) else { continue };
            if core::mem::replace(&mut told, true) {
                continue;
            }
            if awaited && matches!(kind, FindingKind::PcrGap { .. }) {
                // The condition has counted that it stayed out, and not yet that it steps.
                let number = self.programs[i].service.program;
                self.count(Indicator::PcrDiscontinuity, (Some(header.pid), Some(number)), here);
            } else {
                self.find_at(kind, Some(header.pid), Some(i), here);
            }
        }
        self.run_checks_by(header.pid);
    }

    /// A program's clock made a step; returns what is to be said of it.
    fn step(&mut self, i: usize, step: Step, here: Position) -> Option<FindingKind> {
        if step == Step::Suspect {
            return None;
        }
        let program = &mut self.programs[i];
        let excused = core::mem::take(&mut program.excused);
        if let Step::Passed(gap) = step {
            if !excused {
                program.intervals.add(gap);
            }
            self.excuse_tables(i, gap);
        }
        self.pcr_seen(i, here);
        match step {
            Step::Passed(gap) if gap > self.config.profile.limits.pcr && !excused => {
                Some(FindingKind::PcrGap { gap })
            }
            Step::Jump(ticks) => Some(FindingKind::PcrJump { ticks }),
            Step::First | Step::Passed(_) | Step::Suspect => None,
        }
    }

    /// Media time made a step: packets of a capture are missing, or stamps carry the time. Tables could not come meanwhile.
    fn excuse_tables(&mut self, program: usize, step: Duration) {
        let silent = step.saturating_sub(MAX_PAUSE);
        if self.config.clock == CheckClock::Arrival || silent.is_zero() {
            return;
        }
        self.programs[program].pmt.excuse(silent);
        self.programs[program].pcrs.excuse(silent);
        for s in self.programs[program].components.clone() {
            self.note_signs(s);
            self.streams[s].life.excuse(silent);
        }
        if self.primary() == Some(program) {
            self.pat.excuse(silent);
            self.pat_packets.excuse(silent);
            self.cat.excuse(silent);
            self.excuse_si(silent);
        }
    }

    /// Opens and closes the condition that a component is scrambled.
    fn note_scrambling(&mut self, header: &Header, role: Role) {
        if header.scrambled {
            self.pids.entry(header.pid).counters.scrambled_packets += 1;
            self.totals.scrambled_packets += 1;
        }
        if !header.has_payload {
            return;
        }
        self.pids.entry(header.pid).scrambled = header.scrambled;
        let Role::Elementary(stream) = role else { return };
        // Packets before the PMT may have been scrambled as well.
        let state = self.streams.get(usize::from(stream)).map(|stream| stream.scrambled_since);
        if state.is_none_or(|since| since.is_some() == header.scrambled) {
            return;
        }
        let Some(owner) = self.owner(header.pid) else { return };
        let here = self.position(Some(owner));
        let index = usize::from(stream);
        if index < self.streams.len() {
            self.drop_stamps(index);
        }
        let Some(stream) = self.streams.get_mut(index) else { return };
        let since = if header.scrambled {
            stream.scrambled_since = Some(here);
            Some(here)
        } else {
            stream.scrambled_since.take()
        };
        if let Some(since) = since {
            let (pid, holds) = (Some(header.pid), header.scrambled);
            self.condition(Check::Scrambled, pid, Some(owner), holds, since);
        }
    }

    /// Gives a payload to its component and takes what access units it completes.
    fn elementary(&mut self, stream: u16, lost: bool, header: &Header, payload: &[u8]) {
        let index = usize::from(stream);
        let Some(stream) = self.streams.get_mut(index) else { return };
        let owner = stream.owner;
        let Some(program) = self.programs.get_mut(owner) else { return };
        program.timeline.touch(self.place);
        let here = Here {
            packet: self.totals.packets,
            place: self.place,
            at: self.at.unwrap_or_default(),
            timeline: &program.timeline,
            media: OnceCell::new(),
        };
        stream.push(&here, lost, header, payload);
        if stream.is_idle() {
            return;
        }
        let carry = stream.carry.take();
        let stamped = stream.stamped.take();
        stream.drain(&mut program.timeline, &mut self.out);
        if let Some((here, step)) = stamped {
            self.stamped(index, here, step);
        }
        if let Some((base, ahead)) = carry {
            // What was there before the step must not be taken for what comes after it.
            self.run_checks();
            let timeline = &mut self.programs[owner].timeline;
            if let Some(step) = timeline.carry(base, ahead, self.place) {
                self.excuse_tables(owner, step);
            }
        }
    }

    /// The next segment of the same stream begins.
    pub(crate) fn boundary(&mut self) {
        self.boundaries = self.boundaries.wrapping_add(1);
        self.programs.iter_mut().for_each(|program| program.excused = true);
        self.await_clocks();
    }

    pub(crate) fn discontinuity(&mut self) {
        self.await_clocks();
        self.cut_all();
        self.stray.announce();
        for program in &mut self.programs {
            program.timeline.announce();
            program.meter.reset();
        }
    }

    /// Packets were dropped on this side.
    pub(crate) fn unobserved(&mut self) {
        self.await_clocks();
        for program in &mut self.programs {
            program.excused = true;
            program.meter.reset();
        }
        (0..self.programs.len()).for_each(|i| self.forget_buffers(i));
        self.resets = self.resets.wrapping_add(1);
        self.tables.lost_all();
        for stream in &mut self.streams {
            stream.lost();
        }
        self.restart_stamps();
    }

    /// Counters begin anew and access units end here.
    fn cut_all(&mut self) {
        self.resets = self.resets.wrapping_add(1);
        self.tables.lost_all();
        self.flush();
        self.restart_stamps();
    }

    pub(crate) fn flush(&mut self) {
        for stream in &mut self.streams {
            let Some(program) = self.programs.get_mut(stream.owner) else { continue };
            stream.flush();
            stream.drain(&mut program.timeline, &mut self.out);
        }
    }

    pub(crate) fn finish(&mut self) {
        if !self.ever_in_sync && self.totals.bytes > 0 {
            self.no_stream();
        }
        self.flush();
        self.run_checks();
    }
}
