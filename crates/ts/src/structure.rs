//! Changes of what the stream carries: services, their components, and whether those still come.
//!
//! What a stream begins with is no change; whatever its tables say otherwise later on is one, told once and where its table came.
//! A table says all of its program at once, so two lists are compared: what is on the same PID in both may have changed, what
//! went from one PID and came on another otherwise alike has moved.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use tallylight_model::Pid;

use crate::{
    AudioRole, Coding, Component, Event, MediaKind, Position, flow::Flow, program::Program,
    psi::Pmt, watch::Watch,
};

/// Changes are told up to so many in so many packets; a program map of 64 components takes two packets.
const MAX_CHANGES: u32 = 4096;
const WINDOW: u64 = 4096;

/// Something that the stream carries changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructureChange {
    /// What.
    pub kind: ChangeKind,
    /// In which program (service).
    pub program: u16,
    /// On which PID: the component's, or that of the table that says so.
    pub pid: Pid,
    /// Where: the table that says so; what stopped, where it was last seen.
    pub position: Position,
}

/// Kinds of change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The PAT lists a program that it did not list before.
    ServiceAppeared,
    /// The PAT does not list the program any more.
    ServiceGone,
    /// The program's PMT is on another PID.
    PmtMoved {
        /// Where it was.
        from: Pid,
    },
    /// The program's PMT says something else.
    PmtVersion {
        /// Its version number before.
        from: u8,
        /// Its version number; if it is the same, receivers may not notice (ISO/IEC 13818-1, 2.4.4.9).
        to: u8,
    },
    /// The program's clock is on another PID.
    ClockMoved {
        /// Where it was; `None` if it had none.
        from: Option<Pid>,
        /// Where it is; `None` if it has none.
        to: Option<Pid>,
    },
    /// The PMT lists a component that it did not list before.
    ComponentAppeared {
        /// How it is coded.
        coding: Coding,
    },
    /// The PMT does not list the component any more.
    ComponentGone {
        /// How it was coded.
        coding: Coding,
    },
    /// The component is on another PID, and otherwise as it was.
    ComponentMoved {
        /// Where it was.
        from: Pid,
    },
    /// The component is coded otherwise.
    CodingChanged {
        /// How it was.
        from: Coding,
        /// How it is.
        to: Coding,
    },
    /// The component is of another language.
    LanguageChanged {
        /// What it was.
        from: Option<String>,
        /// What it is.
        to: Option<String>,
    },
    /// The component is another kind of sound.
    RoleChanged {
        /// What it was.
        from: AudioRole,
        /// What it is.
        to: AudioRole,
    },
    /// The component is listed and ended: no access unit (PES packet, where none are cut) for as long as TR 101 290, 1.6 allows
    /// of its kind, although time goes on. Text and data: no packet, where a limit is stated.
    Stopped,
    /// A component that had stopped comes again.
    Resumed,
}

impl ChangeKind {
    /// Returns the name for output.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ServiceAppeared => "service_appeared",
            Self::ServiceGone => "service_gone",
            Self::PmtMoved { .. } => "pmt_moved",
            Self::PmtVersion { .. } => "pmt_version",
            Self::ClockMoved { .. } => "clock_moved",
            Self::ComponentAppeared { .. } => "component_appeared",
            Self::ComponentGone { .. } => "component_gone",
            Self::ComponentMoved { .. } => "component_moved",
            Self::CodingChanged { .. } => "coding_changed",
            Self::LanguageChanged { .. } => "language_changed",
            Self::RoleChanged { .. } => "role_changed",
            Self::Stopped => "component_stopped",
            Self::Resumed => "component_resumed",
        }
    }
}

/// How many changes of late were told.
#[derive(Default)]
pub(crate) struct Told {
    window: u64,
    count: u32,
}

/// Whether a component still comes.
#[derive(Default)]
pub(crate) struct Life {
    watch: Watch,
    /// Where the first and the last access unit began since it was last asked.
    signs: Option<(Position, Position)>,
}

impl Life {
    /// An access unit begins here.
    pub(crate) fn sign(&mut self, here: Position) {
        match &mut self.signs {
            Some((_, last)) => *last = here,
            None => self.signs = Some((here, here)),
        }
    }

    /// So much of the clock's time passed without packets: it does not count.
    pub(crate) fn excuse(&mut self, span: Duration) {
        self.watch.excuse(span);
    }

    /// Something came here first and last, by the clock of the checks. Tells that it had stopped, and that it comes again.
    fn came(
        &mut self,
        [first, last]: [(Duration, Position); 2],
        limit: Option<Duration>,
    ) -> [Option<(ChangeKind, Position)>; 2] {
        let out = limit.and_then(|limit| self.ask(first, limit));
        let back = self.watch.renew(first.0, first.1).map(|_| (ChangeKind::Resumed, first.1));
        self.watch.renew(last.0, last.1);
        [out, back]
    }

    /// Asks; what never came cannot stop.
    fn ask(
        &mut self,
        (now, here): (Duration, Position),
        limit: Duration,
    ) -> Option<(ChangeKind, Position)> {
        let out = self.watch.runs().then(|| self.watch.overdue(now, limit, here)).flatten()?;
        Some((ChangeKind::Stopped, out.since))
    }
}

impl Flow {
    /// Tells a change.
    pub(crate) fn changed(&mut self, kind: ChangeKind, pid: Pid, program: u16, position: Position) {
        self.totals.structure_changes += 1;
        let window = self.place / WINDOW;
        if self.told.window != window {
            self.told = Told { window, count: 0 };
        }
        self.told.count += 1;
        if self.told.count > MAX_CHANGES {
            self.out.dropped += 1;
            return;
        }
        self.out.push(Event::Structure(StructureChange { kind, program, pid, position }));
    }

