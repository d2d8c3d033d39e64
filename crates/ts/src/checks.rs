//! The checks of TR 101 290 that ask for what stays out, and those that look at a stream's clocks and stamps.
//!
//! Each is a [`Watch`] that is told when its thing is seen and asked, now and then, whether it is overdue. Its clock is
//! media time or the time during which packets arrive: with nothing arriving at all no check runs on, because that is one
//! condition of the input and not ten of the stream.

use core::time::Duration;

use tallylight_model::{Pcr, Pid};

use crate::{
    ChangeKind, Check, CheckClock, CheckReport, FindingKind, Indicator, MediaKind, Position,
    Service, Setting, Unavailable,
    elementary::Elementary,
    flow::{Flow, MAX_PAUSE},
    offset::Whole,
    program::{Other, Program},
    rates::RateMeter,
    timeline::Step,
    watch::{Change, Watch},
};

/// Over which rates are taken.
const WINDOW: Duration = Duration::from_secs(1);
/// Stamps and PCRs that stay out are awaited so much longer than the limit, for the clock may go in steps of this (see
/// [`timeline`](crate::timeline)). Since when they stay out is told without it.
const STEP: Duration = Duration::from_millis(500);
/// Stamps that are apart by less than so many quarters of the limit were not missed between. Pictures are sent out of order, so
/// that two neighbours may be nearer in time than their places are.
const NEAR: u32 = 3;
/// What needs no exact moment is looked at this often.
const SWEEP: Duration = Duration::from_millis(100);

impl Flow {
    /// Runs every check as of now.
    pub(crate) fn run_checks(&mut self) {
        self.check_stream();
        for i in 0..self.programs.len() {
            self.check_program(i);
        }
    }

    /// Runs the checks that the clock on a PID moves: those of its programs, and where it is the stream's own, those of the
    /// stream and of programs without a clock.
    pub(crate) fn run_checks_by(&mut self, clock: Pid) {
        let has_it = |program: &Program| program.service.pcr_pid == Some(clock);
        let primary = self.primary();
        if primary.is_none_or(|i| has_it(&self.programs[i])) {
            self.check_stream();
            for i in 0..self.programs.len() {
                let program = &self.programs[i];
                if has_it(program) || !program.timeline.runs() {
                    self.check_program(i);
                }
            }
        } else if let Some(clocked) = self.pids.get(clock).and_then(|state| state.clock) {
            for i in clocked.first..=clocked.last {
                if has_it(&self.programs[i]) {
                    self.check_program(i);
                }
            }
        }
    }

    /// Runs the checks of the whole stream.
    fn check_stream(&mut self) {
        let here = self.position(None);
        if let Some(now) = self.clock_at(&here) {
            if now >= self.pat_due {
                self.check_pat(now, here);
            }
            if now >= self.next_sweep {
                self.next_sweep = now + SWEEP;
                self.sweep(now, here);
                self.run_window(now);
            }
        }
    }

    fn check_pat(&mut self, now: Duration, here: Position) {
        let (limit, repetition) = (self.config.profile.limits.pat, self.config.profile.repetition);
        let change = self.pat.table_overdue(now, limit, repetition, here);
        self.report(Check::PatMissing, Some(Pid::PAT), None, change);
        let change = self.pat_packets.table_overdue(now, limit, repetition, here);
        self.mark_change(Indicator::Pat, change, here);
        let due = [&self.pat, &self.pat_packets].map(|watch| watch.table_due(limit, repetition));
        self.pat_due = due.into_iter().flatten().fold(now.saturating_add(limit), Duration::min);
    }

    /// A place of late by the clock of the checks: media time of a program or of the stream, or the time in which packets arrive.
    pub(crate) fn clock_at(&self, here: &Position) -> Option<Duration> {
        match self.config.clock {
            CheckClock::Media => here.media,
            CheckClock::Arrival => {
                let ago = self.at.map_or(Duration::ZERO, |at| at.since(here.at));
                Some(self.traffic.saturating_sub(ago.min(MAX_PAUSE)))
            }
        }
    }

    fn check_program(&mut self, i: usize) {
        let here = self.position(Some(i));
        let Some(now) = self.clock_at(&here).filter(|_| self.programs[i].wanted) else { return };
        if now > self.programs[i].due || self.comes_back(i, now, here) {
            self.check_all(i, now, here);
            self.programs[i].due = self.due(i, now);
        }
    }

