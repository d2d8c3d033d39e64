//! Plays one clip to many groups in real time from one thread. Datagrams of a stream leave evenly, as a constant rate is.

use std::{
    net::{SocketAddrV4, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::world::packet::PACKET;

const DATAGRAM: usize = 7 * PACKET;
/// How often due datagrams are looked for: one of a stream lasts 12 ms.
const TICK: Duration = Duration::from_millis(2);
/// Streams begin so far apart, so that their key pictures do not come at the same moment.
const STAGGER: Duration = Duration::from_millis(147);

/// A clip that is being played.
pub(super) struct Player {
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    latest_us: AtomicU64,
}

impl Player {
    /// Begins at once.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(
        clip: Arc<[u8]>,
        rate: u64,
        groups: Vec<(UdpSocket, SocketAddrV4)>,
    ) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let sockets = groups.into_iter().map(|(socket, _)| socket).collect();
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("player".to_owned())
            .spawn(move || play(&clip, rate, sockets, &of_thread))
            .context("cannot start a thread")?;
        Ok(Self { thread: Some(thread), shared })
    }

    /// Whether the clip is at its end.
    pub(super) fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// By how much a datagram was late at most: more than a little, and the host is too slow to measure on.
    pub(super) fn late(&self) -> Duration {
        Duration::from_micros(self.shared.latest_us.load(Ordering::Relaxed))
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // A player that panicked has been noticed by the streams that stopped.
        self.thread.take().map(JoinHandle::join);
    }
}

fn play(clip: &[u8], rate: u64, sockets: Vec<UdpSocket>, shared: &Shared) {
    let start = Instant::now();
    let mut streams: Vec<_> = (0_u32..)
        .zip(sockets)
        .map(|(number, socket)| (start + STAGGER * number, socket, clip.chunks_exact(DATAGRAM), 0))
        .collect();
    while !shared.stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        for (begins, socket, left, sent) in &mut streams {
            while *begins + due(*sent, rate) <= now {
                let Some(datagram) = left.next() else { return };
                // What a full buffer refuses the agent counts as lost, and the run as wrong.
                let _ = socket.send(datagram);
                let late = now - (*begins + due(*sent, rate));
                shared.latest_us.fetch_max(late.as_micros() as u64, Ordering::Relaxed);
                *sent += 1;
            }
        }
        thread::sleep(TICK);
    }
}

/// When a datagram is due, from its stream's begin, at so many bits per second.
fn due(number: u64, rate: u64) -> Duration {
    Duration::from_nanos(number * (DATAGRAM as u64 * 8) * 1_000_000_000 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_leave_at_the_rate_of_the_clip() {
        let rate = 6_900_000;
        let a_second = rate / (DATAGRAM as u64 * 8);
        let last = due(a_second, rate).as_secs_f64();
        assert!((0.998..=1.0).contains(&last), "{last}");
        // No overflow within the longest clip.
        assert!(due(a_second * 1_000, rate) > Duration::from_secs(990));
    }
}