    /// Takes what a program's PMT says, and tells what of it is new.
    pub(crate) fn take_pmt(&mut self, index: usize, pmt: Pmt, version: (u8, u32)) {
        let here = self.position(Some(index));
        let program = &mut self.programs[index];
        let number = program.service.program;
        let table = program.service.pmt_pid.unwrap_or(Pid::NULL);
        let before = program.pmt_version.replace(version);
        let clock = core::mem::replace(&mut program.service.pcr_pid, pmt.pcr_pid);
        let listed = core::mem::replace(&mut program.service.components, pmt.components);
        program.entitlements = pmt.entitlements;
        let former = core::mem::take(&mut program.former);
        let old = if core::mem::replace(&mut program.mapped, true) { listed } else { former };
        let Some(before) = before.filter(|before| *before != version) else { return };
        program.service.pmt_changes += 1;
        let mut changes = Vec::new();
        compare(&old, &program.service.components, &mut changes);
        self.changed(ChangeKind::PmtVersion { from: before.0, to: version.0 }, table, number, here);
        if clock != pmt.pcr_pid {
            let kind = ChangeKind::ClockMoved { from: clock, to: pmt.pcr_pid };
            self.changed(kind, table, number, here);
        }
        for (pid, kind) in changes {
            self.changed(kind, pid, number, here);
        }
    }

    /// Tells that the PAT lists a program anew, or its PMT elsewhere.
    pub(crate) fn relisted(&mut self, index: usize, was_listed: bool, pmt_pid: Option<Pid>) {
        if !self.tables.has_listed() {
            return;
        }
        let here = self.position(Some(index));
        let Program { service, .. } = &self.programs[index];
        let (number, now) = (service.program, service.pmt_pid.unwrap_or(Pid::NULL));
        if !was_listed {
            self.changed(ChangeKind::ServiceAppeared, now, number, here);
        }
        if let Some(from) = pmt_pid.filter(|from| *from != now) {
            self.changed(ChangeKind::PmtMoved { from }, now, number, here);
        }
    }

    /// Asks of each component that is watched whether it still comes.
    pub(crate) fn sweep_components(&mut self) {
        for s in 0..self.streams.len() {
            self.note_signs(s);
            let (owner, limit) = (self.streams[s].owner, self.stops_after(s));
            let here = self.position(Some(owner));
            if let Some((now, limit)) = self.clock_at(&here).zip(limit) {
                let stopped = self.streams[s].life.ask((now, here), limit);
                self.life_changed(s, stopped);
            }
        }
    }

    /// Takes note of a component's access units since it was last asked.
    pub(crate) fn note_signs(&mut self, s: usize) {
        let Some((first, last)) = self.streams[s].life.signs.take() else { return };
        let limit = self.stops_after(s);
        let at = |here: Position| Some((self.clock_at(&here)?, here));
        if let (Some(first), Some(last)) = (at(first), at(last)) {
            let changes = self.streams[s].life.came([first, last], limit);
            changes.into_iter().for_each(|change| self.life_changed(s, change));
        }
    }

    /// For how long nothing may come of a component that is watched; `None` of still pictures.
    fn stops_after(&self, s: usize) -> Option<Duration> {
        let stream = &self.streams[s];
        let limits = &self.config.profile.limits;
        let limit = match stream.coding.kind() {
            MediaKind::Video => limits.pid_video,
            _ => limits.pid_audio,
        };
        Some(limit).filter(|_| !stream.still)
    }

    fn life_changed(&mut self, s: usize, change: Option<(ChangeKind, Position)>) {
        let (pid, program) = (self.streams[s].pid, self.streams[s].program);
        if let Some((kind, at)) = change {
            self.changed(kind, pid, program, at);
        }
    }
}

/// What differs between two lists of components, in the order of the new one; what is gone comes first.
fn compare(old: &[Component], new: &[Component], changes: &mut Vec<(Pid, ChangeKind)>) {
    let on = |list: &[Component], pid: Pid| list.iter().any(|c| c.pid == pid);
    let mut gone: Vec<&Component> = old.iter().filter(|c| !on(new, c.pid)).collect();
    let mut moved = Vec::new();
    for component in new.iter().filter(|c| !on(old, c.pid)) {
        let alike = |c: &&Component| {
            let kind = |c: &Component| (c.coding, c.role, c.language.clone());
            kind(c) == kind(component)
        };
        let from = gone.iter().position(alike).map(|i| gone.remove(i).pid);
        moved.push((component.pid, from));
    }
    let went = |c: &&Component| (c.pid, ChangeKind::ComponentGone { coding: c.coding });
    changes.extend(gone.iter().map(went));
    for component in new {
        let pid = component.pid;
        if let Some((_, from)) = moved.iter().find(|(new, _)| *new == pid) {
            let appeared = ChangeKind::ComponentAppeared { coding: component.coding };
            changes.push((pid, from.map_or(appeared, |from| ChangeKind::ComponentMoved { from })));
        } else if let Some(before) = old.iter().find(|c| c.pid == pid) {
            changes.extend(altered(before, component).map(|kind| (pid, kind)));
        }
    }
}

/// How a component on one PID differs from what was there before.
fn altered(before: &Component, now: &Component) -> impl Iterator<Item = ChangeKind> {
    let coding = (before.coding != now.coding)
        .then_some(ChangeKind::CodingChanged { from: before.coding, to: now.coding });
    let language = (before.language != now.language).then(|| ChangeKind::LanguageChanged {
        from: before.language.clone(),
        to: now.language.clone(),
    });
    let role = (before.role != now.role)
        .then_some(ChangeKind::RoleChanged { from: before.role, to: now.role });
    [coding, language, role].into_iter().flatten()
}
