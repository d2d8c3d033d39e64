//! UDP and RTP: sockets swept in batches by one thread.
//!
//! Waking the program for every datagram of an 8 Mb/s stream costs 1.7 % of a core, sweeping 200 sockets with recvmmsg
//! every 10 ms costs 0.06 % a stream (measured). So no socket is registered with the async runtime: one thread polls all
//! of them at once, reads what is ready and hands each session one run of bytes. The kernel stamps every datagram, so
//! times stay exact although the program looks only now and then. A bounded queue lies between the thread and each
//! session; when it is full the datagrams are counted as dropped by this host, never as lost by the stream.

use std::{
    io::IoSliceMut,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc as blocking,
    },
    thread,
    time::Duration,
};

use nix::{
    cmsg_space,
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout},
    sys::{
        socket::{ControlMessageOwned, MsgFlags, MultiHeaders, recvmmsg, setsockopt, sockopt},
        time::TimeSpec,
    },
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tallylight_model::{FaultKind, MonoTime};
use tokio::sync::mpsc;

use super::{
    attend::attend,
    clock::{self, ClockSample, StampClock, SweepStamps},
};
use crate::input::{
    Attention, Backoff, DatagramSpec, Framing, InputEvent, Phases,
    arrival::{Arrival, ArrivalMeter},
    rtp::{FEC_PORTS, Reorder, RtpError, RtpPacket},
};

mod correction;
mod outbox;

use correction::Correction;
use outbox::Outbox;

/// How often the sockets are swept.
const SWEEP_EVERY: Duration = Duration::from_millis(10);
/// How often a socket that nothing arrives on is said to be silent.
const QUIET_EVERY: Duration = Duration::from_millis(50);
/// Datagrams read by one system call.
const BATCH: usize = 32;
/// Calls for one socket in one sweep: 2,048 datagrams, over 2 Gb/s of transport stream. The rest waits in the kernel.
const CALLS: usize = 64;
/// The largest UDP payload there is, so that nothing is ever cut off. Memory that is never written is never resident.
const DATAGRAM: usize = 65_536;
/// A socket that nothing arrived on for this long is opened anew: an interface that went away took the membership with
/// it, and a switch that forgot the group learns of it again.
const REJOIN_AFTER: Duration = Duration::from_secs(30);
/// Bytes of a transport packet (ISO/IEC 13818-1, 2.4.3.2).
const PACKET: usize = 188;
/// What is asked of the kernel for each socket unless told otherwise, in bytes: a second of 60 Mb/s, as the sweeping thread may have to wait for a core.
pub const RECEIVE_BUFFER: usize = 8 << 20;

/// The same for a socket on which forward error correction may come: it is only counted.
const CORRECTION_BUFFER: usize = 256 << 10;

/// Why a socket cannot be opened. The texts hold no address.
#[derive(Debug, thiserror::Error)]
pub enum UdpError {
    /// There is no interface of that name.
    #[error("no interface \"{0}\"")]
    Interface(String),
    /// The interface has no address of the family that the source filter needs.
    #[error("interface \"{0}\" has no IPv4 address")]
    InterfaceAddress(String),
    /// The system refused a step.
    #[error("cannot {step}: {error}")]
    Socket {
        /// Which.
        step: &'static str,
        /// Why.
        error: std::io::Error,
    },
}

/// Opens a socket for one stream: a multicast socket is bound to its group, so that other groups on the same port stay
/// out, and may be opened by several agents on one host. A unicast socket may not: the second would starve the first.
///
/// # Errors
/// [`UdpError`] says which step failed.
pub fn open(spec: &DatagramSpec, receive_buffer: usize) -> Result<Socket, UdpError> {
    let failed = |step| move |error| UdpError::Socket { step, error };
    let address = spec.address;
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))
        .map_err(failed("open a socket"))?;
    socket.set_nonblocking(true).map_err(failed("make the socket non-blocking"))?;
    set_buffer(&socket, receive_buffer);
    let option = |step| move |errno: Errno| UdpError::Socket { step, error: errno.into() };
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)
        .map_err(option("ask for receive stamps"))?;
    setsockopt(&socket, sockopt::RxqOvfl, &1).map_err(option("ask for the drop count"))?;
    if address.ip().is_multicast() {
        socket.set_reuse_address(true).map_err(failed("share the port"))?;
    }
    socket.bind(&address.into()).map_err(failed("bind"))?;
    match address {
        SocketAddr::V4(group) if group.ip().is_multicast() => join_v4(&socket, *group.ip(), spec)?,
        SocketAddr::V6(group) if group.ip().is_multicast() => {
            // Without this a group that somebody else on the host joined on another interface would come in, too.
            socket.set_multicast_all_v6(false).map_err(failed("limit to the joined group"))?;
            let index = spec.interface.as_deref().map_or(Ok(0), interface_index)?;
            socket.join_multicast_v6(group.ip(), index).map_err(failed("join the group"))?;
        }
        _ => {}
    }
    Ok(socket)
}

