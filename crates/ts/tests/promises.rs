//! What holds for any bytes.

use proptest::{collection::vec, prelude::*, sample::Index};
use tallylight_model::{FaultKind, MonoTime, Pid};
use tallylight_mux::{self as mux, Length};
use tallylight_ts::{Analyser, AnalyserConfig, Check, Condition, Event, Payload, PidCounters};

mod reading;

use reading::Reading;

/// What one packet of an arbitrary stream carries.
#[derive(Clone, Debug)]
enum Carried {
    Table { pmt: bool },
    Clock { ticks: u64 },
    Begin { component: u8, pts: u64, data: Vec<u8> },
    Data { component: u8, data: Vec<u8> },
    Null,
    Anything(Vec<u8>),
}

/// A packet and what befalls it on its way.
#[derive(Clone, Debug)]
struct Step {
    carried: Carried,
    repeat: u8,
    lost: bool,
    flags: u8,
    corrupted: Option<(Index, u8)>,
}

/// Bytes that look like elementary streams: start codes, frame headers, zeros.
fn coded() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(vec![0, 0, 0, 1, 0x09, 0xF0]),
        Just(vec![0, 0, 1, 0x65, 0x88, 0x84]),
        Just(vec![0, 0, 1, 0x41, 0x9A, 0x20]),
        Just(vec![0, 0, 1, 0x0C, 0xFF, 0xFF]),
        Just(vec![0, 0, 1, 0x67, 0x64, 0, 0x28]),
        Just(vec![0, 0, 1, 0xB3, 0x2D, 2, 0x40, 0x33]),
        Just(vec![0, 0, 1, 0, 0, 0x0F, 0xFF, 0xF8]),
        Just(vec![0xFF, 0xF1, 0x4C, 0x80, 0x02, 0x9F, 0xFC]),
        Just(vec![0x0B, 0x77, 0, 0, 0x00, 0x40, 0x40]),
        Just(vec![0; 40]),
        vec(any::<u8>(), 0..40),
    ];
    vec(piece, 0..5).prop_map(|pieces| {
        let mut bytes = pieces.concat();
        bytes.truncate(150);
        bytes
    })
}

fn step() -> impl Strategy<Value = Step> {
    let carried = prop_oneof![
        2 => any::<bool>().prop_map(|pmt| Carried::Table { pmt }),
        2 => (0u64..(1 << 33) * 300).prop_map(|ticks| Carried::Clock { ticks }),
        4 => (0u8..4, 0u64..1 << 33, coded())
            .prop_map(|(component, pts, data)| Carried::Begin { component, pts, data }),
        6 => (0u8..4, coded()).prop_map(|(component, data)| Carried::Data { component, data }),
        1 => Just(Carried::Null),
        1 => vec(any::<u8>(), 188).prop_map(Carried::Anything),
    ];
    let corrupted = proptest::option::weighted(0.1, (any::<Index>(), any::<u8>()));
    (carried, 0u8..4, 0u8..10, any::<u8>(), corrupted).prop_map(
        |(carried, repeat, luck, flags, corrupted)| Step {
            carried,
            repeat: u8::from(repeat == 0) + u8::from(luck == 0),
            lost: luck == 1,
            flags: if luck < 4 { flags & 0xC0 } else { 0 },
            corrupted,
        },
    )
}

fn stream(steps: &[Step]) -> Vec<u8> {
    let mut counters = [0u8; 0x60];
    let mut bytes = Vec::new();
    for step in steps {
        let mut packet = packet(&step.carried, step.flags, &mut counters);
        if let Some((at, value)) = &step.corrupted {
            let at = at.index(packet.len());
            packet[at] = *value;
        }
        if !step.lost {
            bytes.extend(packet.repeat(1 + usize::from(step.repeat)));
        }
    }
    bytes
}

/// Program 1 with H.264, AAC, AC-3 and MPEG-2 video.
fn table(pmt: bool) -> Vec<u8> {
    let components: [(u8, u16, &[u8]); 4] =
        [(0x1B, 0x40, &[]), (0x0F, 0x41, &[]), (0x81, 0x42, &[]), (0x02, 0x43, &[])];
    match pmt {
        true => mux::pmt(1, 0, 0x40, &components),
        false => mux::pat(0, &[(1, 0x20)]),
    }
}

