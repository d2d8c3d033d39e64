//! The buffers of the system target decoder, T-STD (ISO/IEC 13818-1 and ITU-T H.222.0, 2.4.2; TR 101 290, 3.3, 3.9 and 3.10).
//!
//! Whether a stream can be decoded by a receiver with the buffers that the standard gives it: whole packets enter a transport
//! buffer (TB), their payload goes on to a multiplexing buffer (MB) and an elementary stream buffer (EB) for pictures, or to a main
//! buffer (B) for sound, and access units leave at their decoding time. The clock is the program's own PCR, so a file is judged the
//! same at any speed, and a stream without a clock not at all.
//!
//! What the stream does is known only once the next PCR says how fast packets came. So packets are counted, and the buffers
//! followed from PCR to PCR:
//!
//! - An access unit is late, or stays too long, by the places of its first and last byte, exactly.
//! - EB, MB and B are looked at just before each decoding time, with bytes spread evenly between two PCRs.
//! - TB is followed packet by packet, but only while the multiplex is faster than TB empties: else nothing can pile up. It is
//!   not looked at where there are no null packets, since a rate that no multiplexer kept says nothing of single packets.
//!
//! The leak method alone is followed, with buffers as large as profile and level allow. The rejected alternative, a simulation
//! byte by byte, finds the same but for some packets' worth of bytes, and costs as much as all other checks together.

mod clock;
mod component;
mod holding;
mod sizes;
mod system;
mod transport;

use tallylight_model::Pcr;

use crate::{
    Check, CheckProfile, Indicator, Overflow, Position, Setting, Table, Unavailable,
    elementary::Elementary, flow::Flow, packet::Header, timeline::Step,
};

pub(crate) use clock::Clock;
pub(crate) use component::Model;
pub(crate) use holding::{Change, Now};
pub(crate) use sizes::Sizes;
pub(crate) use system::System;

/// What can be wrong with the buffers of the system target decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BufferFault {
    /// Access units are complete only after their decoding time: EB, or B, underflows (3.3).
    Late,
    /// TB overflows (3.3, `TB_buffering_error`).
    TransportOverflow,
    /// MB overflows, EB being full (3.3, `MB_buffering_error`).
    MultiplexOverflow,
    /// B overflows (3.3, `B_buffering_error`).
    MainOverflow,
    /// `TBsys` overflows (3.3, `TBsys_buffering_error`).
    SystemTransportOverflow,
    /// Bsys overflows (3.3, `Bsys_buffering_error`).
    SystemOverflow,
    /// TB is not empty once a second (3.9).
    TransportBusy,
    /// MB is not empty once a second (3.9).
    MultiplexBusy,
    /// `TBsys` is not empty once a second (3.9).
    SystemBusy,
    /// Data stay in the buffers for longer than they may (3.10).
    Delay,
}

impl BufferFault {
    /// Returns what is wrong, in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Late => "access units are complete only after their decoding time",
            Self::TransportOverflow => "the transport buffer overflows",
            Self::MultiplexOverflow => "the multiplexing buffer overflows",
            Self::MainOverflow => "the main buffer overflows",
            Self::SystemTransportOverflow => "the transport buffer of the tables overflows",
            Self::SystemOverflow => "the buffer of the tables overflows",
            Self::TransportBusy => "the transport buffer is never empty",
            Self::MultiplexBusy => "the multiplexing buffer is never empty",
            Self::SystemBusy => "the transport buffer of the tables is never empty",
            Self::Delay => "data come too long before their decoding time",
        }
    }

    pub(crate) const fn indicators(self) -> &'static [Indicator] {
        match self {
            Self::Late
            | Self::TransportOverflow
            | Self::MultiplexOverflow
            | Self::MainOverflow
            | Self::SystemTransportOverflow
            | Self::SystemOverflow => &[Indicator::Buffer],
            Self::TransportBusy | Self::MultiplexBusy | Self::SystemBusy => {
                &[Indicator::EmptyBuffer]
            }
            Self::Delay => &[Indicator::DataDelay],
        }
    }

    const fn is_overflow(self) -> bool {
        matches!(
            self,
            Self::TransportOverflow
                | Self::MultiplexOverflow
                | Self::MainOverflow
                | Self::SystemTransportOverflow
                | Self::SystemOverflow
        )
    }
}

