//! What is kept of each PID.

use alloc::{boxed::Box, vec, vec::Vec};

use tallylight_model::{Bitrate, Pid};

use crate::{Position, Rates, continuity::Continuity, rates::RateMeter};

/// What was counted of the whole stream. Counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes given to the analyser.
    pub bytes: u64,
    /// Packets, null packets and those with a corrupted sync byte included.
    pub packets: u64,
    /// Null packets.
    pub null_packets: u64,
    /// Corrupted sync bytes (TR 101 290, 1.2).
    pub sync_byte_errors: u64,
    /// Losses of synchronisation (TR 101 290, 1.1).
    pub sync_losses: u64,
    /// Bytes skipped in search of packets.
    pub skipped_bytes: u64,
    /// Continuity errors over all PIDs (TR 101 290, 1.4).
    pub continuity_errors: u64,
    /// Packets missing by the counters, over all PIDs.
    pub missing_packets: u64,
    /// Packets that came more than twice, over all PIDs.
    pub excess_duplicates: u64,
    /// Counter jumps between segments without a discontinuity tag, over all PIDs.
    pub boundary_continuity: u64,
    /// Packets with the transport error indicator (TR 101 290, 2.1).
    pub transport_errors: u64,
    /// Scrambled packets.
    pub scrambled_packets: u64,
    /// Sections whose CRC is wrong (TR 101 290, 2.2).
    pub section_errors: u64,
    /// Changes of what the stream carries.
    pub structure_changes: u64,
    /// Events given up because nobody took them out of the queue, or changes came by the packet.
    pub dropped_events: u64,
    /// Tables, programs or components left out because a limit was reached.
    pub over_limit: u64,
}

/// What was counted of one PID. Counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PidCounters {
    /// Packets.
    pub packets: u64,
    /// Continuity errors (TR 101 290, 1.4): packets that are neither expected nor duplicates.
    pub continuity_errors: u64,
    /// Those of them that were passed over just before: packets in another order than they were sent in.
    pub late_packets: u64,
    /// Packets missing by the counter, modulo 16 at each error; a late packet counts as 14 or so.
    pub missing_packets: u64,
    /// Packets that came twice, which is allowed.
    pub legal_duplicates: u64,
    /// Packets that came more than twice.
    pub excess_duplicates: u64,
    /// Counter jumps between segments without a discontinuity tag.
    pub boundary_continuity: u64,
    /// Packets with the transport error indicator.
    pub transport_errors: u64,
    /// Scrambled packets.
    pub scrambled_packets: u64,
    /// Packets that begin a payload unit.
    pub unit_starts: u64,
    /// Packets with a PCR.
    pub pcrs: u64,
}

/// One PID, for reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidReport {
    /// Which.
    pub pid: Pid,
    /// The program that it belongs to, if one lists it.
    pub program: Option<u16>,
    /// What was counted.
    pub counters: PidCounters,
    /// Whether its last payload was scrambled.
    pub scrambled: bool,
    /// Rate of whole packets over the last complete second by the stream's clock; `None` before.
    pub bitrate: Option<Bitrate>,
    /// The rates of all seconds since it came first.
    pub rates: Option<Rates>,
}

/// What carries on a PID and who reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    #[default]
    None,
    /// Sections: the reader's index.
    Tables(u16),
    /// A component of a program: its index in the list of elementary streams.
    Elementary(u16),
}

/// Which programs have their clock on a PID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clocked {
    /// The index of the first and of the last; others may lie between.
    pub(crate) first: usize,
    pub(crate) last: usize,
    count: u64,
}

/// A PCR moves the clocks, checks and buffers of all programs that have it, of which a stream may list hundreds. Where it comes in
/// fewer packets than one for so many of them, it is passed over.
const MOVED: u64 = 4;