fn packet(carried: &Carried, flags: u8, counters: &mut [u8; 0x60]) -> Vec<u8> {
    let (pid, start, payload) = match carried {
        Carried::Table { pmt } => {
            (if *pmt { 0x20 } else { 0 }, true, [&[0], &table(*pmt)[..]].concat())
        }
        Carried::Clock { .. } => (0x40, false, Vec::new()),
        Carried::Begin { component, pts, data } => {
            let pes = mux::pes(0xE0 + component, Length::Open, Some(*pts), data);
            (0x40 + u16::from(*component), true, pes)
        }
        Carried::Data { component, data } => (0x40 + u16::from(*component), false, data.clone()),
        Carried::Null => return mux::null().to_vec(),
        Carried::Anything(bytes) => return bytes.clone(),
    };
    let counter = &mut counters[usize::from(pid)];
    *counter = (*counter + u8::from(!payload.is_empty())) & 15;
    let pcr = match carried {
        Carried::Clock { ticks } => Some(*ticks),
        _ => None,
    };
    let mut packet = mux::packet(pid, start, *counter, pcr, &payload);
    // There is an adaptation field, as none of them fills its packet.
    packet[5] |= flags;
    packet.to_vec()
}

fn all() -> AnalyserConfig {
    AnalyserConfig { payload: Payload::All, ..AnalyserConfig::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn how_the_bytes_are_cut_does_not_matter(
        steps in vec(step(), 0..80),
        lead in vec(any::<u8>(), 0..400),
        sizes in vec(1usize..700, 1..6),
    ) {
        let bytes = [lead, stream(&steps)].concat();
        let whole = Reading::in_chunks(&bytes, all(), &[bytes.len().max(1)]);
        prop_assert_eq!(&whole, &Reading::in_chunks(&bytes, all(), &sizes));
        prop_assert_eq!(&whole, &Reading::in_chunks(&bytes, all(), &[1]));
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..5000), spaced in any::<bool>()) {
        let mut bytes = bytes;
        if spaced {
            for at in (0..bytes.len()).step_by(188) {
                bytes[at] = 0x47;
            }
        }
        let reading = Reading::of(&bytes, all());
        let totals = reading.totals;
        prop_assert_eq!(totals.bytes, bytes.len() as u64);
        prop_assert!(totals.packets <= bytes.len() as u64 / 188 + 2 * totals.sync_losses);
    }

    #[test]
    fn counters_and_media_time_only_grow(steps in vec(step(), 0..60)) {
        let mut analyser = Analyser::new(all());
        let mut before: Vec<(Pid, PidCounters)> = Vec::new();
        let mut media = None;
        let mut raised: Vec<u64> = Vec::new();
        for packet in stream(&steps).chunks(188) {
            analyser.push(MonoTime::ZERO, packet);
            for (pid, old) in &before {
                let new = analyser.pid(*pid).map(|report| report.counters).unwrap_or_default();
                prop_assert!(grew(old, &new), "{}: {:?} {:?}", pid, old, new);
            }
            before = analyser.pids().into_iter().map(|pid| (pid.pid, pid.counters)).collect();
            let counts: Vec<u64> = analyser.checks().map(|check| check.tally.count).collect();
            prop_assert!(raised.iter().zip(&counts).all(|(old, new)| old <= new));
            raised = counts;
            let now = analyser.position().media;
            prop_assert!(now >= media, "{:?} after {:?}", now, media);
            media = now;
        }
    }
}

fn grew(old: &PidCounters, new: &PidCounters) -> bool {
    let list = |c: &PidCounters| {
        [
            c.packets,
            c.continuity_errors,
            c.late_packets,
            c.missing_packets,
            c.legal_duplicates,
            c.excess_duplicates,
            c.transport_errors,
            c.scrambled_packets,
            c.unit_starts,
            c.pcrs,
        ]
    };
    list(old).iter().zip(list(new)).all(|(old, new)| *old <= new)
}

#[test]
fn input_that_is_no_transport_stream_is_said_to_be_none() {
    let page = b"<html><body>404 not found</body></html>\n".repeat(3000);
    let reading = Reading::of(&page, all());
    let kinds: Vec<_> = reading.findings.iter().map(|finding| finding.kind).collect();
    assert!(
        matches!(kinds[..], [tallylight_ts::FindingKind::NotTransportStream { bytes: 65_536.. }]),
        "{kinds:?}"
    );
    assert_eq!(reading.totals.packets, 0);
    let short = Reading::of(b"hello", all());
    assert_eq!(short.findings.len(), 1);
    // In a segment after good ones as well.
    let mut analyser = Analyser::new(AnalyserConfig::default());
    let mut null = [0xFF; 188];
    null[..4].copy_from_slice(&[0x47, 0x1F, 0xFF, 0x10]);
    analyser.push(MonoTime::ZERO, &null.repeat(100));
    analyser.boundary();
    analyser.push(MonoTime::ZERO, &page);
    let events = core::iter::from_fn(|| analyser.poll());
    let lost = events.filter(|event| {
        let Event::Condition(Condition { check, holds, .. }) = event else { return false };
        *check == Check::SyncLoss && *holds
    });
    assert_eq!(lost.count(), 1);
    assert_eq!(short.faults(), [FaultKind::SyncLoss; 2]);
    assert_eq!(Reading::of(b"", all()).findings, []);
}