/// Whether a profile looks at any of it.
pub(crate) fn is_followed(profile: &CheckProfile) -> bool {
    [Indicator::Buffer, Indicator::EmptyBuffer, Indicator::DataDelay]
        .into_iter()
        .any(|check| profile.setting(check) != Setting::Off)
}

impl Flow {
    /// A packet with tables goes into the buffers of the programs that need them.
    pub(crate) fn buffer_table(&mut self, table: Table, header: &Header) {
        if !self.follows_buffers {
            return;
        }
        let packet = self.totals.packets;
        // What comes before a clock runs is forgotten with its first PCR.
        let programs = self.programs.iter_mut();
        for program in programs.filter(|program| program.wanted && program.clock.runs()) {
            let own = match table {
                Table::Pat | Table::Cat => true,
                Table::Pmt => program.service.pmt_pid == Some(header.pid),
                _ => false,
            };
            if own {
                program.system.packet(packet);
            }
        }
    }

    /// Follows a program's buffers up to its next PCR.
    pub(crate) fn follow_buffers(&mut self, i: usize, pcr: Pcr, step: Step, here: Position) {
        let Self { programs, streams, changes: out, .. } = self;
        let program = &mut programs[i];
        if step == Step::Suspect || !program.wanted || !self.follows_buffers {
            return;
        }
        let streams = &mut streams[program.components.clone()];
        if matches!(step, Step::Passed(_)) && program.clock.pcr(pcr, here.packet) {
            let now = Now::new(&program.clock, here, self.totals.null_packets > 0);
            program.system.advance(&now, out);
            for stream in streams {
                stream.follow_buffers(&now, out);
            }
        } else {
            if !matches!(step, Step::Passed(_)) {
                program.clock.reset();
                program.clock.pcr(pcr, here.packet);
            }
            program.system.reset(here, out);
            for stream in streams {
                stream.model.reset(Some(stream.pid), here, out);
            }
        }
        if !out.is_empty() {
            self.tell_changes(Some(i));
        }
    }

    /// Tells what the buffers of a program came to.
    pub(crate) fn tell_changes(&mut self, program: Option<usize>) {
        let mut changes = core::mem::take(&mut self.changes);
        for change in changes.drain(..) {
            self.buffer_change(program, change);
        }
        self.changes = changes;
    }

    /// Nothing is known of a program's buffers from here on.
    pub(crate) fn forget_buffers(&mut self, i: usize) {
        let here = self.position(Some(i));
        let program = &mut self.programs[i];
        program.clock.reset();
        program.system.reset(here, &mut self.changes);
        for stream in &mut self.streams[program.components.clone()] {
            stream.model.reset(Some(stream.pid), here, &mut self.changes);
        }
        self.tell_changes(Some(i));
    }

    fn buffer_change(&mut self, program: Option<usize>, change: Change) {
        let Change { pid, fault, holds, since, at } = change;
        if !fault.is_overflow() || self.config.profile.overflow == Overflow::Counted {
            self.condition_at(Check::Buffer(fault), pid, program, holds, since, at);
        }
    }

    /// Why nothing can be said of the buffers.
    pub(crate) fn buffers_unavailable(&self) -> Option<Unavailable> {
        if self.streams.iter().any(|stream| stream.model.judged) {
            None
        } else if self.streams.iter().any(Elementary::is_hidden) {
            Some(Unavailable::Scrambled)
        } else {
            Some(Unavailable::NoModel)
        }
    }
}