    /// Notes what came of a program's components. True, with the rest not noted yet, where something had stayed out.
    fn comes_back(&mut self, i: usize, now: Duration, here: Position) -> bool {
        let program = &mut self.programs[i];
        for stream in &mut self.streams[program.components.clone()] {
            if stream.alive {
                if stream.packets.holds() {
                    return true;
                }
                stream.packets.renew(now, here);
                stream.alive = false;
            }
            let Some(began) = stream.began else { continue };
            let watch = match stream.coding.kind() {
                MediaKind::Video => Some(&mut program.video),
                _ => Some(&mut program.audio).filter(|_| stream.main),
            };
            if let Some(watch) = watch {
                if watch.holds() {
                    return true;
                }
                watch.renew(now, began);
            }
            stream.began = None;
        }
        false
    }

    /// Up to when nothing of a program can be found to stay out, as of now, where everything was asked for. What is watched from
    /// later on has its limit from then on.
    fn due(&self, i: usize, now: Duration) -> Duration {
        let (limits, repetition) = (&self.config.profile.limits, self.config.profile.repetition);
        let stamps = limits.pts + STEP;
        let (pcr, pid_video, pid_audio) = (limits.pcr + STEP, limits.pid_video, limits.pid_audio);
        let all = [limits.pmt, limits.video, limits.audio, pid_video, pid_audio, stamps, pcr];
        let soonest = now.saturating_add(all.into_iter().fold(Duration::MAX, Duration::min));
        let program = &self.programs[i];
        let own = [
            program.pmt.table_due(limits.pmt, repetition),
            program.pcrs.due(pcr),
            program.video.due(limits.video),
            program.audio.due(limits.audio),
        ];
        let streams = self.streams[program.components.clone()].iter().flat_map(|stream| {
            let limit = match stream.coding.kind() {
                MediaKind::Video => limits.pid_video,
                _ => limits.pid_audio,
            };
            let stamps = stream.stamps.due(stamps).filter(|_| !stream.still);
            [stream.packets.due(limit), stamps]
        });
        own.into_iter().chain(streams).flatten().fold(soonest, Duration::min)
    }

    /// Looks at all that may stay out of a program.
    fn check_all(&mut self, i: usize, now: Duration, here: Position) {
        let (limits, repetition) = (self.config.profile.limits, self.config.profile.repetition);
        let pmt_pid = self.programs[i].service.pmt_pid;
        let change = self.programs[i].pmt.table_overdue(now, limits.pmt, repetition, here);
        self.report(Check::PmtMissing, pmt_pid, Some(i), change);
        self.check_clock(i, now, here);

        let (mut video, mut audio) = (false, false);
        for s in self.programs[i].components.clone() {
            let stream = &mut self.streams[s];
            let pid = stream.pid;
            let limit = match stream.coding.kind() {
                MediaKind::Video => limits.pid_video,
                _ => limits.pid_audio,
            };
            // What has just come may have stayed out for too long since it was last asked for.
            let out = stream.packets.overdue(now, limit, here);
            let back = core::mem::take(&mut stream.alive)
                .then(|| stream.packets.renew(now, here))
                .flatten();
            let late = (stream.stamps.runs() && !stream.still)
                .then(|| stream.stamps.overdue(now, limits.pts + STEP, here))
                .flatten();
            let began = stream.began.take();
            let at = began.and_then(|began| self.clock_at(&began)).unwrap_or(now);
            let stream = &self.streams[s];
            let (kind, main) = (stream.coding.kind(), stream.main);
            self.report(Check::StampsMissing, Some(pid), Some(i), late);
            self.report(Check::PidMissing, Some(pid), Some(i), out);
            self.report(Check::PidMissing, Some(pid), Some(i), back);
            let program = &mut self.programs[i];
            let (watch, limit, check, any) = match kind {
                MediaKind::Video => (&mut program.video, limits.video, Check::NoVideo, &mut video),
                _ if main => (&mut program.audio, limits.audio, Check::NoAudio, &mut audio),
                _ => continue,
            };
            *any = true;
            let Some(began) = began else { continue };
            let out = watch.overdue(at, limit, began);
            let back = watch.renew(now, began);
            self.report(check, None, Some(i), out);
            self.report(check, None, Some(i), back);
        }
        let program = &mut self.programs[i];
        let video = watched(&mut program.video, video, now, limits.video, here);
        let audio = watched(&mut program.audio, audio, now, limits.audio, here);
        self.report(Check::NoVideo, None, Some(i), video);
        self.report(Check::NoAudio, None, Some(i), audio);
    }

