//! How evenly datagrams arrive, second by second: gaps between them, the delay factor of RFC 4445, and the program clock against the
//! kernel's receive stamps.
//!
//! - The *delay factor* is how much media a buffer must hold so that it neither runs dry nor over when it is emptied at the media's
//!   rate (RFC 4445, 3.1). That rate is the one that the stream's own PCRs state for the very second: a nominal rate is not known
//!   of most streams, and the rate of arrival would call a stream even that comes at the wrong pace. Of a stream of variable rate it
//!   thus says as well by how much the rate varied within the second, for the buffer has to bear that too.
//! - *PCR jitter* is the spread of the time on the way over the second's PCRs, *drift* how much faster the sender's clock runs than
//!   this host's, by a line through the least delays of each ten seconds.
//!
//! All of it is measured as sent in datagrams. ffmpeg sends seven packets at a time and a picture's datagrams in one burst: its delay
//! factor is a picture's time or more, and that is how it is; nothing here calls it a fault. Seconds in which this host
//! dropped datagrams, or its clock stepped, are left out: what is wrong with them is not the stream's.

use std::{collections::VecDeque, time::Duration};

use tallylight_model::{MonoTime, Pcr, Pid};

/// How long one account takes.
const INTERVAL: Duration = Duration::from_secs(1);
/// Datagrams of an interval that are kept apart, 86 Mb/s; what comes beyond is added to the last.
const MAX_SAMPLES: usize = 8192;
/// A PCR that is this far off the one before by the arrival belongs to another clock, or was held up on the way.
const NEW_CLOCK: i64 = 1_000_000_000;
/// Another PID's PCRs are taken when the one that gave them was silent for this long.
const PCR_GONE: Duration = Duration::from_secs(5);
/// Each so many seconds give one point of the drift's line.
const DRIFT_STEP: Duration = Duration::from_secs(10);
/// So many points are kept: 15 minutes.
const DRIFT_POINTS: usize = 90;
/// So many are needed: 5 minutes, in which 1 ms of jitter is under 1 ppm.
const DRIFT_FROM: usize = 30;
/// Bytes of a transport packet (ISO/IEC 13818-1, 2.4.3.2).
const PACKET: usize = 188;

/// Gaps between datagrams, by size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// How many were at most as long as the bound of the same place, and longer than the one before; the last are longer than all.
    pub counts: [u64; Self::BOUNDS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Gaps {
    /// The upper bounds.
    pub const BOUNDS: [Duration; 10] = [
        Duration::from_micros(100),
        Duration::from_millis(1),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(20),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(200),
        Duration::from_millis(500),
        Duration::from_secs(1),
    ];

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn note(&mut self, gap: Duration) {
        let place = Self::BOUNDS.partition_point(|bound| *bound < gap);
        self.counts[place] += 1;
        self.sum = self.sum.saturating_add(gap);
    }

    /// Adds what was counted at another time.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }
}

/// How datagrams arrived in one second or so; `None` where it could not be measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// The gaps between them.
    pub gaps: Gaps,
    /// The delay factor (RFC 4445, 3.1).
    pub delay_factor: Option<Duration>,
    /// The spread of the PCRs' time on the way.
    pub pcr_jitter: Option<Duration>,
    /// How much faster the sender's clock runs than this host's, in parts of 10^9.
    pub pcr_drift_ppb: Option<i64>,
    /// The interarrival jitter (RFC 3550, A.8), of RTP alone.
    pub rtp_jitter: Option<Duration>,
    /// By how much the time on the way varied, by the stamps of RTP.
    pub rtp_spread: Option<Duration>,
}

impl Arrival {
    /// Takes a later account into one that was not handed on yet.
    pub fn add(&mut self, later: &Self) {
        let mut gaps = self.gaps;
        gaps.add(&later.gaps);
        *self = Self { gaps, ..*later };
    }
}

/// Measures one stream of datagrams.
#[derive(Debug, Default)]
pub struct ArrivalMeter {
    last: Option<MonoTime>,
    /// The arrival before the interval's first: its gap belongs to the interval.
    begun: Option<MonoTime>,
    /// Arrival and size of each datagram since.
    samples: Vec<(MonoTime, u32)>,
    bytes: u64,
    gaps: Gaps,
    clock: Clock,
}