impl Clocked {
    /// One more of them, behind the others.
    pub(crate) fn and(before: Option<Self>, last: usize) -> Self {
        let (first, others) = before.map_or((last, 0), |before| (before.first, before.count));
        Self { first, last, count: others + 1 }
    }
}

/// The state of one PID.
pub(crate) struct PidState {
    pub(crate) pid: Pid,
    pub(crate) role: Role,
    /// The program that lists it, by number.
    pub(crate) program: Option<u16>,
    /// The programs that have their clock here, and from where on they take the next PCR.
    pub(crate) clock: Option<Clocked>,
    next_pcr: u64,
    pub(crate) scrambled: bool,
    /// The analyser's count of discontinuities when this PID was last seen.
    pub(crate) resets: u32,
    /// The analyser's count of segment boundaries when this PID was last seen.
    pub(crate) boundaries: u32,
    pub(crate) counters: PidCounters,
    pub(crate) continuity: Continuity,
    pub(crate) rate: RateMeter,
    /// Whether some table lists it.
    pub(crate) listed: bool,
    /// Whether a limit says that something must come, of what is neither video nor audio.
    pub(crate) awaited: bool,
    /// Since when it carries something that no table lists, and whether that has lasted.
    pub(crate) stray_since: Option<Position>,
    pub(crate) stray: bool,
}

/// All PIDs seen: a slot of two bytes for each possible one, a state for each that occurs.
pub(crate) struct PidTable {
    slots: Box<[u16]>,
    states: Vec<PidState>,
}

impl PidTable {
    pub(crate) fn new() -> Self {
        Self { slots: vec![0; Pid::COUNT].into_boxed_slice(), states: Vec::new() }
    }

    /// Returns the PID's state and makes it if need be. There are at most 8,192.
    pub(crate) fn entry(&mut self, pid: Pid) -> &mut PidState {
        let slot = match self.slots[usize::from(pid.get())] {
            0 => self.add(pid),
            slot => slot,
        };
        &mut self.states[usize::from(slot) - 1]
    }

    #[cold]
    fn add(&mut self, pid: Pid) -> u16 {
        self.states.push(PidState {
            pid,
            role: Role::None,
            program: None,
            clock: None,
            next_pcr: 0,
            scrambled: false,
            resets: 0,
            boundaries: 0,
            counters: PidCounters::default(),
            continuity: Continuity::new(),
            rate: RateMeter::default(),
            listed: false,
            awaited: false,
            stray_since: None,
            stray: false,
        });
        let slot = self.states.len() as u16;
        self.slots[usize::from(pid.get())] = slot;
        slot
    }

    pub(crate) fn get(&self, pid: Pid) -> Option<&PidState> {
        let slot = self.slots[usize::from(pid.get())];
        self.states.get(usize::from(slot).checked_sub(1)?)
    }

    pub(crate) fn get_mut(&mut self, pid: Pid) -> Option<&mut PidState> {
        let slot = self.slots[usize::from(pid.get())];
        self.states.get_mut(usize::from(slot).checked_sub(1)?)
    }

    /// How many PIDs were seen.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    /// One of them, in the order in which they were first seen.
    pub(crate) fn at(&mut self, index: usize) -> Option<&mut PidState> {
        self.states.get_mut(index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &PidState> {
        self.states.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut PidState> {
        self.states.iter_mut()
    }
}

impl PidState {
    /// Notes a PCR at a place. Gives the programs that it moves.
    pub(crate) fn pcr(&mut self, place: u64) -> Option<Clocked> {
        self.counters.pcrs += 1;
        let clocked = self.clock.filter(|_| place >= self.next_pcr)?;
        self.next_pcr = place + clocked.count / MOVED;
        Some(clocked)
    }

    pub(crate) fn report(&self) -> PidReport {
        PidReport {
            pid: self.pid,
            program: self.program,
            counters: self.counters,
            scrambled: self.scrambled,
            bitrate: self.rate.last(),
            rates: self.rate.rates(),
        }
    }
}