    /// Asks for a program's clock, once it has begun. Where several programs have the same, the first tells.
    fn check_clock(&mut self, i: usize, now: Duration, here: Position) {
        let clock = self.programs[i].service.pcr_pid;
        let same = |p: &Program| p.wanted && p.service.pcr_pid == clock;
        if clock.is_none() || !self.programs[i].pcrs.runs() || self.programs[..i].iter().any(same) {
            return;
        }
        let limit = self.config.profile.limits.pcr + STEP;
        let change = self.programs[i].pcrs.overdue(now, limit, here);
        self.report(Check::PcrMissing, clock, Some(i), change);
    }

    /// A program's clock is where it is.
    pub(crate) fn pcr_seen(&mut self, i: usize, here: Position) {
        let Some(now) = self.clock_at(&here) else { return };
        let program = &mut self.programs[i];
        let (clock, change) = (program.service.pcr_pid, program.pcrs.renew(now, here));
        self.report(Check::PcrMissing, clock, Some(i), change);
    }

    /// Something begins here, across which clocks are not compared.
    pub(crate) fn await_clocks(&mut self) {
        for i in 0..self.programs.len() {
            let here = self.position(Some(i));
            let Some(now) = self.clock_at(&here) else { continue };
            let pcrs = &mut self.programs[i].pcrs;
            if pcrs.runs() && !pcrs.holds() {
                // The clock may be behind by a step.
                pcrs.await_from(now + STEP, here);
            }
        }
    }

    /// A program's clock is awaited on another PID from here on, or nowhere.
    pub(crate) fn move_clock(&mut self, i: usize, from: Option<Pid>, to: Option<Pid>) {
        let (now, here) = self.table_clock(Some(i));
        let mut before = core::mem::take(&mut self.programs[i].pcrs);
        if before.runs() && to.is_some() {
            self.programs[i].pcrs.await_from(now, here);
        }
        self.report(Check::PcrMissing, from, Some(i), before.close());
    }

    pub(crate) fn pat_seen(&mut self) {
        let (now, here) = self.table_clock(None);
        let (limit, repetition) = (self.config.profile.limits.pat, self.config.profile.repetition);
        let late = self.pat.table_overdue(now, limit, repetition, here);
        let over = self.pat.seen(now, limit, here);
        self.report(Check::PatMissing, Some(Pid::PAT), None, late);
        self.report(Check::PatMissing, Some(Pid::PAT), None, over);
    }

    /// A packet came on the PAT's PID.
    pub(crate) fn pat_packet_seen(&mut self) {
        let (now, here) = self.table_clock(None);
        let (limit, repetition) = (self.config.profile.limits.pat, self.config.profile.repetition);
        let late = self.pat_packets.table_overdue(now, limit, repetition, here);
        let over = self.pat_packets.seen(now, limit, here);
        self.mark_change(Indicator::Pat, late, here);
        self.mark_change(Indicator::Pat, over, here);
    }

    pub(crate) fn cat_seen(&mut self) {
        let (now, here) = self.table_clock(None);
        let limit = self.config.profile.limits.cat;
        let late = self.scrambled_at.and_then(|_| self.cat.overdue(now, limit, here));
        let over = self.cat.seen(now, limit, here);
        self.report(Check::CatMissing, Some(Pid::CAT), None, late);
        self.report(Check::CatMissing, Some(Pid::CAT), None, over);
    }

    pub(crate) fn pmt_seen(&mut self, pid: Pid, number: u16) {
        let same = |p: &Program| p.service.program == number && p.service.pmt_pid == Some(pid);
        let Some(i) = self.programs.iter().position(same) else { return };
        let (now, here) = self.table_clock(Some(i));
        let (limit, repetition) = (self.config.profile.limits.pmt, self.config.profile.repetition);
        let watch = &mut self.programs[i].pmt;
        let late = watch.table_overdue(now, limit, repetition, here);
        let over = watch.seen(now, limit, here);
        self.report(Check::PmtMissing, Some(pid), Some(i), late);
        self.report(Check::PmtMissing, Some(pid), Some(i), over);
    }

    /// The clock where a table was seen: the first ones come before the first PCR, which is media time zero.
    fn table_clock(&self, program: Option<usize>) -> (Duration, Position) {
        let here = self.position(program);
        let media = here.media.or(Some(Duration::ZERO));
        (self.clock_at(&here).unwrap_or_default(), Position { media, ..here })
    }

    /// Ends every open condition of a program that is not listed any more.
    pub(crate) fn close_program(&mut self, i: usize) {
        let program = &mut self.programs[i];
        let Service { pmt_pid, pcr_pid, .. } = program.service;
        let changes = [
            (Check::PmtMissing, pmt_pid, program.pmt.close()),
            (Check::PcrMissing, pcr_pid, program.pcrs.close()),
            (Check::NoVideo, None, program.video.close()),
            (Check::NoAudio, None, program.audio.close()),
        ];
        for (check, pid, change) in changes {
            self.report(check, pid, Some(i), change);
        }
    }