fn join_v4(socket: &Socket, group: Ipv4Addr, spec: &DatagramSpec) -> Result<(), UdpError> {
    let failed = |step| move |error| UdpError::Socket { step, error };
    socket.set_multicast_all_v4(false).map_err(failed("limit to the joined group"))?;
    match (spec.source, spec.interface.as_deref()) {
        (Some(IpAddr::V4(source)), interface) => {
            let interface = interface.map_or(Ok(Ipv4Addr::UNSPECIFIED), interface_v4)?;
            socket.join_ssm_v4(&source, &group, &interface)
        }
        (_, interface) => {
            let index = interface.map_or(Ok(0), interface_index)?;
            socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))
        }
    }
    .map_err(failed("join the group"))
}

fn interface_index(name: &str) -> Result<u32, UdpError> {
    nix::net::if_::if_nametoindex(name).map_err(|_| UdpError::Interface(name.to_owned()))
}

fn interface_v4(name: &str) -> Result<Ipv4Addr, UdpError> {
    interface_index(name)?;
    let addresses = nix::ifaddrs::getifaddrs()
        .map_err(|errno| UdpError::Socket { step: "list interfaces", error: errno.into() })?;
    addresses
        .filter(|entry| entry.interface_name == name)
        .find_map(|entry| entry.address?.as_sockaddr_in().map(nix::sys::socket::SockaddrIn::ip))
        .ok_or_else(|| UdpError::InterfaceAddress(name.to_owned()))
}

/// Asks for a receive buffer: past the system's limit where the process may, else up to it.
fn set_buffer(socket: &Socket, wanted: usize) {
    if setsockopt(socket, sockopt::RcvBufForce, &wanted).is_err() {
        // A smaller buffer still works; what it drops is counted.
        let _ = socket.set_recv_buffer_size(wanted);
    }
    // The kernel doubles what it was asked for, to account for its own bookkeeping (socket(7)).
    let given = socket.recv_buffer_size().unwrap_or(0) / 2;
    if given < wanted {
        tracing::info!(given, wanted, "receive buffer is limited by net.core.rmem_max");
    } else {
        tracing::debug!(given, "receive buffer");
    }
}

/// Receives until dropped. Opening is tried again with backoff: an interface may come up later.
pub(super) async fn run(sweeper: &Sweeper, spec: &DatagramSpec, tx: &mpsc::Sender<InputEvent>) {
    receive(sweeper, spec, tx, REJOIN_AFTER).await;
}

async fn receive(
    sweeper: &Sweeper,
    spec: &DatagramSpec,
    tx: &mpsc::Sender<InputEvent>,
    rejoin_after: Duration,
) {
    let mut backoff = Backoff::default();
    let mut failing = false;
    loop {
        let event = match open(spec, sweeper.receive_buffer) {
            Ok(socket) => {
                backoff.reset();
                if std::mem::take(&mut failing)
                    && tx.send(unreachable(false, String::new())).await.is_err()
                {
                    return;
                }
                let Some(registration) = sweeper.add(socket, spec.framing, tx.clone()) else {
                    let error = Some("the receiving thread is gone".to_owned());
                    let _ = tx.send(InputEvent::End { at: clock::now(), error }).await;
                    return;
                };
                let _correction = sweeper.add_correction(spec, tx);
                if !spec.address.ip().is_multicast() {
                    // There is no membership to lose, and the port would not be free at once.
                    return tx.closed().await;
                }
                registration.silent_for(rejoin_after).await;
                continue;
            }
            Err(error) => (!failing).then(|| unreachable(true, error.to_string())),
        };
        failing = true;
        if let Some(event) = event
            && tx.send(event).await.is_err()
        {
            return;
        }
        let mut attention = Attention::new(clock::now());
        let wait = tokio::time::sleep(backoff.delay());
        if attend(&mut attention, tx, wait).await.is_err() {
            return;
        }
    }
}

