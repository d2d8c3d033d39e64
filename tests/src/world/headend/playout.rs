//! Keeps the time: sends every source's datagrams when they are due, and carries out orders between two of them.

use std::{
    collections::BTreeMap,
    net::UdpSocket,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::sync::oneshot;

use super::Fault;
use crate::world::{
    elementary::PICTURE_TICKS,
    loss::Loss,
    mux::{Mux, PACKET_TICKS},
    packet::PACKET,
    process::unix_ms,
    programme::{ChangeId, Picture, Sound},
};

/// Packets of a datagram: 1316 bytes fit an Ethernet frame.
const PACKETS: u64 = 7;
/// How often due datagrams are looked for; a datagram lasts 5.6 ms.
const TICK: Duration = Duration::from_millis(5);
/// Datagrams of one source in a tick, when catching up: receivers' buffers hold a hundred, and they need to run, too.
const MAX_BURST: usize = 4;
/// States are published once in so many ticks.
const PUBLISH_TICKS: u64 = 10;
/// Behind by more than this, the schedule starts afresh instead of sending a burst that no receiver could take.
const MAX_LATENESS: Duration = Duration::from_secs(1);

/// States of all sources, for the API.
pub(super) type Shared = Arc<Mutex<Vec<SourceState>>>;

/// What a source does and has done.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceState {
    /// Channel id.
    pub channel: String,
    /// `primary` or `backup`.
    pub source: String,
    /// The picture that enters the multiplex.
    pub picture: String,
    /// The sound that enters the multiplex.
    pub sound: String,
    /// Share of datagrams that is lost.
    pub loss: f64,
    /// Whether anything is sent.
    pub on_air: bool,
    /// Datagrams of 7 packets that were sent.
    pub datagrams_sent: u64,
    /// Datagrams that loss took.
    pub datagrams_dropped: u64,
    /// Datagrams that were due while stopped.
    pub datagrams_withheld: u64,
    /// Datagrams that the host refused to send.
    pub send_errors: u64,
    /// How often the schedule had to start afresh because the host was too slow.
    pub late_restarts: u64,
    /// The longest delay of a datagram against its schedule, in milliseconds.
    pub max_late_ms: f64,
    /// Pictures or sounds that were multiplexed too late to be decoded in time.
    pub late_units: u64,
}

/// When an order took effect on one source.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Applied {
    /// Channel id.
    pub channel: String,
    /// `primary` or `backup`.
    pub source: String,
    /// When the first datagram concerned was sent.
    pub at_unix_ms: u64,
    /// Presentation stamp of the first picture or sound concerned, in ticks of 90 kHz; none where whole datagrams are.
    pub pts: Option<u64>,
    /// When it is over by itself, if it is.
    pub until_unix_ms: Option<u64>,
}

/// A fault for some sources, and where to say that it took effect.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) sources: Vec<usize>,
    pub(super) fault: Fault,
    pub(super) answer: oneshot::Sender<Result<Vec<Applied>, String>>,
}

/// An order of which some sources have not reached the picture yet.
#[derive(Debug)]
struct Pending {
    waiting: BTreeMap<usize, Option<Duration>>,
    applied: Vec<Applied>,
    answer: oneshot::Sender<Result<Vec<Applied>, String>>,
}

#[derive(Debug)]
struct Source {
    mux: Mux,
    loss: Loss,
    socket: UdpSocket,
    /// Its first packet is due so much after the start.
    offset: Duration,
    sent_from: Instant,
    state: SourceState,
}

/// All sources and their time.
#[derive(Debug, Default)]
pub(super) struct Playout {
    sources: Vec<Source>,
    pending: BTreeMap<ChangeId, Pending>,
    next_change: ChangeId,
    shared: Shared,
}

impl Playout {
    pub(super) fn add(
        &mut self,
        (channel, source): (&str, &str),
        mux: Mux,
        loss: Loss,
        socket: UdpSocket,
        offset_ms: u64,
    ) {
        let state = SourceState {
            channel: channel.to_owned(),
            source: source.to_owned(),
            on_air: true,
            ..SourceState::default()
        };
        let offset = Duration::from_millis(offset_ms);
        self.sources.push(Source { mux, loss, socket, offset, sent_from: Instant::now(), state });
    }

    pub(super) fn shared(&self) -> Shared {
        Arc::clone(&self.shared)
    }