    /// Notes a change of a check of the whole stream that is counted without being told.
    fn mark_change(&mut self, indicator: Indicator, change: Option<Change>, here: Position) {
        if let Some(Change { holds, since }) = change {
            self.mark(indicator, (Some(Pid::PAT), None), holds, since, here);
        }
    }

    fn report(
        &mut self,
        check: Check,
        pid: Option<Pid>,
        program: Option<usize>,
        change: Option<Change>,
    ) {
        if let Some(Change { holds, since }) = change {
            self.condition(check, pid, program, holds, since);
        }
    }

    /// Looks at what needs no exact moment.
    fn sweep(&mut self, now: Duration, here: Position) {
        self.sweep_cat(now, here);
        self.sweep_components();
        self.sweep_others(now, here);
        self.sweep_si(now, here);
    }

    /// Asks for the CAT while packets are scrambled: as long as they come within its limit.
    fn sweep_cat(&mut self, now: Duration, here: Position) {
        let limit = self.config.profile.limits.cat;
        let scrambled = self.totals.scrambled_packets;
        if core::mem::replace(&mut self.scrambled_before, scrambled) != scrambled
            && self.scrambled_at.replace((now, here)).is_none()
        {
            self.cat.await_from(now, here);
        }
        let Some((at, last)) = self.scrambled_at else { return };
        if now.saturating_sub(at) <= limit {
            let change = self.cat.overdue(now, limit, here);
            return self.report(Check::CatMissing, Some(Pid::CAT), None, change);
        }
        self.scrambled_at = None;
        if let Some(Change { holds, since }) = self.cat.close() {
            self.condition_at(Check::CatMissing, Some(Pid::CAT), None, holds, since, last);
        }
    }

    /// Asks for the packets of components that are neither video nor audio, where a limit is stated.
    fn sweep_others(&mut self, now: Duration, here: Position) {
        let limits = self.config.profile.limits;
        for o in 0..self.others.len() {
            let Other { pid, kind, since, .. } = self.others[o];
            if since.is_none() && self.pids.get(pid).is_some_and(|s| s.counters.unit_starts > 0) {
                self.others[o].since = Some(here);
            }
            if let Some(limit) = limits.other(kind) {
                let watch = &mut self.others[o].watch;
                let (came, change) = (watch.came(), watch.overdue(now, limit, here));
                self.other_changed(o, came, change, here);
            }
        }
    }

    /// A packet came on a PID that something is awaited on, of what is neither video nor audio.
    pub(crate) fn other_came(&mut self, pid: Pid) {
        let here = self.position(None);
        let Some(now) = self.clock_at(&here) else { return };
        for o in 0..self.others.len() {
            let other = &mut self.others[o];
            let limit = self.config.profile.limits.other(other.kind);
            let Some(limit) = limit.filter(|_| other.pid == pid) else { continue };
            let late = other.watch.overdue(now, limit, here);
            let came = other.watch.came();
            let back = other.watch.renew(now, here);
            self.other_changed(o, came, late, here);
            self.other_changed(o, came, back, here);
        }
    }

    /// Tells that such a component stopped, or comes again; what never came cannot stop.
    fn other_changed(&mut self, o: usize, came: bool, change: Option<Change>, here: Position) {
        let Other { pid, program, .. } = self.others[o];
        let owner = self.programs.iter().position(|p| p.service.program == program);
        self.report(Check::PidMissing, Some(pid), owner, change);
        match change.filter(|_| came) {
            Some(Change { holds: true, since }) => {
                self.changed(ChangeKind::Stopped, pid, program, since);
            }
            Some(_) => self.changed(ChangeKind::Resumed, pid, program, here),
            None => {}
        }
    }

    /// A component's presentation stamp came here, so far from the one before by their own values.
    pub(crate) fn stamped(&mut self, stream: usize, here: Position, step: Option<Duration>) {
        let Some(now) = self.clock_at(&here) else { return };
        let Some(stream) = self.streams.get_mut(stream) else { return };
        if stream.still {
            return;
        }
        let (pid, owner) = (Some(stream.pid), Some(stream.owner));
        let limit = self.config.profile.limits.pts;
        // Where PCRs stay out, the clock goes in steps, and the stamps themselves know better.
        let near = step.is_some_and(|step| step <= limit / 4 * NEAR);
        let late = (stream.stamps.runs() && !near)
            .then(|| stream.stamps.overdue(now, limit, here))
            .flatten();
        let over = stream.stamps.seen(now, limit, here);
        self.report(Check::StampsMissing, pid, owner, late);
        self.report(Check::StampsMissing, pid, owner, over);
    }

