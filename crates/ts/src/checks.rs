//! Watching for what stays out: the time-outs of TR 101 290, priority 1.
//!
//! Each check is a [`Watch`] that is told when its thing is seen and asked, now and then, whether it is overdue. Its clock is
//! media time or the time during which packets arrive: with nothing arriving at all no check runs on, because that is one
//! condition of the input and not ten of the stream.

use core::time::Duration;

use tallylight_model::Pid;

use crate::{Check, CheckClock, Position, coding::MediaKind, flow::Flow, program::Program};

/// Repetitions in time, one after another, after which a table counts as one that is repeated.
const REGULAR: u8 = 3;

/// Over which rates are taken.
const WINDOW: Duration = Duration::from_secs(1);

/// A change of a condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) holds: bool,
    pub(crate) since: Position,
}

/// Watches one thing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watch {
    /// When it was last seen, or the watch began, and where.
    last: Option<(Duration, Position)>,
    seen: bool,
    regular: u8,
    holds: bool,
}

impl Watch {
    /// The thing is there.
    pub(crate) fn seen(
        &mut self,
        now: Duration,
        limit: Duration,
        here: Position,
    ) -> Option<Change> {
        let in_time = self.last.is_some_and(|(last, _)| now.saturating_sub(last) <= limit);
        self.regular = if self.seen && in_time { self.regular.saturating_add(1) } else { 0 };
        self.seen = true;
        let since = self.last.replace((now, here)).map_or(here, |(_, since)| since);
        core::mem::take(&mut self.holds).then_some(Change { holds: false, since })
    }

    /// Asks whether the thing stays out longer than `limit`.
    pub(crate) fn overdue(
        &mut self,
        now: Duration,
        limit: Duration,
        here: Position,
    ) -> Option<Change> {
        let (last, since) = *self.last.get_or_insert((now, here));
        if self.holds || now.saturating_sub(last) <= limit {
            return None;
        }
        self.holds = true;
        Some(Change { holds: true, since })
    }

    /// Asks the same of a table. Segmented streams (HLS) carry their tables once per segment; that is no fault of theirs, so a
    /// table counts as missing only if it never came, or had been repeated in time before.
    pub(crate) fn table_overdue(
        &mut self,
        now: Duration,
        limit: Duration,
        here: Position,
    ) -> Option<Change> {
        if self.seen && self.regular < REGULAR {
            return None;
        }
        self.overdue(now, limit, here)
    }

    /// So much of the clock's time passed without packets: it does not count.
    pub(crate) fn excuse(&mut self, span: Duration) {
        if let Some((last, _)) = &mut self.last {
            *last += span;
        }
    }

    /// Ends the condition if it holds: the thing is not expected any more.
    pub(crate) fn close(&mut self) -> Option<Change> {
        let (_, since) = self.last?;
        core::mem::take(&mut self.holds).then_some(Change { holds: false, since })
    }
}

impl Flow {
    /// Runs every check as of now.
    pub(crate) fn run_checks(&mut self) {
        if let Some(now) = self.check_clock(None) {
            let here = self.position(None);
            let change = self.pat.table_overdue(now, self.config.limits.pat, here);
            self.report(Check::PatMissing, Some(Pid::PAT), None, change);
            self.run_window(now);
        }
        for i in 0..self.programs.len() {
            if self.programs[i].wanted
                && let Some(now) = self.check_clock(Some(i))
            {
                self.check_program(i, now);
            }
        }
    }

    /// The clock of the checks: media time of a program or of the stream, or the time in which packets arrive.
    fn check_clock(&self, program: Option<usize>) -> Option<Duration> {
        match self.config.clock {
            CheckClock::Media => self.media(program),
            CheckClock::Arrival => Some(self.traffic),
        }
    }