impl ArrivalMeter {
    /// Takes transport packets that arrived at `at` in one datagram, by the kernel's stamp. Returns the account of the second before
    /// when that is over.
    pub fn handle(&mut self, at: MonoTime, payload: &[u8]) -> Option<Arrival> {
        // From its first arrival on, so that a long gap before that is in it together with what follows.
        let over = self.samples.first().is_some_and(|(first, _)| at.since(*first) >= INTERVAL);
        let account = over.then(|| self.close());
        let last = self.last.replace(at);
        match last {
            Some(last) => self.gaps.note(at.since(last)),
            None => self.begun = Some(at),
        }
        for packet in payload.chunks_exact(PACKET) {
            if let Some((pid, pcr)) = pcr_of(packet) {
                self.clock.pcr(at, self.bytes, pid, pcr);
            }
            self.bytes += PACKET as u64;
        }
        // The first one only says when it all begins.
        if last.is_some() {
            let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            let full = self.samples.len() == MAX_SAMPLES;
            match self.samples.last_mut().filter(|_| full) {
                Some((_, sum)) => *sum = sum.saturating_add(size),
                None => self.samples.push((at, size)),
            }
        }
        account
    }

    /// Says that before what is handled next some datagrams are missing for which the stream is not to blame, or were stamped by a
    /// clock that stepped.
    pub fn unobserved(&mut self) {
        (self.last, self.begun) = (None, None);
        self.samples.clear();
        self.clock.forget();
    }

    fn close(&mut self) -> Arrival {
        let delay_factor = self.begun.zip(self.clock.rate()).map(|(begun, rate)| {
            let (mut low, mut high, mut received) = (0.0_f64, 0.0_f64, 0.0);
            for (at, size) in &self.samples {
                let drained = at.since(begun).as_secs_f64() * rate;
                low = low.min(received - drained);
                received += f64::from(*size);
                high = high.max(received - drained);
            }
            Duration::try_from_secs_f64((high - low) / rate).unwrap_or(Duration::MAX)
        });
        self.begun = self.last;
        self.samples.clear();
        Arrival {
            gaps: std::mem::take(&mut self.gaps),
            delay_factor,
            pcr_jitter: self.clock.close(),
            pcr_drift_ppb: self.clock.drift(),
            rtp_jitter: None,
            rtp_spread: None,
        }
    }
}

/// One program's clock as it arrives.
#[derive(Debug, Default)]
struct Clock {
    /// Whose PCRs are taken, and when the last one came.
    of: Option<(Pid, MonoTime)>,
    /// Arrival and value of the clock's first PCR.
    zero: Option<(MonoTime, Pcr)>,
    /// Media time of the last PCR since then, in nanoseconds.
    media: i64,
    last: Option<Pcr>,
    /// Media time and bytes received before the first and the last PCR that the interval's rate rests on.
    pace: Option<((i64, u64), (i64, u64))>,
    /// The least and the longest time on the way in this interval, less that of the first PCR.
    delays: Option<(i64, i64)>,
    /// The last one, where nothing is missing since.
    lately: Option<i64>,
    /// The same, the least of it, in this step of the drift's line; with the arrival.
    step: Option<(MonoTime, i64)>,
    points: VecDeque<(MonoTime, i64)>,
}

