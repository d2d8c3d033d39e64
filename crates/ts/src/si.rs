//! Service information (ETSI EN 300 468; TR 101 290, 3.1, 3.2 and 3.4 to 3.8): what stays out, comes too seldom or too densely,
//! lacks its other half, and PIDs that no table lists.
//!
//! Tables are awaited by their id; sections of sub-tables once they were seen. EIT schedules have hundreds of sections, so that
//! any section of one of their sub-tables will do.

use alloc::collections::BTreeMap;
use core::time::Duration;

use tallylight_model::{Bitrate, Pid};

use crate::{
    Check, CheckClock, FindingKind, Indicator, Position, Setting,
    flow::Flow,
    indicator::Limits,
    watch::{Change, Watch},
};

/// The network information table's PID (EN 300 468, 5.1.3).
pub(crate) const NIT: Pid = Pid::from_bits(0x0010);
/// The service description table's.
pub(crate) const SDT: Pid = Pid::from_bits(0x0011);
/// The event information table's.
pub(crate) const EIT: Pid = Pid::from_bits(0x0012);
/// The running status table's.
pub(crate) const RST: Pid = Pid::from_bits(0x0013);
/// The time and date table's.
pub(crate) const TDT: Pid = Pid::from_bits(0x0014);
/// PIDs from here on are for other standards' tables (ATSC A/53, part 3) and null packets.
const OTHER_TABLES: u16 = 0x1FF0;
/// PIDs below are for tables (EN 300 468, 5.1.3).
const FIRST_FREE: u16 = 0x20;
/// Sections of sub-tables that are awaited.
const MAX_SECTIONS: usize = 512;
/// A section that stays out for so many times its limit is not part of its table any more.
const GIVE_UP: u32 = 6;

/// A section as the service information's rules need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SiSection {
    pub(crate) table_id: u8,
    /// The service, transport stream or network.
    pub(crate) extension: u16,
    /// What tells sub-tables of other transport streams apart: the transport stream, or the network.
    pub(crate) scope: u16,
    pub(crate) number: u8,
}

/// A table that must be there, by its id and perhaps its section.
struct Awaited {
    check: Indicator,
    first: u8,
    last: u8,
    number: Option<u8>,
}

const fn awaited(check: Indicator, first: u8, last: u8, number: Option<u8>) -> Awaited {
    Awaited { check, first, last, number }
}

const AWAITED: [Awaited; 7] = [
    awaited(Indicator::Nit, 0x40, 0x41, None),
    awaited(Indicator::NitActual, 0x40, 0x40, None),
    awaited(Indicator::SdtActual, 0x42, 0x42, None),
    awaited(Indicator::Eit, 0x4E, 0x4E, None),
    awaited(Indicator::EitActual, 0x4E, 0x4E, Some(0)),
    awaited(Indicator::EitActual, 0x4E, 0x4E, Some(1)),
    awaited(Indicator::Tdt, 0x70, 0x70, None),
];

/// One section of a sub-table.
#[derive(Default)]
struct Repeated {
    watch: Watch,
    first: Duration,
    last: Duration,
    /// When it was seen before that.
    previous: Duration,
    /// When its other half was.
    other: Option<Duration>,
    /// Since when its other half is missing.
    unpaired: Option<Position>,
}

/// What is known of the service information.
#[derive(Default)]
pub(crate) struct Information {
    tables: [Watch; AWAITED.len()],
    sections: BTreeMap<SiSection, Repeated>,
    /// Sub-tables of EIT schedules, as their first section.
    schedules: BTreeMap<SiSection, Repeated>,
    /// When a section of a sub-table was last complete.
    dense: BTreeMap<(u8, u16, u16), Duration>,
}

/// How often a table's sections must come (EN 300 468, 5.1.4; TR 101 211, 4.4); `None` where that is not judged. For events the
/// limits of terrestrial networks hold, which are the widest (4.4.2): of schedules those of the first day, which is in the first table.
fn interval(limits: &Limits, table_id: u8) -> Option<Duration> {
    match table_id {
        0x40 | 0x41 => Some(limits.nit),
        0x42 => Some(limits.sdt),
        0x46 | 0x4A => Some(limits.si_other),
        0x4E => Some(limits.eit),
        0x4F => Some(limits.eit_other),
        0x50 => Some(Duration::from_secs(10)),
        0x51..=0x5F => Some(Duration::from_secs(30)),
        0x60 => Some(Duration::from_secs(60)),
        0x61..=0x6F => Some(Duration::from_secs(300)),
        0x70 | 0x73 => Some(limits.tdt),
        _ => None,
    }
}

/// What a section that comes too seldom raises.
const fn seldom(table_id: u8) -> Indicator {
    match table_id {
        0x41 => Indicator::NitOther,
        0x46 => Indicator::SdtOther,
        0x4F => Indicator::EitOther,
        _ => Indicator::SiRepetition,
    }
}

