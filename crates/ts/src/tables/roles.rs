//! Who reads each PID: components that are cut and watched, tables, cues, and what may be a multiplex of its own.

use alloc::vec::Vec;
use core::time::Duration;

use tallylight_model::Pid;

use super::{FIXED, Reader};
use crate::{
    Check, Coding, Component, Event, Table,
    coding::MediaKind,
    elementary::Elementary,
    flow::Flow,
    pids::{Clocked, Role},
    program::{Other, Program},
    si::{EIT, NIT, RST, SDT, TDT},
    t2mi::CUSTOMARY,
};

/// Components watched over all programs.
const MAX_STREAMS: usize = 512;
/// PIDs of cues that are read.
const MAX_CUE_PIDS: usize = 64;
/// PIDs on which T2-MI is looked for.
const MAX_PEEKS: usize = 16;

impl Flow {
    pub(super) fn services_changed(&mut self) {
        self.assign_streams();
        self.assign_roles();
        self.programs.iter_mut().for_each(|program| program.due = Duration::ZERO);
        self.out.push(Event::Services(self.position(None)));
    }

    /// Makes the list of components that are cut and watched; those that stay keep their state.
    fn assign_streams(&mut self) {
        let mut old = core::mem::take(&mut self.streams);
        let mut over = None;
        for (owner, program) in self.programs.iter_mut().enumerate() {
            let first = self.streams.len();
            program.components = first..first;
            if !program.wanted {
                continue;
            }
            let main = program.service.main_audio().map(|component| component.pid);
            for component in &program.service.components {
                if !matches!(component.coding.kind(), MediaKind::Video | MediaKind::Audio)
                    || self.streams.iter().any(|stream| stream.pid == component.pid)
                {
                    continue;
                }
                if self.streams.len() == MAX_STREAMS {
                    over = Some(component.pid);
                    break;
                }
                let number = program.service.program;
                let same = |s: &Elementary| (s.pid, s.program) == (component.pid, number);
                let mut stream =
                    match old.iter().position(|s| same(s) && s.coding == component.coding) {
                        Some(i) => old.swap_remove(i),
                        None => Elementary::new(component, number, self.config.payload),
                    };
                stream.owner = owner;
                stream.main = main == Some(component.pid);
                self.streams.push(stream);
            }
            program.components = first..self.streams.len();
        }
        let streams = self.streams.len();
        self.streams.iter_mut().for_each(|stream| stream.share(streams));
        self.close_watches(old);
        self.list_others();
        if let Some(pid) = over {
            self.over_limit(pid);
        }
    }

    /// Makes the list of components that are not cut; those that stay keep their state.
    fn list_others(&mut self) {
        let mut old = core::mem::take(&mut self.others);
        for program in self.programs.iter().filter(|program| program.wanted) {
            for component in &program.service.components {
                let kind = component.coding.kind();
                let (pid, number) = (component.pid, program.service.program);
                if !matches!(kind, MediaKind::Text | MediaKind::Data)
                    || self.others.len() == MAX_STREAMS
                {
                    continue;
                }
                let same = |o: &Other| (o.pid, o.program) == (pid, number);
                let known = old.iter().position(same).map(|i| old.swap_remove(i));
                self.others.push(known.unwrap_or_else(|| Other::new(pid, number, kind)));
            }
        }
        for mut gone in old {
            if let Some(change) = gone.watch.close() {
                let owner = self.programs.iter().position(|p| p.service.program == gone.program);
                self.condition(Check::PidMissing, Some(gone.pid), owner, false, change.since);
            }
        }
    }

    /// Ends the open conditions of components that are not listed any more.
    fn close_watches(&mut self, gone: Vec<Elementary>) {
        for mut stream in gone {
            let owner = self.programs.iter().position(|p| p.service.program == stream.program);
            stream.flush();
            let here = self.position(owner);
            stream.model.reset(Some(stream.pid), here, &mut self.changes);
            self.tell_changes(owner);
            if let Some(program) = owner.and_then(|i| self.programs.get_mut(i)) {
                stream.drain(&mut program.timeline, &mut self.out);
            }
            if let Some(since) = stream.scrambled_since {
                self.condition(Check::Scrambled, Some(stream.pid), owner, false, since);
            }
            if let Some(change) = stream.packets.close() {
                let pid = Some(stream.pid);
                self.condition(Check::PidMissing, pid, owner, false, change.since);
            }
            if let Some(change) = stream.stamps.close() {
                let pid = Some(stream.pid);
                self.condition(Check::StampsMissing, pid, owner, false, change.since);
            }
        }
    }

