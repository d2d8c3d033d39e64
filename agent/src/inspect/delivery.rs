//! How datagrams arrived: what only a live probe can tell.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::input::{
    InputEvent,
    arrival::{Arrival, Gaps},
    rtp::{Fec, FecDirection, RtpCounts},
};

/// Gathers what the input says of its datagrams.
#[derive(Debug, Default)]
pub struct Delivery {
    last: Option<Arrival>,
    gaps: Gaps,
    delay_factor: Spread,
    pcr_jitter: Spread,
    rtp_spread: Spread,
    /// The analyser's count at the account before, and the most that a second brought.
    missing: u64,
    worst_loss: f64,
    rtp: RtpCounts,
    dropped: u64,
    fec: BTreeMap<FecDirection, (Fec, u64)>,
}

/// The mean and the most of what each second said.
#[derive(Clone, Copy, Debug, Default)]
struct Spread {
    count: u32,
    sum: Duration,
    most: Duration,
}

impl Spread {
    fn add(&mut self, value: Duration) {
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(value);
        self.most = self.most.max(value);
    }

    fn report(&self) -> Option<SpreadReport> {
        let mean = self.sum.checked_div(self.count)?;
        Some(SpreadReport { mean_seconds: micros(mean), max_seconds: micros(self.most) })
    }
}

impl Delivery {
    /// Takes what an event says of datagrams, if it does; `missing` packets were found missing so far.
    pub fn note(&mut self, event: &InputEvent, missing: u64) {
        match event {
            InputEvent::Arrival { arrival, .. } => {
                self.gaps.add(&arrival.gaps);
                arrival.delay_factor.into_iter().for_each(|it| self.delay_factor.add(it));
                arrival.pcr_jitter.into_iter().for_each(|it| self.pcr_jitter.add(it));
                arrival.rtp_spread.into_iter().for_each(|it| self.rtp_spread.add(it));
                self.lose(missing, arrival.gaps.sum);
                self.last = Some(*arrival);
            }
            InputEvent::Rtp { counts, .. } => self.rtp.add(*counts),
            InputEvent::Dropped { datagrams, .. } => {
                self.dropped = self.dropped.saturating_add(*datagrams);
            }
            InputEvent::Fec { fec, packets } => {
                let (last, count) = self.fec.entry(fec.direction).or_insert((*fec, 0));
                (*last, *count) = (*fec, count.saturating_add(*packets));
            }
            _ => {}
        }
    }

    fn lose(&mut self, missing: u64, span: Duration) {
        let lost = missing.saturating_sub(self.missing);
        self.missing = missing;
        if !span.is_zero() {
            self.worst_loss = self.worst_loss.max(lost as f64 / span.as_secs_f64());
        }
    }

    /// Writes the report; `None` before a second was measured.
    #[must_use]
    pub fn report(&self) -> Option<DeliveryReport> {
        let last = self.last?;
        let bounds = Gaps::BOUNDS.map(|bound| Some(micros(bound))).into_iter().chain([None]);
        let gaps = bounds.zip(self.gaps.counts);
        let measured = self.gaps.sum.as_secs_f64();
        let mean_loss = if measured > 0.0 { self.missing as f64 / measured } else { 0.0 };
        Some(DeliveryReport {
            seconds: micros(self.gaps.sum),
            datagrams: self.gaps.count(),
            gaps: gaps.map(|(up_to_seconds, count)| GapReport { up_to_seconds, count }).collect(),
            delay_factor: self.delay_factor.report(),
            media_loss_rate: LossReport {
                mean_per_second: to_thousandths(mean_loss),
                max_per_second: to_thousandths(self.worst_loss),
            },
            pcr_jitter: self.pcr_jitter.report(),
            pcr_drift_ppm: last.pcr_drift_ppb.map(|ppb| ppb as f64 / 1e3),
            dropped_here: self.dropped,
            rtp: last.rtp_jitter.map(|jitter| RtpReport {
                counts: self.rtp,
                jitter_seconds: micros(jitter),
                spread: self.rtp_spread.report(),
            }),
            fec: (self.fec.values())
                .map(|(fec, seen)| FecReport {
                    direction: fec.direction.name(),
                    offset: fec.offset,
                    covers: fec.packets,
                    packets: *seen,
                })
                .collect(),
        })
    }
}