    /// Plays until nobody can give orders any more.
    pub(super) fn run(mut self, orders: &mpsc::Receiver<Order>) {
        let start = Instant::now();
        for source in &mut self.sources {
            source.sent_from = start + source.offset;
        }
        let (mut next_tick, mut ticks) = (start, 0_u64);
        loop {
            match orders.recv_timeout(next_tick.saturating_duration_since(Instant::now())) {
                Ok(order) => {
                    self.carry_out(order);
                    continue;
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            self.send_due(Instant::now());
            if ticks.is_multiple_of(PUBLISH_TICKS) {
                self.publish();
            }
            ticks += 1;
            next_tick = (next_tick + TICK).max(Instant::now());
        }
    }

    fn send_due(&mut self, now: Instant) {
        for place in 0..self.sources.len() {
            for _ in 0..MAX_BURST {
                let Some(effects) = self.sources[place].send_if_due(now) else { break };
                for effect in effects {
                    self.took_effect(place, effect.change, Some(effect.pts));
                }
            }
        }
    }

    fn publish(&self) {
        let states = self.sources.iter().map(Source::state).collect();
        *self.shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = states;
    }

    fn carry_out(&mut self, order: Order) {
        let Order { sources, fault, answer } = order;
        let at_once = sources.iter().try_for_each(|place| self.sources[*place].set(fault));
        if let Err(why) = at_once {
            // Whoever asked may be gone, which is no reason to stop playing.
            let _ = answer.send(Err(why));
            return;
        }
        self.next_change += 1;
        let change = self.next_change;
        let (picture, sound) = programme_of(fault);
        // The same picture of the programme on all, which the latest of them has not passed either.
        let group = sources.iter().map(|place| self.sources[*place].mux.next_group()).max();
        let mut pending = Pending { waiting: BTreeMap::new(), applied: Vec::new(), answer };
        let mut immediate = Vec::new();
        for place in sources {
            let mux = &mut self.sources[place].mux;
            let from = group.unwrap_or_else(|| mux.next_group());
            match mux.plan(from, picture, sound, change) {
                Ok(end) => {
                    let lasts =
                        end.map(|end| Duration::from_millis((end - from) * PICTURE_TICKS / 90));
                    pending.waiting.insert(place, lasts);
                }
                Err(()) => immediate.push(place),
            }
        }
        // A plan forgets what was planned before on the same source.
        self.pending.retain(|_, old| !old.waiting.keys().any(|p| pending.waiting.contains_key(p)));
        for place in &immediate {
            pending.waiting.insert(*place, None);
        }
        self.pending.insert(change, pending);
        for place in immediate {
            self.took_effect(place, change, None);
        }
    }

    fn took_effect(&mut self, place: usize, change: ChangeId, pts: Option<u64>) {
        let Some(pending) = self.pending.get_mut(&change) else { return };
        let lasts = pending.waiting.remove(&place).flatten();
        let state = &self.sources[place].state;
        let at_unix_ms = unix_ms();
        pending.applied.push(Applied {
            channel: state.channel.clone(),
            source: state.source.clone(),
            at_unix_ms,
            pts,
            until_unix_ms: lasts.map(|lasts| at_unix_ms + lasts.as_millis() as u64),
        });
        if pending.waiting.is_empty()
            && let Some(pending) = self.pending.remove(&change)
        {
            let _ = pending.answer.send(Ok(pending.applied));
        }
    }
}

impl Source {
    /// Sends the next datagram if it is due, and says which changes began with it.
    fn send_if_due(&mut self, now: Instant) -> Option<Vec<crate::world::mux::Effect>> {
        let due = self.sent_from + self.position();
        let late = now.checked_duration_since(due)?;
        self.state.max_late_ms = self.state.max_late_ms.max(late.as_secs_f64() * 1e3);
        if late > MAX_LATENESS {
            self.sent_from += late;
            self.state.late_restarts += 1;
        }
        let mut datagram = Vec::with_capacity(PACKET * PACKETS as usize);
        for _ in 0..PACKETS {
            self.mux.write_packet(&mut datagram);
        }
        if !self.state.on_air {
            self.state.datagrams_withheld += 1;
        } else if !self.loss.drops() {
            match self.socket.send(&datagram) {
                Ok(_) => self.state.datagrams_sent += 1,
                Err(_) => self.state.send_errors += 1,
            }
        }
        Some(self.mux.take_effects())
    }

    /// Media time of the next packet since the start.
    fn position(&self) -> Duration {
        Duration::from_nanos(self.mux.packets() * PACKET_TICKS * 1_000 / 27)
    }

    /// Carries out the part of a fault that concerns whole datagrams.
    fn set(&mut self, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::Loss { fraction } => self.loss.set(fraction)?,
            Fault::Stop => self.state.on_air = false,
            Fault::Resume => self.state.on_air = true,
            Fault::Normal => {
                self.loss.set(0.0)?;
                self.state.on_air = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn state(&self) -> SourceState {
        let (picture, sound) = self.mux.current();
        SourceState {
            picture: format!("{picture:?}").to_lowercase(),
            sound: format!("{sound:?}").to_lowercase(),
            loss: self.loss.fraction(),
            datagrams_dropped: self.loss.counts().1,
            late_units: self.mux.late_units(),
            ..self.state.clone()
        }
    }
}

/// Which picture and sound a fault asks for; `None` leaves them.
const fn programme_of(fault: Fault) -> (Option<Picture>, Option<Sound>) {
    match fault {
        Fault::Normal => (Some(Picture::Normal), Some(Sound::Normal)),
        Fault::Black => (Some(Picture::Black), None),
        Fault::Frozen => (Some(Picture::Frozen), None),
        Fault::FrozenNoisy => (Some(Picture::FrozenNoisy), None),
        Fault::Fade => (Some(Picture::Fade), None),
        Fault::Dark => (Some(Picture::Dark), None),
        Fault::NoVideo => (Some(Picture::Absent), None),
        Fault::Silent => (None, Some(Sound::Silent)),
        Fault::Quiet => (None, Some(Sound::Quiet)),
        Fault::NoAudio => (None, Some(Sound::Absent)),
        Fault::Loss { .. } | Fault::Stop | Fault::Resume => (None, None),
    }
}