fn unreachable(holds: bool, evidence: String) -> InputEvent {
    InputEvent::Condition { at: clock::now(), kind: FaultKind::Unreachable, holds, evidence }
}

/// The thread that sweeps all sockets. It ends when the last handle is gone, and sleeps while there is no socket.
#[derive(Clone, Debug)]
pub struct Sweeper {
    arrivals: blocking::Sender<Slot>,
    stepped: Arc<AtomicU64>,
    receive_buffer: usize,
}

/// What the thread and an input tell each other about a socket.
#[derive(Debug, Default)]
struct Shared {
    gone: AtomicBool,
    arrived: AtomicBool,
}

/// Keeps a socket in the sweep; dropping it takes the socket out.
#[derive(Debug)]
struct Registration(Arc<Shared>);

impl Registration {
    /// Waits until nothing arrived for that long, give or take as much again.
    async fn silent_for(&self, span: Duration) {
        loop {
            tokio::time::sleep(span).await;
            if !self.0.arrived.swap(false, Ordering::Relaxed) {
                return;
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Relaxed);
    }
}

impl Sweeper {
    /// Starts the thread; sockets ask for a receive buffer of so many bytes.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(receive_buffer: usize) -> std::io::Result<Self> {
        let (arrivals, queue) = blocking::channel();
        let stepped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&stepped);
        thread::Builder::new().name("udp-sweep".to_owned()).spawn(move || {
            Sweep { queue, slots: Vec::new(), clock: StampClock::default(), counter }.run();
        })?;
        Ok(Self { arrivals, stepped, receive_buffer })
    }

    /// Returns how many reads had unusable receive stamps since the wall clock stepped.
    #[must_use]
    pub fn stepped(&self) -> u64 {
        self.stepped.load(Ordering::Relaxed)
    }

    /// Takes a socket in; `None` if the thread is gone.
    fn add(
        &self,
        socket: Socket,
        framing: Framing,
        tx: mpsc::Sender<InputEvent>,
    ) -> Option<Registration> {
        let content = match framing {
            Framing::Ts => Content::Ts,
            Framing::Rtp => Content::Rtp(Box::default()),
        };
        self.add_slot(socket, content, tx)
    }

    /// Listens for forward error correction beside a multicast RTP stream. A unicast socket on a port nearby might take away what is meant
    /// for somebody else on this host, so there it stays unknown.
    fn add_correction(
        &self,
        spec: &DatagramSpec,
        tx: &mpsc::Sender<InputEvent>,
    ) -> Vec<Registration> {
        if spec.framing != Framing::Rtp || !spec.address.ip().is_multicast() {
            return Vec::new();
        }
        let ports = FEC_PORTS.into_iter().filter_map(|step| spec.address.port().checked_add(step));
        ports
            .filter_map(|port| {
                let mut spec = spec.clone();
                spec.address.set_port(port);
                // What cannot be listened for is not seen, and the stream is none the worse.
                let socket = open(&spec, CORRECTION_BUFFER).ok()?;
                self.add_slot(socket, Content::Fec(Correction::default()), tx.clone())
            })
            .collect()
    }

    fn add_slot(
        &self,
        socket: Socket,
        content: Content,
        tx: mpsc::Sender<InputEvent>,
    ) -> Option<Registration> {
        let shared = Arc::new(Shared::default());
        let registration = Registration(Arc::clone(&shared));
        self.arrivals.send(Slot::new(socket.into(), shared, content, Outbox::new(tx))).ok()?;
        Some(registration)
    }
}

struct Sweep {
    queue: blocking::Receiver<Slot>,
    slots: Vec<Slot>,
    clock: StampClock,
    counter: Arc<AtomicU64>,
}

impl Sweep {
    fn run(mut self) {
        let mut buffer = vec![0; BATCH * DATAGRAM];
        loop {
            if self.slots.is_empty() {
                match self.queue.recv() {
                    Ok(slot) => self.slots.push(slot),
                    Err(blocking::RecvError) => return,
                }
            }
            self.slots.extend(self.queue.try_iter());
            let begun = clock::now();
            self.sweep(begun, &mut buffer);
            self.slots.retain(|slot| !slot.over());
            self.counter.store(self.clock.stepped(), Ordering::Relaxed);
            thread::sleep(SWEEP_EVERY.saturating_sub(clock::now().since(begun)));
        }
    }