    /// Stamps begin anew: what lies between says nothing.
    pub(crate) fn restart_stamps(&mut self) {
        for s in 0..self.streams.len() {
            self.drop_stamps(s);
        }
    }

    /// Ends the watch of a component's stamps until the next one comes.
    pub(crate) fn drop_stamps(&mut self, stream: usize) {
        let stream = &mut self.streams[stream];
        let (pid, owner) = (Some(stream.pid), Some(stream.owner));
        let change = core::mem::take(&mut stream.stamps).close();
        self.report(Check::StampsMissing, pid, owner, change);
    }

    /// Compares a PCR with the line of the ones before.
    pub(crate) fn compare(&mut self, program: usize, pcr: Pcr, step: Step, here: Position) {
        if self.config.profile.setting(Indicator::PcrAccuracy) == Setting::Off {
            return;
        }
        let limit_ns = self.config.profile.limits.pcr_accuracy.as_nanos() as u64 as f64;
        let place = self.place;
        let program_state = &mut self.programs[program];
        let pid = program_state.service.pcr_pid;
        let meter = &mut program_state.meter;
        // Without null packets nothing keeps a rate constant.
        if self.totals.null_packets == 0 || !matches!(step, Step::Passed(_)) {
            meter.reset();
            return;
        }
        for point in meter.pcr(pcr, place, here, limit_ns) {
            let kind = FindingKind::PcrOff { nanos: point.off_ns };
            self.find_at(kind, pid, Some(program), point.position);
        }
    }

    /// What every check came to that the profile looks at.
    pub(crate) fn checks(&self) -> impl Iterator<Item = CheckReport> + '_ {
        let here = self.position(None);
        let now = self.when(&here);
        let all = Indicator::ALL.iter().copied();
        all.map(move |indicator| {
            let (tally, subjects) = self.ledger.tally(indicator, now);
            CheckReport {
                indicator,
                setting: self.config.profile.setting(indicator),
                unavailable: self.unavailable(indicator),
                tally,
                subjects,
            }
        })
        .filter(|report| report.setting != Setting::Off)
    }

    fn unavailable(&self, indicator: Indicator) -> Option<Unavailable> {
        match indicator {
            Indicator::PcrAccuracy if !self.programs.iter().any(|p| p.meter.judged) => {
                Some(Unavailable::NotConstantRate)
            }
            Indicator::Pts => {
                let all =
                    !self.streams.is_empty() && self.streams.iter().all(Elementary::is_hidden);
                all.then_some(Unavailable::Scrambled)
            }
            Indicator::Buffer | Indicator::EmptyBuffer | Indicator::DataDelay => {
                self.buffers_unavailable()
            }
            _ => None,
        }
    }

    /// Takes rates once a second: of the stream, its programs and PIDs.
    fn run_window(&mut self, now: Duration) {
        let Some(begin) = self.window else {
            self.window = Some(now);
            return self.rate(None);
        };
        let span = now.saturating_sub(begin);
        if span >= WINDOW {
            self.window = Some(now);
            // Where the clock jumped, nothing is known of the time between.
            let whole = span < WINDOW * 2;
            self.rate(Some(span).filter(|_| whole));
            self.end_offsets(now, if whole { Whole::Yes } else { Whole::No });
        }
    }

    fn rate(&mut self, span: Option<Duration>) {
        let take = |meter: &mut RateMeter, packets: u64| match span {
            Some(span) => meter.end(packets, span),
            None => meter.begin(packets),
        };
        take(&mut self.rate, self.totals.packets);
        self.programs.iter_mut().for_each(|program| program.packets = 0);
        for state in self.pids.iter_mut() {
            take(&mut state.rate, state.counters.packets);
            let Some(number) = state.program else { continue };
            let owner = self.programs.binary_search_by_key(&number, |p| p.service.program);
            if let Some(program) = owner.ok().and_then(|i| self.programs.get_mut(i)) {
                program.packets += state.counters.packets;
            }
        }
        for program in &mut self.programs {
            take(&mut program.rate, program.packets);
        }
    }
}

/// Asks a watch that is wanted, and closes one that is not.
fn watched(
    watch: &mut Watch,
    wanted: bool,
    now: Duration,
    limit: Duration,
    here: Position,
) -> Option<Change> {
    if wanted { watch.overdue(now, limit, here) } else { watch.close() }
}
