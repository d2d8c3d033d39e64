//! One component of a wanted program: its PES packets, its access units, and whether it is alive.

use alloc::vec::Vec;
use core::{cell::OnceCell, time::Duration};

use tallylight_model::{MonoTime, Pid, Pts};

use crate::{
    AccessUnit, Captions, Coding, Component, Offset, Parameters, Payload, Pictures, Position,
    UnitCounters,
    buffer::{Change, Model, Now},
    cutter::{Cutter, Draft},
    offset::OffsetMeter,
    outbox::Outbox,
    packet::{Header, PAYLOAD},
    pes::{self, Stamps},
    pictures::Census,
    structure::Life,
    timeline::{Lead, MAX_STEP, Timeline},
    watch::Watch,
};

/// A component's stamps are counted from anew after this long without a PCR, so that they never are a wrap-around away.
const REBASE: Duration = Duration::from_secs(10);

/// One component, for reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ElementaryReport {
    /// Where it is carried.
    pub pid: Pid,
    /// The program that it belongs to.
    pub program: u16,
    /// How it is coded.
    pub coding: Coding,
    /// Whether it is its program's main sound.
    pub main_audio: bool,
    /// What was counted.
    pub units: UnitCounters,
    /// What its own headers say.
    pub parameters: Parameters,
    /// Where its last access unit began; for codings that are not cut, its last PES packet.
    pub last_unit: Option<Position>,
    /// Since where captions were seen in its pictures.
    pub captions: Captions,
    /// Its pictures by type; none of sound.
    pub pictures: Pictures,
    /// How long before their presentation its PES packets come, by the program's clock where they begin; `None` before a whole
    /// second, without a clock or stamps.
    pub lead: Option<Offset>,
    /// Since where it is scrambled, if it is.
    pub scrambled_since: Option<Position>,
}

/// Where a packet stands.
pub(crate) struct Here<'a> {
    pub(crate) packet: u64,
    pub(crate) place: u64,
    pub(crate) at: MonoTime,
    pub(crate) timeline: &'a Timeline,
    /// Media time there, once somebody asked for it.
    pub(crate) media: OnceCell<Option<Duration>>,
}

impl Here<'_> {
    pub(crate) fn position(&self) -> Position {
        Position { packet: self.packet, at: self.at, media: self.media() }
    }

    #[cfg(test)]
    pub(crate) fn at_start_of(timeline: &Timeline) -> Here<'_> {
        Here { packet: 0, place: 0, at: MonoTime::ZERO, timeline, media: OnceCell::new() }
    }

    fn media(&self) -> Option<Duration> {
        *self.media.get_or_init(|| self.timeline.now(self.place))
    }
}

/// The state of one component.
pub(crate) struct Elementary {
    pub(crate) pid: Pid,
    pub(crate) program: u16,
    pub(crate) coding: Coding,
    /// The index of its program.
    pub(crate) owner: usize,
    pub(crate) main: bool,
    pub(crate) packets: Watch,
    /// Whether packets came since the checks ran last.
    pub(crate) alive: bool,
    /// Where an access unit began since the checks ran last.
    pub(crate) began: Option<Position>,
    pub(crate) life: Life,
    pub(crate) lead: OffsetMeter,
    census: Census,
    pub(crate) scrambled_since: Option<Position>,
    /// Presentation stamps, as TR 101 290, 2.5 asks for.
    pub(crate) stamps: Watch,
    /// Where a stamp came with the last packet, and how far it is from the one before by their own values.
    pub(crate) stamped: Option<(Position, Option<Duration>)>,
    last_stamp: Option<Pts>,
    /// Pictures may stand still: stamps come as they like.
    pub(crate) still: bool,
    /// What the stamps say of the time that passed without a PCR: since when, and how much.
    pub(crate) carry: Option<(Duration, Duration)>,
    pub(crate) model: Model,
    pes: pes::Reader,
    cutter: Cutter,
    ready: Vec<Draft>,
    counters: UnitCounters,
    last_unit: Option<Position>,
    /// The random access indicator, until the PES packet's header is complete.
    random_access: bool,
    /// A stamp with its media time and the number of PCRs then.
    reference: Option<(Pts, Duration, u32)>,
}