/// How datagrams arrived.
#[derive(Clone, Debug, Serialize)]
pub struct DeliveryReport {
    /// The time that was measured: whole seconds.
    pub seconds: f64,
    /// Datagrams of that time, one for each gap.
    pub datagrams: u64,
    /// The time between two of them, by the kernel's stamps.
    pub gaps: Vec<GapReport>,
    /// The delay factor of each second (RFC 4445, 3.1).
    pub delay_factor: Option<SpreadReport>,
    /// Packets missing by the continuity counters (RFC 4445, 3.2).
    pub media_loss_rate: LossReport,
    /// The spread of each second's PCRs against the kernel's stamps.
    pub pcr_jitter: Option<SpreadReport>,
    /// How much faster the sender's clock runs than this host's, in millionths.
    pub pcr_drift_ppm: Option<f64>,
    /// Datagrams that this host dropped, which are nobody else's loss.
    pub dropped_here: u64,
    /// What became of RTP packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtp: Option<RtpReport>,
    /// Forward error correction beside the stream, by direction.
    pub fec: Vec<FecReport>,
}

/// How many gaps were so long, and longer than the row before.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct GapReport {
    /// Their upper bound; `null` for all that are longer.
    pub up_to_seconds: Option<f64>,
    /// How many.
    pub count: u64,
}

/// What the seconds of a measure came to.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SpreadReport {
    /// Their mean.
    pub mean_seconds: f64,
    /// The worst of them.
    pub max_seconds: f64,
}

/// Packets lost a second.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LossReport {
    /// Over all of the time.
    pub mean_per_second: f64,
    /// In the worst second.
    pub max_per_second: f64,
}

/// What became of RTP packets (RFC 3550).
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RtpReport {
    /// How many.
    #[serde(flatten)]
    pub counts: RtpCounts,
    /// Interarrival jitter at the end.
    pub jitter_seconds: f64,
    /// By how much the time on the way varied in each second.
    pub spread: Option<SpreadReport>,
}

/// Forward error correction of one direction (SMPTE ST 2022-1).
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FecReport {
    /// `column` or `row`.
    pub direction: &'static str,
    /// How far apart the covered packets are.
    pub offset: u8,
    /// How many packets one covers.
    pub covers: u8,
    /// How many were seen.
    pub packets: u64,
}

fn micros(span: Duration) -> f64 {
    span.as_micros() as f64 / 1e6
}

fn to_thousandths(rate: f64) -> f64 {
    (rate * 1e3).round() / 1e3
}