    fn sweep(&mut self, begun: MonoTime, buffer: &mut [u8]) {
        let mut ready: Vec<PollFd<'_>> = self
            .slots
            .iter()
            .map(|slot| PollFd::new(slot.socket.as_fd(), PollFlags::POLLIN))
            .collect();
        if nix::poll::poll(&mut ready, PollTimeout::ZERO).is_err() {
            // EINTR: the next sweep is 10 ms away.
            return;
        }
        let ready: Vec<bool> = ready.iter().map(|fd| fd.any() == Some(true)).collect();
        for (slot, ready) in self.slots.iter_mut().zip(ready) {
            let left = if ready { slot.receive(buffer, &mut self.clock) } else { Left::Nothing };
            slot.flush(clock::now());
            if left == Left::Nothing {
                slot.looked(begun);
            }
        }
    }
}

/// What the kernel said about one datagram.
struct Received {
    len: usize,
    /// Nanoseconds since 1970.
    stamp: Option<u64>,
    /// The socket's drop counter when the datagram was queued; absent while it is zero.
    drops: Option<u32>,
}

/// What comes by a socket.
#[derive(Debug)]
enum Content {
    Ts,
    Rtp(Box<Reorder>),
    Fec(Correction),
}

/// One socket and the session behind it.
#[derive(Debug)]
struct Slot {
    socket: OwnedFd,
    shared: Arc<Shared>,
    content: Content,
    meter: ArrivalMeter,
    outbox: Outbox,
    opened: MonoTime,
    last: MonoTime,
    /// The session knows what had arrived by then.
    told: MonoTime,
    drops: u32,
    begun: bool,
    /// That datagrams are framed otherwise than they should be was told.
    misframed: bool,
}

/// What a read left in the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    Perhaps,
}

impl Slot {
    fn new(socket: OwnedFd, shared: Arc<Shared>, content: Content, outbox: Outbox) -> Self {
        let now = clock::now();
        Self {
            socket,
            shared,
            content,
            meter: ArrivalMeter::default(),
            outbox,
            opened: now,
            last: now,
            told: now,
            drops: 0,
            begun: false,
            misframed: false,
        }
    }

    fn over(&self) -> bool {
        self.shared.gone.load(Ordering::Relaxed) || self.outbox.tx.is_closed()
    }

    fn receive(&mut self, buffer: &mut [u8], clock: &mut StampClock) -> Left {
        for _ in 0..CALLS {
            let before = ClockSample::take();
            let Ok(arrivals) = read_batch(&self.socket, buffer) else { return Left::Nothing };
            let stamps = clock.sweep(before, ClockSample::take());
            if !arrivals.is_empty() {
                self.shared.arrived.store(true, Ordering::Relaxed);
            }
            for (received, datagram) in arrivals.iter().zip(buffer.chunks_exact(DATAGRAM)) {
                self.take(received, datagram.get(..received.len).unwrap_or_default(), stamps);
            }
            if arrivals.len() < BATCH {
                return Left::Nothing;
            }
        }
        Left::Perhaps
    }