impl Elementary {
    pub(crate) fn new(component: &Component, program: u16, payload: Payload) -> Self {
        Self {
            pid: component.pid,
            program,
            coding: component.coding,
            owner: 0,
            main: false,
            packets: Watch::default(),
            alive: false,
            began: None,
            life: Life::default(),
            lead: OffsetMeter::default(),
            census: Census::default(),
            scrambled_since: None,
            stamps: Watch::default(),
            stamped: None,
            last_stamp: None,
            still: component.still,
            carry: None,
            model: Model::new(component.coding, component.still),
            pes: pes::Reader::default(),
            cutter: Cutter::new(component.coding.codec(), payload),
            ready: Vec::new(),
            counters: UnitCounters::default(),
            last_unit: None,
            random_access: false,
            reference: None,
        }
    }

    pub(crate) fn set_payload(&mut self, payload: Payload) {
        self.cutter.set_payload(payload);
    }

    /// Shares what pictures in progress may hold with other streams.
    pub(crate) fn share(&mut self, streams: usize) {
        self.cutter.share(streams);
    }

    pub(crate) fn report(&self) -> ElementaryReport {
        ElementaryReport {
            pid: self.pid,
            program: self.program,
            coding: self.coding,
            main_audio: self.main,
            units: UnitCounters { resyncs: self.cutter.resyncs(), ..self.counters },
            parameters: self.cutter.parameters(),
            last_unit: self.last_unit,
            captions: self.cutter.captions(),
            pictures: self.census.pictures,
            lead: self.lead.report(),
            scrambled_since: self.scrambled_since,
        }
    }

    /// Takes a packet's payload; `lost` if packets are missing before it.
    pub(crate) fn push(&mut self, here: &Here<'_>, lost: bool, header: &Header, payload: &[u8]) {
        self.alive = true;
        if lost || header.transport_error {
            self.lost();
        }
        if header.scrambled {
            self.pes.reset();
            self.cutter.flush(&mut self.ready);
            if header.has_payload {
                let position = here.position();
                self.began = Some(position);
                self.life.sign(position);
            }
            return;
        }
        self.model.packet(here.packet, header.unit_start, payload.len());
        if payload.is_empty() && !header.unit_start {
            return;
        }
        self.random_access |= header.unit_start && header.random_access();
        let part = self.pes.push(header.unit_start, payload);
        self.counters.pes_errors += u64::from(part.broken);
        if let Some(stamps) = part.started {
            self.counters.pes += 1;
            if let Some(pts) = stamps.pts {
                let step = self.last_stamp.replace(pts).map(|last| pts.ticks_since(last));
                let step = step.map(|ticks| Pts::from_ticks(ticks.unsigned_abs()));
                let step = step.and_then(|step| step.since(Pts::from_ticks(0)));
                self.stamped = Some((here.position(), step));
                if let Some(clock) = here.timeline.clock(here.place) {
                    self.lead.add(pts.ticks_since(Pts::from_ticks(clock.ticks() / 300)));
                }
            }
            let random_access = core::mem::take(&mut self.random_access);
            self.refer(here, stamps);
            self.cutter.stamps(stamps, random_access);
        }
        let began = match self.cutter {
            Cutter::None => part.started.is_some(),
            _ => !part.data.is_empty() && self.cutter.push(part.data, here, &mut self.ready),
        };
        if began {
            let position = here.position();
            (self.began, self.last_unit) = (Some(position), Some(position));
            self.life.sign(position);
        }
    }