const fn is_schedule(table_id: u8) -> bool {
    matches!(table_id, 0x50..=0x6F)
}

const fn pid_of(table_id: u8) -> Pid {
    match table_id {
        0x40 | 0x41 => NIT,
        0x42 | 0x46 | 0x4A => SDT,
        0x70 | 0x73 => TDT,
        0x71 => RST,
        _ => EIT,
    }
}

impl Flow {
    /// A section of the service information is complete, which states the last table id of its kind.
    pub(crate) fn si_seen(&mut self, section: SiSection, last_table: u8) {
        let here = self.position(None);
        let Some(now) = self.clock_at(&here) else { return };
        let limits = self.config.profile.limits;
        let SiSection { table_id, extension, scope, number } = section;
        for (i, row) in AWAITED.iter().enumerate() {
            let here_it_is = (row.first..=row.last).contains(&table_id)
                && row.number.is_none_or(|wanted| wanted == number);
            if here_it_is && let Some(limit) = interval(&limits, table_id) {
                let late = self.information.tables[i].overdue(now, limit, here);
                let over = self.information.tables[i].seen(now, limit, here);
                self.si_change(row.check, table_id, late);
                self.si_change(row.check, table_id, over);
            }
        }
        self.si_dense((table_id, extension, scope), now);
        let Some(limit) = interval(&limits, table_id) else { return };
        let (section, sections) = if is_schedule(table_id) {
            self.end_schedules(section, last_table);
            (SiSection { number: 0, ..section }, &mut self.information.schedules)
        } else {
            (section, &mut self.information.sections)
        };
        let half = SiSection { number: number ^ 1, ..section };
        let other = sections.get_mut(&half).map(|half| {
            half.other = Some(now);
            half.last
        });
        if sections.len() >= MAX_SECTIONS && !sections.contains_key(&section) {
            return;
        }
        let state = sections
            .entry(section)
            .or_insert_with(|| Repeated { first: now, ..Repeated::default() });
        state.other = state.other.max(other);
        state.previous = core::mem::replace(&mut state.last, now);
        let late = state.watch.overdue(now, limit, here);
        let over = state.watch.seen(now, limit, here);
        self.si_change(seldom(table_id), table_id, late);
        self.si_change(seldom(table_id), table_id, over);
    }

    /// Schedules become shorter as time passes: tables beyond the last one are not awaited any more.
    fn end_schedules(&mut self, section: SiSection, last_table: u8) {
        let kind = section.table_id..=section.table_id | 0x0F;
        if !kind.contains(&last_table) {
            return;
        }
        for table_id in last_table + 1..=*kind.end() {
            let beyond = SiSection { table_id, number: 0, ..section };
            let over = self.information.schedules.remove(&beyond);
            let change = over.and_then(|mut state| state.watch.close());
            self.si_change(seldom(table_id), table_id, change);
        }
    }

    /// Sections of one sub-table need 25 ms between them. Ends are compared with ends, which can only be further apart than an end
    /// and the next begin.
    fn si_dense(&mut self, key: (u8, u16, u16), now: Duration) {
        let limit = self.config.profile.limits.si_gap;
        let stands = self.clock_stands();
        let dense = &mut self.information.dense;
        if stands {
            dense.remove(&key);
            return;
        }
        if dense.len() >= MAX_SECTIONS && !dense.contains_key(&key) {
            // What came longer ago cannot be too close.
            dense.retain(|_, last| now.saturating_sub(*last) < limit);
            if dense.len() >= MAX_SECTIONS {
                return;
            }
        }
        let before = dense.insert(key, now);
        if let Some(gap) = before.and_then(|before| now.checked_sub(before)).filter(|g| *g < limit)
        {
            let kind = FindingKind::SectionsTooDense { table_id: key.0, gap };
            self.find(kind, Some(pid_of(key.0)), None);
        }
    }

    /// Whether what comes now seems to come at once.
    fn clock_stands(&self) -> bool {
        let own = self.primary().map(|i| &self.programs[i].timeline);
        self.config.clock == CheckClock::Media
            && own.unwrap_or(&self.stray.timeline).stands(self.place)
    }

    fn si_change(&mut self, check: Indicator, table_id: u8, change: Option<Change>) {
        if let Some(Change { holds, since }) = change {
            self.condition(Check::Si(check), Some(pid_of(table_id)), None, holds, since);
        }
    }

    /// So much of the clock's time passed without packets: it does not count.
    pub(crate) fn excuse_si(&mut self, span: Duration) {
        let Information { tables, sections, schedules, .. } = &mut self.information;
        tables.iter_mut().for_each(|watch| watch.excuse(span));
        for state in sections.values_mut().chain(schedules.values_mut()) {
            state.watch.excuse(span);
            (state.last, state.previous) = (state.last + span, state.previous + span);
        }
    }