    fn take(&mut self, received: &Received, datagram: &[u8], stamps: SweepStamps) {
        let at = stamps.moment(received.stamp).max(self.last);
        self.last = at;
        if let Content::Fec(correction) = &mut self.content {
            return correction.handle(datagram);
        }
        if !self.begun {
            self.begun = true;
            let phases = Phases { first_byte: Some(at.since(self.opened)), ..Phases::default() };
            self.outbox.opened = Some(InputEvent::Opened { phases, at });
        }
        let dropped = received.drops.map_or(0, |drops| drops.wrapping_sub(self.drops));
        self.drops = received.drops.unwrap_or(self.drops);
        if dropped > 0 {
            self.outbox.drop_datagrams(at, u64::from(dropped));
        }
        let stamped = received.stamp.is_some() && stamps.usable();
        let seen = dropped == 0 && stamped;
        if !seen {
            self.meter.unobserved();
        }
        self.check_framing(datagram);
        let Content::Rtp(reorder) = &mut self.content else {
            let account = stamped.then(|| self.meter.handle(at, datagram)).flatten();
            self.outbox.tell(account);
            self.outbox.append(at, datagram);
            return;
        };
        if dropped > 0 {
            reorder.forgive(at, u64::from(dropped));
        }
        match RtpPacket::parse(datagram) {
            Ok(packet) => {
                let account = stamped.then(|| self.meter.handle(at, packet.payload)).flatten();
                reorder.handle(at, packet);
                // What this host did not see or stamp as it came is no matter of the way.
                let spread = (account.is_some() || !seen).then(|| reorder.take_spread()).flatten();
                self.outbox.tell(account.map(|account| Arrival {
                    rtp_jitter: Some(reorder.jitter()),
                    rtp_spread: spread,
                    ..account
                }));
            }
            Err(RtpError::Control(_) | RtpError::Short) => {}
            // Not RTP: pass it on as it is, and let the analyser say what it is.
            Err(_) => self.outbox.append(at, datagram),
        }
        drain(reorder, &mut self.outbox, at);
    }

    /// Tells of datagrams that are framed in the other way.
    fn check_framing(&mut self, datagram: &[u8]) {
        if self.misframed {
            return;
        }
        let whole =
            |bytes: &[u8]| bytes.first() == Some(&0x47) && bytes.len().is_multiple_of(PACKET);
        let found = match &self.content {
            Content::Ts if RtpPacket::parse(datagram).is_ok_and(|it| whole(it.payload)) => {
                Framing::Rtp
            }
            Content::Rtp(_) if whole(datagram) => Framing::Ts,
            _ => return,
        };
        self.misframed = self.outbox.tx.try_send(InputEvent::Framing { found }).is_ok();
    }

    fn flush(&mut self, now: MonoTime) {
        match &mut self.content {
            Content::Ts => {}
            Content::Rtp(reorder) => {
                reorder.handle_deadline(now);
                drain(reorder, &mut self.outbox, self.last);
            }
            Content::Fec(correction) => return correction.flush(now, &self.outbox.tx),
        }
        self.outbox.flush();
    }

    /// Everything that had arrived by this moment was read. A session that nothing was handed to of late is told so, unless something
    /// is on its way to it.
    fn looked(&mut self, at: MonoTime) {
        let waits = match &self.content {
            Content::Ts => false,
            Content::Rtp(reorder) => reorder.deadline().is_some(),
            Content::Fec(_) => return,
        };
        if at.since(self.told.max(self.last)) >= QUIET_EVERY && !waits && self.outbox.quiet(at) {
            self.told = at;
        }
    }
}

fn drain(reorder: &mut Reorder, outbox: &mut Outbox, at: MonoTime) {
    outbox.count(at, reorder.take_counts());
    while let Some(payload) = reorder.poll() {
        outbox.append(at, &payload);
    }
}

/// Reads up to [`BATCH`] datagrams without waiting; none is no error.
///
/// The headers are made afresh for each call: reused ones lose stamps and drop counts after an overflow
/// (nix-rust/nix#2813).
fn read_batch(socket: &OwnedFd, buffer: &mut [u8]) -> Result<Vec<Received>, Errno> {
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, Some(cmsg_space!(TimeSpec, u32)));
    let mut slices: Vec<[IoSliceMut<'_>; 1]> =
        buffer.chunks_exact_mut(DATAGRAM).map(|chunk| [IoSliceMut::new(chunk)]).collect();
    let flags = MsgFlags::MSG_DONTWAIT;
    match recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None) {
        Ok(messages) => Ok(messages
            .map(|message| {
                let mut received = Received { len: message.bytes, stamp: None, drops: None };
                for control in message.cmsgs().into_iter().flatten() {
                    match control {
                        ControlMessageOwned::ScmTimestampns(stamp) => received.stamp = nanos(stamp),
                        ControlMessageOwned::RxqOvfl(drops) => received.drops = Some(drops),
                        _ => {}
                    }
                }
                received
            })
            .collect()),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(Vec::new()),
        Err(errno) => Err(errno),
    }
}

fn nanos(stamp: TimeSpec) -> Option<u64> {
    let seconds = u64::try_from(stamp.tv_sec()).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(u64::try_from(stamp.tv_nsec()).ok()?)
}

#[cfg(test)]
mod tests;