    /// Takes full payloads from a packet on as long as they only carry on what is in progress, which leaves nothing to do, and returns how many.
    pub(crate) fn carry_on<'a>(
        &mut self,
        packet: u64,
        payloads: impl Iterator<Item = &'a [u8; PAYLOAD]>,
    ) -> usize {
        let taken = self.cutter.carry_on(payloads.take(self.pes.expected() / PAYLOAD));
        self.pes.take(taken * PAYLOAD);
        self.model.full_packets(packet, taken);
        self.alive |= taken > 0;
        taken
    }

    /// Whether the last packet left nothing to do, as most do.
    pub(crate) const fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.carry.is_none() && self.stamped.is_none()
    }

    /// Whether no PES packet could be looked into.
    pub(crate) const fn is_hidden(&self) -> bool {
        self.scrambled_since.is_some() && self.counters.pes == 0
    }

    /// Packets are missing here.
    pub(crate) fn lost(&mut self) {
        self.pes.lost();
        self.census.cut();
        self.cutter.lost(&mut self.ready);
    }

    /// Ends the access unit in progress.
    pub(crate) fn flush(&mut self) {
        self.pes.reset();
        self.cutter.flush(&mut self.ready);
        self.reference = None;
    }

    /// Compares a PES packet's stamp with one at a known time, in case PCRs stay out.
    fn refer(&mut self, here: &Here<'_>, stamps: Stamps) {
        let Some(stamp) = stamps.dts.or(stamps.pts) else { return };
        let ticks = here.timeline.ticks();
        let ahead = self
            .reference
            .filter(|(_, _, then)| *then == ticks)
            .and_then(|(from, base, _)| Some((base, stamp.since(from)?)))
            .filter(|(_, ahead)| *ahead <= MAX_STEP);
        match ahead {
            Some((base, ahead)) => {
                self.carry = Some((base, ahead));
                if ahead > REBASE {
                    self.reference = Some((stamp, base + ahead, ticks));
                }
            }
            None => {
                let now = here.media().unwrap_or_default();
                self.reference = Some((stamp, now, ticks));
            }
        }
    }

    /// Follows its buffers up to a PCR.
    pub(crate) fn follow_buffers(&mut self, now: &Now<'_>, out: &mut Vec<Change>) {
        self.model.advance(self.cutter.sizes(), Some(self.pid), now, out);
    }

    /// Hands out the access units that are complete.
    pub(crate) fn drain(&mut self, timeline: &mut Timeline, out: &mut Outbox) {
        let Some(codec) = self.coding.codec() else { return };
        let (end, mut offset) = match self.cutter.buffered() {
            Some(buffered) => {
                let sizes = self.ready.iter().map(|draft| draft.size).sum::<usize>();
                self.model.here(buffered + sizes)
            }
            None => self.model.end_before(self.cutter.following()),
        };
        for draft in &mut self.ready {
            if self.cutter.buffered().is_some() {
                offset += draft.size as u64;
            }
            if !draft.cut {
                let stamp = draft.stamps.dts.or(draft.stamps.pts);
                self.model.unit(draft.begin.packet, (end, offset), stamp, draft.damaged);
            }
            self.counters.units += 1;
            self.counters.keys += u64::from(draft.key);
            self.counters.damaged += u64::from(draft.damaged);
            self.counters.oversized += u64::from(draft.oversized);
            self.counters.bytes += draft.size as u64;
            if codec.is_video() {
                self.census.add(draft);
            }
            let pts = draft.stamps.pts;
            let lead = match (codec.is_video(), draft.key) {
                (true, true) => Lead::KeyPicture,
                (true, false) => Lead::Picture,
                (false, _) => Lead::Sound,
            };
            let begin = draft.begin.media.unwrap_or_default();
            let shown = pts.and_then(|pts| timeline.presented(pts, lead, begin, draft.era));
            out.push_unit(AccessUnit {
                pid: self.pid,
                program: self.program,
                codec,
                pts,
                dts: draft.stamps.dts,
                key: draft.key,
                picture: draft.picture,
                size: draft.size,
                damaged: draft.damaged,
                cut: draft.cut,
                media_time: shown.or(draft.begin.media),
                position: draft.begin,
                data: core::mem::take(&mut draft.data),
            });
        }
        self.ready.clear();
    }
}
