use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

const PACKET: usize = 188;
const DATAGRAM: usize = 7 * PACKET;
const SPAN: Span =
    Span { before: Duration::from_secs(10), after: Duration::from_secs(5), memory: 8_000_000 };

fn at(ms: u64) -> MonoTime {
    MonoTime::ZERO + Duration::from_secs(86_400) + Duration::from_millis(ms)
}

/// Packets that carry their own number.
fn packets(from: u32, count: u32) -> Vec<u8> {
    (from..from + count)
        .flat_map(|number| {
            let mut packet = [0xFF; PACKET];
            packet[..4].copy_from_slice(&[0x47, 0x01, 0x00, 0x10]);
            packet[4..8].copy_from_slice(&number.to_be_bytes());
            packet
        })
        .collect()
}

fn numbers(clip: &[u8]) -> Vec<u32> {
    assert_eq!(clip.len() % PACKET, 0, "whole packets");
    let number = |packet: &[u8]| {
        assert_eq!(packet[0], SYNC);
        u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]])
    };
    clip.chunks_exact(PACKET).map(number).collect()
}

fn record(kind: FaultKind, severity: Severity, onset: MonoTime, now: MonoTime) -> FaultRecord {
    FaultRecord {
        seq: 0,
        stream: StreamId::parse("one/a").unwrap(),
        kind,
        phase: FaultPhase::Begin,
        severity,
        pid: None,
        onset,
        declared: now,
        evidence: String::new(),
    }
}

/// A recorder with what it wrote.
struct Run {
    recorder: Recorder,
    clips: Vec<(String, Vec<u8>)>,
    complete: usize,
    refused: usize,
    next: u32,
    now: u64,
}

impl Run {
    fn new(span: Span) -> Self {
        let recorder = Recorder::new(span);
        Self { recorder, clips: Vec::new(), complete: 0, refused: 0, next: 0, now: 0 }
    }

    /// A datagram of seven packets every 10 ms: 1 Mb/s.
    fn play(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.now += 10;
            self.recorder.push(at(self.now), &packets(self.next, 7));
            self.next += 7;
            self.drain();
        }
    }

    fn silence(&mut self, ms: u64) {
        for _ in 0..ms / 500 {
            self.now += 500;
            self.recorder.tick(at(self.now));
            self.drain();
        }
    }

    /// A fault with its onset so long ago.
    fn fault(&mut self, kind: FaultKind, ago: u64) -> Option<String> {
        let (now, onset) = (at(self.now), at(self.now.saturating_sub(ago)));
        let wall = WallTime::from_unix_millis(1_795_311_755_120 + self.now as i64);
        let record = record(kind, Severity::Warning, onset, now);
        let name = self.recorder.fault(now, wall, &record).map(str::to_owned);
        self.drain();
        name
    }

    fn drain(&mut self) {
        while let Some(piece) = self.recorder.poll() {
            match piece {
                Piece::Begin(name, data) => {
                    assert_eq!(self.clips.len(), self.complete, "one at a time");
                    self.clips.push((name, data.concat()));
                }
                Piece::Data(data) => self.clips.last_mut().unwrap().1.extend_from_slice(&data),
                Piece::End => self.complete += 1,
                Piece::Refused => self.refused += 1,
            }
        }
    }

    /// The seconds at which each clip begins and ends.
    fn seconds(&self) -> Vec<(f64, f64)> {
        let second = |number: u32| f64::from(number / 7 + 1) / 100.0;
        let span = |(_, clip): &(String, Vec<u8>)| {
            let numbers = numbers(clip);
            assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "nothing is missing");
            (second(numbers[0]), second(*numbers.last().unwrap()))
        };
        self.clips.iter().map(span).collect()
    }
}

#[test]
fn a_clip_holds_the_seconds_before_the_onset_and_after_the_declaration() {
    let mut run = Run::new(SPAN);
    run.play(60_000);
    let name = run.fault(FaultKind::Black, 5_000).unwrap();
    assert_eq!(name, "20261122T014335.120Z_one_a_black.ts");
    assert!(is_clip_name(&name) && !is_clip_name(&name[1..]) && !is_clip_name("x.ts"));
    run.play(30_000);
    assert_eq!((run.complete, run.clips[0].0.as_str()), (1, name.as_str()));
    // The onset is at 55 s; what arrives is kept in pieces of a second at most.
    let (begin, end) = run.seconds()[0];
    assert!((44.0..=45.0).contains(&begin), "{begin}");
    assert!((65.0..=65.1).contains(&end), "{end}");
}

#[test]
fn faults_close_together_share_a_clip_and_those_apart_do_not() {
    let mut run = Run::new(SPAN);
    run.play(30_000);
    let first = run.fault(FaultKind::Continuity, 0);
    run.play(4_000);
    assert_eq!(run.fault(FaultKind::DecodeErrors, 1_000), first);
    run.play(20_000);
    let other = run.fault(FaultKind::Continuity, 0);
    assert_ne!(other, first);
    run.play(20_000);
    let seconds = run.seconds();
    assert_eq!((run.complete, seconds.len()), (2, 2));
    assert!((39.0..=39.1).contains(&seconds[0].1), "{seconds:?}");
    assert!((43.0..=44.0).contains(&seconds[1].0), "{seconds:?}");
}