    fn check_program(&mut self, i: usize, now: Duration) {
        let limits = self.config.limits;
        let here = self.position(Some(i));
        let pmt_pid = self.programs[i].service.pmt_pid;
        let change = self.programs[i].pmt.table_overdue(now, limits.pmt, here);
        self.report(Check::PmtMissing, pmt_pid, Some(i), change);

        let (mut video, mut audio) = (false, false);
        for s in 0..self.streams.len() {
            let stream = &mut self.streams[s];
            if stream.owner != i {
                continue;
            }
            let pid = stream.pid;
            let change = match core::mem::take(&mut stream.alive) {
                true => stream.packets.seen(now, limits.pid, here),
                false => stream.packets.overdue(now, limits.pid, here),
            };
            let began = stream.began.take();
            let program = &mut self.programs[i];
            let (watch, limit, check, any) = match stream.coding.kind() {
                MediaKind::Video => (&mut program.video, limits.video, Check::NoVideo, &mut video),
                _ if stream.main => (&mut program.audio, limits.audio, Check::NoAudio, &mut audio),
                _ => {
                    self.report(Check::PidMissing, Some(pid), Some(i), change);
                    continue;
                }
            };
            *any = true;
            let end = began.and_then(|began| watch.seen(now, limit, began));
            self.report(Check::PidMissing, Some(pid), Some(i), change);
            self.report(check, None, Some(i), end);
        }
        let program = &mut self.programs[i];
        let video = watched(&mut program.video, video, now, limits.video, here);
        let audio = watched(&mut program.audio, audio, now, limits.audio, here);
        self.report(Check::NoVideo, None, Some(i), video);
        self.report(Check::NoAudio, None, Some(i), audio);
    }

    pub(crate) fn pat_seen(&mut self) {
        let (now, here) = self.table_clock(None);
        let change = self.pat.seen(now, self.config.limits.pat, here);
        self.report(Check::PatMissing, Some(Pid::PAT), None, change);
    }

    pub(crate) fn pmt_seen(&mut self, pid: Pid, number: u16) {
        let same = |p: &Program| p.service.program == number && p.service.pmt_pid == Some(pid);
        let Some(i) = self.programs.iter().position(same) else { return };
        let (now, here) = self.table_clock(Some(i));
        let change = self.programs[i].pmt.seen(now, self.config.limits.pmt, here);
        self.report(Check::PmtMissing, Some(pid), Some(i), change);
    }

    /// The clock where a table was seen: the first ones come before the first PCR, which is media time zero.
    fn table_clock(&self, program: Option<usize>) -> (Duration, Position) {
        let here = self.position(program);
        let media = here.media.or(Some(Duration::ZERO));
        (self.check_clock(program).unwrap_or_default(), Position { media, ..here })
    }

    /// Ends every open condition of a program that is not listed any more.
    pub(crate) fn close_program(&mut self, i: usize) {
        let program = &mut self.programs[i];
        let pmt_pid = program.service.pmt_pid;
        let changes = [program.pmt.close(), program.video.close(), program.audio.close()];
        let checks = [(Check::PmtMissing, pmt_pid), (Check::NoVideo, None), (Check::NoAudio, None)];
        for ((check, pid), change) in checks.into_iter().zip(changes) {
            self.report(check, pid, Some(i), change);
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

    /// Takes the rate of every PID once a second.
    fn run_window(&mut self, now: Duration) {
        let span = now.saturating_sub(self.window_start);
        if span < WINDOW {
            return;
        }
        self.window_start = now;
        for state in self.pids.iter_mut() {
            state.end_window(span);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(packet: u64) -> Position {
        Position { packet, ..Position::default() }
    }

    const LIMIT: Duration = Duration::from_millis(500);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_condition_holds_from_where_the_thing_was_last_seen() {
        let mut watch = Watch::default();
        assert_eq!(watch.seen(ms(0), LIMIT, at(1)), None);
        assert_eq!(watch.overdue(ms(500), LIMIT, at(2)), None);
        assert_eq!(
            watch.overdue(ms(501), LIMIT, at(3)),
            Some(Change { holds: true, since: at(1) })
        );
        assert_eq!(watch.overdue(ms(900), LIMIT, at(4)), None);
        assert_eq!(watch.seen(ms(1000), LIMIT, at(5)), Some(Change { holds: false, since: at(1) }));
        assert_eq!(watch.seen(ms(1100), LIMIT, at(6)), None);
    }

    #[test]
    fn what_never_came_is_missing_since_the_watch_began() {
        let mut watch = Watch::default();
        assert_eq!(watch.table_overdue(ms(0), LIMIT, at(0)), None);
        let begun = watch.table_overdue(ms(600), LIMIT, at(9));
        assert_eq!(begun, Some(Change { holds: true, since: at(0) }));
    }

    #[test]
    fn a_table_of_a_segment_is_not_missing_between_segments() {
        let mut watch = Watch::default();
        for segment in 0..4 {
            watch.seen(ms(6000 * segment), LIMIT, at(segment));
            assert_eq!(watch.table_overdue(ms(6000 * segment + 5900), LIMIT, at(9)), None);
        }
        for repeat in 0..4 {
            watch.seen(ms(30_000 + 100 * repeat), LIMIT, at(repeat));
        }
        assert!(watch.table_overdue(ms(31_000), LIMIT, at(9)).is_some());
    }
}