    /// Asks for what stays out.
    pub(crate) fn sweep_si(&mut self, now: Duration, here: Position) {
        let limits = self.config.profile.limits;
        for (i, row) in AWAITED.iter().enumerate() {
            if let Some(limit) = interval(&limits, row.first)
                && self.config.profile.setting(row.check) != Setting::Off
            {
                let change = self.information.tables[i].overdue(now, limit, here);
                self.si_change(row.check, row.first, change);
            }
        }
        let mut sections = core::mem::take(&mut self.information.sections);
        self.sweep_sections(&mut sections, now, here);
        self.sweep_pairs(&mut sections, now, here);
        self.information.sections = sections;
        let mut schedules = core::mem::take(&mut self.information.schedules);
        self.sweep_sections(&mut schedules, now, here);
        self.information.schedules = schedules;
        self.sweep_pids(here);
    }

    fn sweep_sections(
        &mut self,
        sections: &mut BTreeMap<SiSection, Repeated>,
        now: Duration,
        here: Position,
    ) {
        let limits = self.config.profile.limits;
        sections.retain(|section, state| {
            let limit = interval(&limits, section.table_id).unwrap_or_default();
            let kept = now.saturating_sub(state.last) <= limit * GIVE_UP;
            let change = match kept {
                true => state.watch.overdue(now, limit, here),
                false => state.watch.close(),
            };
            self.si_change(seldom(section.table_id), section.table_id, change);
            kept || state.unpaired.is_some()
        });
    }

    /// The present and the following event of a service come together (3.6.c).
    fn sweep_pairs(
        &mut self,
        sections: &mut BTreeMap<SiSection, Repeated>,
        now: Duration,
        here: Position,
    ) {
        let limits = self.config.profile.limits;
        let halves = SiSection { table_id: 0x4E, extension: 0, scope: 0, number: 0 };
        let end = SiSection { table_id: 0x50, ..halves };
        for (section, state) in sections.range_mut(halves..end) {
            let Some(limit) = interval(&limits, section.table_id) else { continue };
            let out = |last: Duration| now.saturating_sub(last) > limit;
            // Both may stay out; what came twice since its other half did is alone.
            let alone = state.other.is_none_or(|other| out(other) && state.previous > other);
            let lacks = section.number < 2 && alone && out(state.first) && !out(state.last);
            match (lacks, state.unpaired) {
                (true, None) => {
                    state.unpaired = Some(here);
                    self.condition(Check::Si(Indicator::EitPf), Some(EIT), None, true, here);
                }
                (false, Some(since)) => {
                    state.unpaired = None;
                    self.condition(Check::Si(Indicator::EitPf), Some(EIT), None, false, since);
                }
                _ => {}
            }
        }
    }

    /// Whether every table that lists PIDs of a program was read.
    fn knows_tables(&self) -> bool {
        self.tables.has_pat() && self.programs.iter().filter(|p| p.listed).all(|p| p.mapped)
    }

    /// The first packet of a PID came, which tables may list in time.
    pub(crate) fn first_of(&mut self, pid: Pid) {
        if self.knows_tables() {
            let here = self.position(None);
            let state = self.pids.entry(pid);
            if !state.listed {
                state.stray_since.get_or_insert(here);
            }
        }
    }

    /// Looks for PIDs that carry something and that no table lists (3.4), once all tables are known.
    pub(crate) fn sweep_pids(&mut self, here: Position) {
        let checks = [Indicator::UnreferencedPid, Indicator::UnreferencedPid2];
        let off = |check: &Indicator| self.config.profile.setting(*check) == Setting::Off;
        if checks.iter().all(off) || !self.knows_tables() {
            return;
        }
        let grace = self.config.profile.limits.unreferenced;
        let now = self.when(&here);
        for i in 0..self.pids.len() {
            let Some(state) = self.pids.at(i) else { continue };
            let number = state.pid.get();
            let silent =
                state.counters.packets == 0 || state.rate.last() == Some(Bitrate::from_bps(0));
            let stray = !state.listed && !silent && (FIRST_FREE..OTHER_TABLES).contains(&number);
            let pid = Some(state.pid);
            let since = match stray {
                true => Some(*state.stray_since.get_or_insert(here)),
                false => state.stray_since.take(),
            };
            let Some(since) = since else { continue };
            let over = stray && now.saturating_sub(self.when(&since)) > grace;
            let Some(state) = self.pids.at(i) else { continue };
            if core::mem::replace(&mut state.stray, over) != over {
                self.condition(Check::Si(Indicator::UnreferencedPid), pid, None, over, since);
            }
        }
    }
}