    /// Says for every PID who reads it and whose it is.
    pub(crate) fn assign_roles(&mut self) {
        for state in self.pids.iter_mut() {
            (state.role, state.program, state.clock) = (Role::None, None, None);
            (state.listed, state.awaited) = (false, false);
        }
        let listed = self.programs.iter().filter(|program| program.listed);
        let pmts: Vec<_> = listed.filter_map(|program| program.service.pmt_pid).collect();
        let cues = self.cue_pids(&pmts);
        let peeks = self.peek_pids(&pmts);
        let lists = [&FIXED[..], &pmts, &cues, &peeks];
        self.tables.readers.retain(|r| lists.iter().any(|list| list.contains(&r.pid)));
        for &pid in pmts.iter().chain(&cues).chain(&peeks) {
            if !self.tables.readers.iter().any(|reader| reader.pid == pid) {
                self.tables.readers.push(Reader::new(pid));
            }
        }
        for (i, program) in self.programs.iter().enumerate() {
            let service = &program.service;
            let components = service.components.iter().map(|component| component.pid);
            for pid in components.chain(service.pmt_pid).chain(service.pcr_pid) {
                if pid != Pid::NULL {
                    let state = self.pids.entry(pid);
                    state.program = state.program.or(Some(service.program));
                    state.listed |= program.listed;
                }
            }
            if let Some(pid) = service.pcr_pid.filter(|&pid| pid != Pid::NULL) {
                let state = self.pids.entry(pid);
                state.clock = Some(Clocked::and(state.clock, i));
            }
        }
        let messages = self.programs.iter().flat_map(|program| &program.entitlements);
        for &pid in messages.chain(&self.tables.entitlements).chain(&self.tables.network) {
            self.pids.entry(pid).listed = true;
        }
        for other in &self.others {
            let limit = self.config.profile.limits.other(other.kind);
            self.pids.entry(other.pid).awaited |= limit.is_some();
        }
        for (i, stream) in self.streams.iter().enumerate() {
            let state = self.pids.entry(stream.pid);
            state.role = Role::Elementary(i as u16);
            state.program = Some(stream.program);
        }
        for (i, reader) in self.tables.readers.iter_mut().enumerate() {
            let state = self.pids.entry(reader.pid);
            reader.table = own_table(reader.pid, &pmts);
            reader.last.clear();
            match cues.contains(&reader.pid) {
                true => reader.cues = Some(reader.cues.take().unwrap_or_default()),
                false => reader.cues = None,
            }
            match peeks.contains(&reader.pid) {
                true => reader.peek = Some(reader.peek.take().unwrap_or_default()),
                false => reader.peek = None,
            }
            // Streams that are not of DVB may have a component where DVB has a table.
            if matches!(state.role, Role::Elementary(_)) && reader.table.is_some_and(Table::is_si) {
                continue;
            }
            state.role = Role::Tables(i as u16);
        }
    }

    /// The PIDs of cues that are no table's. Those of a program that is not listed for a while are read on.
    fn cue_pids(&self, pmts: &[Pid]) -> Vec<Pid> {
        let wanted = |program: &&Program| self.config.wanted.includes(program.service.program);
        let programs = self.programs.iter().filter(wanted);
        let all = programs.flat_map(|program| &program.service.components);
        let mut pids: Vec<Pid> = all
            .filter(|component| component.coding == Coding::Scte35)
            .map(|component| component.pid)
            .filter(|pid| own_table(*pid, pmts).is_none())
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids.truncate(MAX_CUE_PIDS);
        pids
    }

    /// The PIDs on which T2-MI may come: data that nothing else is known of.
    fn peek_pids(&self, pmts: &[Pid]) -> Vec<Pid> {
        let all = || self.programs.iter().flat_map(|program| &program.service.components);
        let data = |c: &&Component| {
            c.coding == Coding::T2mi || c.coding == Coding::Data && c.stream_type == 0x06
        };
        let listed = all().filter(data).map(|component| component.pid);
        let customary = Some(CUSTOMARY).filter(|pid| !all().any(|c| c.pid == *pid));
        let candidates = listed.chain(customary).filter(|pid| own_table(*pid, pmts).is_none());
        candidates.take(MAX_PEEKS).collect()
    }
}

/// Which table has a PID, given those of PMTs.
pub(super) fn own_table(pid: Pid, pmts: &[Pid]) -> Option<Table> {
    match pid {
        Pid::PAT => Some(Table::Pat),
        _ if pmts.contains(&pid) => Some(Table::Pmt),
        Pid::CAT => Some(Table::Cat),
        NIT => Some(Table::Nit),
        SDT => Some(Table::Sdt),
        EIT => Some(Table::Eit),
        RST => Some(Table::Rst),
        TDT => Some(Table::Tdt),
        _ => None,
    }
}