impl Clock {
    fn pcr(&mut self, at: MonoTime, bytes: u64, pid: Pid, pcr: Pcr) {
        match self.of {
            Some((of, seen)) if of != pid && at.since(seen) < PCR_GONE => return,
            Some((of, _)) if of != pid => *self = Self::default(),
            _ => {}
        }
        self.of = Some((pid, at));
        let Some(((first, _), last)) = self.zero.zip(self.last) else {
            return self.begin(at, bytes, pcr);
        };
        let passed = pcr.ticks_since(last) * 1_000 / 27;
        let media = self.media + passed;
        let delay = nanos(at.since(first)) - media;
        let before = self.lately.unwrap_or_else(|| self.step.map_or(0, |(_, least)| least));
        if (delay - before).abs() >= NEW_CLOCK {
            // A clock that goes on was held up on the way. That is jitter, and what comes behind it may be as late for ever.
            let held_up = self.lately.is_some() && (0..NEW_CLOCK).contains(&passed);
            let (least, longest) = self.delays.unwrap_or((before, before));
            self.begin(at, bytes, pcr);
            if held_up {
                self.delays = Some(((least - delay).min(0), (longest - delay).max(0)));
            }
            return;
        }
        self.lately = Some(delay);
        // A datagram that was overtaken says nothing new.
        if media < self.media {
            return;
        }
        (self.media, self.last) = (media, Some(pcr));
        let from = self.pace.map_or((media, bytes), |(from, _)| from);
        self.pace = Some((from, (media, bytes)));
        let (least, longest) = self.delays.unwrap_or((delay, delay));
        self.delays = Some((least.min(delay), longest.max(delay)));
        self.note(at, delay);
    }

    fn begin(&mut self, at: MonoTime, bytes: u64, pcr: Pcr) {
        *self = Self { of: self.of, ..Self::default() };
        (self.zero, self.last) = (Some((at, pcr)), Some(pcr));
        self.pace = Some(((0, bytes), (0, bytes)));
        (self.delays, self.lately) = (Some((0, 0)), Some(0));
        self.note(at, 0);
    }

    fn note(&mut self, at: MonoTime, delay: i64) {
        match &mut self.step {
            Some((begun, least)) if at.since(*begun) < DRIFT_STEP => *least = delay.min(*least),
            step => {
                self.points.extend(step.replace((at, delay)));
                if self.points.len() > DRIFT_POINTS {
                    self.points.pop_front();
                }
            }
        }
    }

    /// Bytes per second of media, by the interval's first and last PCR.
    fn rate(&self) -> Option<f64> {
        let ((from, first), (to, last)) = self.pace?;
        let (bytes, nanos) = (last.checked_sub(first)?, to - from);
        (bytes > 0 && nanos > 0).then(|| bytes as f64 * 1e9 / nanos as f64)
    }

    /// Ends the interval; returns its jitter. The next one begins with this one's last PCR.
    fn close(&mut self) -> Option<Duration> {
        self.pace = self.pace.map(|(_, last)| (last, last));
        let (least, longest) = self.delays.take()?;
        u64::try_from(longest - least).ok().map(Duration::from_nanos)
    }

    fn forget(&mut self) {
        (self.pace, self.delays, self.lately) = (None, None, None);
    }

    /// The slope of the least delays, by least squares: a sender whose clock is fast seems to come sooner and sooner.
    fn drift(&self) -> Option<i64> {
        if self.points.len() < DRIFT_FROM {
            return None;
        }
        let begun = self.points.front()?.0;
        let count = self.points.len() as f64;
        let points =
            || self.points.iter().map(|(at, y)| (at.since(begun).as_secs_f64(), *y as f64));
        let (x, y) = points().fold((0.0, 0.0), |(x, y), (px, py)| (x + px / count, y + py / count));
        let (xy, xx) = points().fold((0.0, 0.0), |(xy, xx), (px, py)| {
            (xy + (px - x) * (py - y), xx + (px - x) * (px - x))
        });
        // Nanoseconds per second are parts of 10^9.
        (xx > 0.0).then(|| -(xy / xx).round() as i64)
    }
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// The PCR of a transport packet (ISO/IEC 13818-1, 2.4.3.4), without looking further: what is wrong with packets is found elsewhere.
fn pcr_of(packet: &[u8]) -> Option<(Pid, Pcr)> {
    let [0x47, high, low, control, length, flags, field @ ..] = packet else { return None };
    if control & 0x20 == 0 || *length < 7 || flags & 0x10 == 0 || high & 0x80 != 0 {
        return None;
    }
    let [a, b, c, d, e, f, ..] = *field else { return None };
    let field = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    let extension = (field & 0x1FF) as u16;
    let pid = Pid::from_bits(u16::from_be_bytes([*high, *low]));
    (extension < 300).then(|| (pid, Pcr::from_parts(field >> 15, extension)))
}

#[cfg(test)]
mod tests;