impl DeliveryReport {
    /// For people, one fact a line.
    pub(super) fn lines(&self) -> Vec<String> {
        let gaps = self.gaps.iter().filter(|gap| gap.count > 0).map(|gap| {
            let upper = gap.up_to_seconds.map(|bound| format!("to {} ms", bound * 1e3));
            format!("{} {}", gap.count, upper.unwrap_or_else(|| "longer".to_owned()))
        });
        let gaps = gaps.collect::<Vec<_>>().join(", ");
        let mut lines = vec![format!("gaps between datagrams: {gaps}")];
        let spread = |it: Option<SpreadReport>| match it {
            Some(SpreadReport { mean_seconds, max_seconds }) => {
                format!("{:.1} ms, {:.1} ms at most", mean_seconds * 1e3, max_seconds * 1e3)
            }
            None => "not known without PCRs".to_owned(),
        };
        let LossReport { mean_per_second, max_per_second } = self.media_loss_rate;
        let delay = spread(self.delay_factor);
        lines.push(format!(
            "MDI: delay factor {delay}; loss {mean_per_second:.1} packets/s, {max_per_second:.1} at most"
        ));
        let drift = self.pcr_drift_ppm.map_or_else(
            || "drift not known before 5 minutes".to_owned(),
            |ppm| format!("drift {ppm:.1} ppm"),
        );
        lines.push(format!("PCR jitter {}; {drift}", spread(self.pcr_jitter)));
        lines.extend(self.rtp.map(|rtp| {
            let RtpCounts { packets, lost, reordered, duplicates, late, restarts } = rtp.counts;
            let jitter = rtp.jitter_seconds * 1e3;
            let varied = rtp.spread.map_or(String::new(), |it| {
                format!("; time on the way varied by {}", spread(Some(it)))
            });
            format!(
                "RTP: {packets} packets, {lost} lost, {reordered} reordered, {duplicates} duplicates, \
                 {late} late, {restarts} restarts; jitter {jitter:.1} ms{varied}"
            )
        }));
        lines.extend(self.fec.iter().map(|fec| {
            let FecReport { direction, offset, covers, packets } = fec;
            format!("FEC by {direction}: {packets} packets, each for {covers} that are {offset} apart; not used")
        }));
        if self.dropped_here > 0 {
            lines.push(format!(
                "{} datagrams dropped by this host, not on the way",
                self.dropped_here
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use tallylight_model::MonoTime;

    use super::*;

    #[test]
    fn seconds_come_to_their_mean_and_the_worst_of_them() {
        let mut delivery = Delivery::default();
        assert!(delivery.report().is_none());
        let second = |jitter: Option<u64>, rtp: Option<u64>| {
            let mut gaps = Gaps { sum: Duration::from_secs(1), ..Gaps::default() };
            gaps.counts[2] = 100;
            InputEvent::Arrival {
                at: MonoTime::ZERO,
                arrival: Arrival {
                    gaps,
                    delay_factor: None,
                    pcr_jitter: jitter.map(Duration::from_millis),
                    pcr_drift_ppb: Some(-1_500),
                    rtp_jitter: rtp.map(Duration::from_millis),
                    rtp_spread: rtp.map(|it| Duration::from_millis(it * 10)),
                },
            }
        };
        delivery.note(&second(Some(10), None), 6);
        delivery.note(&second(None, None), 6);
        delivery.note(&second(Some(30), None), 9);
        delivery.note(&InputEvent::Dropped { at: MonoTime::ZERO, datagrams: 4 }, 9);
        let report = delivery.report().unwrap();
        assert_eq!((report.seconds, report.datagrams, report.gaps[2].count), (3.0, 300, 300));
        let jitter = report.pcr_jitter.unwrap();
        assert_eq!((jitter.mean_seconds, jitter.max_seconds), (0.02, 0.03));
        let loss = report.media_loss_rate;
        assert_eq!((loss.mean_per_second, loss.max_per_second), (3.0, 6.0));
        assert_eq!((report.pcr_drift_ppm, report.dropped_here), (Some(-1.5), 4));
        assert!(report.delay_factor.is_none() && report.rtp.is_none() && report.fec.is_empty());
        delivery.note(&second(None, Some(7)), 9);
        let counts = RtpCounts { packets: 50, lost: 2, ..RtpCounts::default() };
        delivery.note(&InputEvent::Rtp { at: MonoTime::ZERO, counts }, 9);
        delivery.note(&InputEvent::Rtp { at: MonoTime::ZERO, counts }, 9);
        let direction = FecDirection::Column;
        for (packets, offset) in [(3, 5), (4, 10)] {
            let fec = Fec { direction, offset, packets: 20 };
            delivery.note(&InputEvent::Fec { fec, packets }, 9);
        }
        let fec = delivery.report().unwrap().fec;
        assert_eq!(fec.len(), 1);
        assert_eq!((fec[0].direction, fec[0].offset, fec[0].covers), ("column", 10, 20));
        assert_eq!(fec[0].packets, 7);
        let rtp = delivery.report().unwrap().rtp.unwrap();
        assert_eq!((rtp.counts.packets, rtp.counts.lost, rtp.jitter_seconds), (100, 4, 0.007));
        assert_eq!(rtp.spread.unwrap().max_seconds, 0.07);
    }
}
