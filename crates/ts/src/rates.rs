//! Rates over whole seconds of the stream's clock.

use core::time::Duration;

use tallylight_model::Bitrate;

use crate::packet::PACKET;

/// Rates of whole packets, null packets included where they belong to it, over the complete seconds so far. A second over which
/// the clock jumped is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// The second with the least.
    pub min: Bitrate,
    /// All of them together.
    pub mean: Bitrate,
    /// The second with the most.
    pub max: Bitrate,
}

/// Takes the rates of one thing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateMeter {
    /// Packets at the begin of the second.
    before: u64,
    packets: u64,
    span: Duration,
    last: Option<Bitrate>,
    bounds: Option<(Bitrate, Bitrate)>,
}

impl RateMeter {
    /// A second begins, before which nothing is known.
    pub(crate) fn begin(&mut self, packets: u64) {
        self.before = packets;
    }

    /// A second ends, and the next one begins.
    pub(crate) fn end(&mut self, packets: u64, span: Duration) {
        // A program may have lost a PID to another one.
        let Some(count) = packets.checked_sub(self.before) else { return self.begin(packets) };
        self.before = packets;
        (self.packets, self.span) = (self.packets + count, self.span + span);
        let rate = Bitrate::of(count * PACKET as u64, span);
        self.last = Some(rate);
        let (min, max) = self.bounds.unwrap_or((rate, rate));
        self.bounds = Some((min.min(rate), max.max(rate)));
    }

    /// The rate of the last second.
    pub(crate) const fn last(&self) -> Option<Bitrate> {
        self.last
    }

    pub(crate) fn rates(&self) -> Option<Rates> {
        let (min, max) = self.bounds?;
        let mean = Bitrate::of(self.packets * PACKET as u64, self.span);
        Some(Rates { min, mean, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_bounded_and_summed() {
        let mut meter = RateMeter::default();
        meter.begin(100);
        assert_eq!((meter.last(), meter.rates()), (None, None));
        for packets in [1100, 1600, 3600] {
            meter.end(packets, Duration::from_secs(1));
        }
        let bps = |packets: u64| Bitrate::from_bps(packets * 188 * 8);
        assert_eq!(meter.last(), Some(bps(2000)));
        let mean = Bitrate::of(3500 * 188, Duration::from_secs(3));
        assert_eq!(meter.rates(), Some(Rates { min: bps(500), mean, max: bps(2000) }));
        meter.end(10, Duration::from_secs(1));
        assert_eq!(meter.rates().map(|rates| rates.min), Some(bps(500)));
    }
}