#[test]
fn what_is_not_of_the_stream_or_only_informational_is_not_kept() {
    let mut run = Run::new(SPAN);
    run.play(20_000);
    let now = at(run.now);
    let wall = WallTime::default();
    let mut of = |kind, severity, phase| {
        let record = FaultRecord { phase, ..record(kind, severity, now, now) };
        run.recorder.fault(now, wall, &record).is_some()
    };
    let begin = FaultPhase::Begin;
    assert!(!of(FaultKind::Pcr, Severity::Info, begin));
    assert!(!of(FaultKind::PathDegraded, Severity::Critical, begin));
    assert!(!of(FaultKind::HostSaturated, Severity::Critical, begin));
    assert!(!of(FaultKind::Black, Severity::Critical, FaultPhase::End(now)));
    assert!(!of(FaultKind::Black, Severity::Critical, FaultPhase::Raise));
    assert!(of(FaultKind::Black, Severity::Critical, begin));
}

#[test]
fn a_stream_that_went_away_leaves_what_came_before() {
    let mut run = Run::new(SPAN);
    assert_eq!(run.fault(FaultKind::Unreachable, 2_000), None, "nothing ever came");
    run.play(30_000);
    run.silence(2_000);
    run.fault(FaultKind::NoData, 2_000);
    run.silence(20_000);
    assert_eq!(run.complete, 1);
    let (begin, end) = run.seconds()[0];
    assert!((19.0..=20.0).contains(&begin) && (30.0..=30.1).contains(&end), "{begin} {end}");
}

#[test]
fn a_stream_that_breaks_without_end_gets_so_many_clips_an_hour() {
    let mut run = Run::new(SPAN);
    for _ in 0..MAX_PER_HOUR + 5 {
        run.play(20_000);
        run.fault(FaultKind::Continuity, 0);
    }
    run.play(20_000);
    assert_eq!((run.complete, run.refused), (MAX_PER_HOUR, 5));
    run.silence(3_600_000);
    run.play(10_000);
    assert!(run.fault(FaultKind::Continuity, 0).is_some());

    // Faults that follow each other do not make one clip without end.
    let mut run = Run::new(SPAN);
    for _ in 0..60 {
        run.play(3_000);
        run.fault(FaultKind::Continuity, 0);
    }
    run.play(20_000);
    let seconds = run.seconds();
    assert_eq!((run.complete, seconds.len()), (2, 2));
    assert!(seconds[0].1 - seconds[0].0 < 150.0, "{seconds:?}");
    assert!(seconds[1].0 < seconds[0].1, "nothing is missing between them");
}

#[test]
fn memory_is_bounded_and_the_nearest_seconds_are_kept() {
    let mut run = Run::new(Span { memory: 1_000_000, ..SPAN });
    run.play(120_000);
    assert!(run.recorder.held() <= 1_000_000 + BLOCK);
    run.fault(FaultKind::Black, 10_000);
    run.play(10_000);
    let (begin, _) = run.seconds()[0];
    // 1 MB is some 7 s.
    assert!((111.0..114.0).contains(&begin), "{begin}");
    // Of a slow stream only so many seconds are kept.
    let mut run = Run::new(SPAN);
    run.play(120_000);
    let kept = run.recorder.held() / DATAGRAM / 100;
    assert!((30..=32).contains(&kept), "{kept} s");
}

#[test]
fn what_is_no_transport_stream_is_kept_as_it_came() {
    let mut recorder = Recorder::new(SPAN);
    recorder.push(at(10), b"<html>not here</html>");
    let record = record(FaultKind::SyncLoss, Severity::Critical, at(10), at(20));
    assert!(recorder.fault(at(20), WallTime::default(), &record).is_some());
    recorder.finish();
    let mut clip = Vec::new();
    while let Some(piece) = recorder.poll() {
        match piece {
            Piece::Begin(_, data) => clip.extend(data.concat()),
            Piece::Data(data) => clip.extend(data),
            Piece::End | Piece::Refused => {}
        }
    }
    assert_eq!(clip, b"<html>not here</html>");
    assert_eq!(Grid::find(&[SYNC; 3 * PACKET]), None);
}

#[test]
fn packets_are_found_whatever_stands_between_them() {
    for stride in STRIDES {
        let stream: Vec<u8> = packets(0, 8)
            .chunks_exact(PACKET)
            .flat_map(|packet| [packet, &vec![1; stride - PACKET]].concat())
            .collect();
        let bytes = [&[9; 77], stream.as_slice(), &[SYNC, 1, 2]].concat();
        let grid = Grid::find(&bytes).unwrap();
        assert_eq!(grid, Grid { at: 77, stride });
        assert_eq!(grid.end(&bytes), 77 + 8 * stride);
    }
}

/// What no case has to make anew.
static LONG: LazyLock<Vec<u8>> = LazyLock::new(|| packets(0, 20_000));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn however_the_bytes_are_cut_a_clip_is_whole_packets_in_a_row(
        sizes in proptest::collection::vec(1usize..40_000, 60..200),
        skipped in 0usize..PACKET,
        fault in 30usize..50,
    ) {
        let mut run = Run::new(SPAN);
        let mut rest = &LONG[skipped..];
        for (index, size) in sizes.iter().enumerate() {
            let (piece, behind) = rest.split_at(rest.len().min(*size));
            rest = behind;
            run.now += 150;
            run.recorder.push(at(run.now), piece);
            prop_assert!(run.recorder.held() <= SPAN.memory + BLOCK);
            run.drain();
            if index == fault {
                run.fault(FaultKind::Black, 1_000);
            }
        }
        run.silence(10_000);
        prop_assert_eq!((run.clips.len(), run.complete), (1, 1));
        let numbers = numbers(&run.clips[0].1);
        prop_assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
    }
}
