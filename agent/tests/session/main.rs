//! Whole sessions on streams with planted faults, in virtual time: bytes arrive as the clip's rate says, the decoder answers at
//! once.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod clip;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use tallylight_agent::{
    assignment::{ChannelKind, Encryption, Expectation},
    decode::{Analyser, WorkerFailure},
    input::{
        InputEvent, Phases, SoundPlace,
        arrival::Arrival,
        rtp::{Fec, FecDirection, RtpCounts},
    },
    picture::Slates,
    probe::{Decoding, Output, Session, SessionConfig, Source, ViewConfig, Watched},
};
use tallylight_model::{
    FaultKind, FaultPhase, FaultRecord, Fingerprint, LatencySample, MonoTime, Severity, Slice,
    StreamId, WallTime,
};

/// The clock's moment at which all sessions begin.
const BEGAN: u64 = 100_000;
/// How often a silent input is looked at.
const LOOK: u64 = 50;
/// Bytes of a datagram: seven packets.
const DATAGRAM: usize = 7 * clip::PACKET;

fn at(ms: u64) -> MonoTime {
    MonoTime::from_nanos((BEGAN + ms) * 1_000_000)
}

fn ms(time: MonoTime) -> u64 {
    time.as_nanos() / 1_000_000 - BEGAN
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// A session with its decoder and everything that it said.
struct Run {
    session: Session,
    decoders: BTreeMap<usize, Analyser>,
    now: u64,
    slices: Vec<Slice>,
    faults: Vec<FaultRecord>,
    thumbnails: Vec<(u64, Vec<u8>)>,
}

impl Run {
    fn new(source: Source, views: Vec<ViewConfig>) -> Self {
        let session = Session::new(SessionConfig {
            source,
            watched: Watched::Streams(views),
            decoding: Decoding::On,
            slates: Slates::default(),
            began: at(0),
            wall: WallTime::from_unix_millis(1_000_000),
            named: WallTime::from_unix_millis(1_000_000),
        });
        let (slices, faults, thumbnails) = (Vec::new(), Vec::new(), Vec::new());
        Self { session, decoders: BTreeMap::new(), now: 0, slices, faults, thumbnails }
    }

    fn tv() -> Self {
        let mut run = Self::new(Source::Datagrams, vec![view("one/a", None, tv())]);
        run.event(InputEvent::Opened { phases: Phases::default(), at: at(0) });
        run
    }

    fn event(&mut self, event: InputEvent) {
        self.session.handle(at(self.now), event);
        self.drain();
    }

    /// Lets time pass without anything arriving, as the input sees for itself.
    fn wait(&mut self, millis: u64) {
        let until = self.now + millis;
        while self.now < until {
            self.neglect(LOOK.min(until - self.now));
            self.event(InputEvent::Quiet { at: at(self.now) });
        }
    }

    /// Lets time pass in which this host does not get to look at the input.
    fn neglect(&mut self, millis: u64) {
        let until = self.now + millis;
        while self.now < until {
            let deadline = self.session.deadline().map_or(until, |due| ms(due).max(self.now + 1));
            self.now = deadline.min(until);
            self.session.tick(at(self.now));
            self.drain();
        }
    }

    /// Datagrams arrive at the clip's own pace.
    fn play(&mut self, data: &[u8]) {
        let start = self.now;
        let mut sent = 0;
        for datagram in data.chunks(DATAGRAM) {
            sent += datagram.len();
            let due = start + (sent * 8 / 2_000) as u64;
            if due > self.now {
                self.wait(due - self.now);
            }
            let data = Bytes::copy_from_slice(datagram);
            self.event(InputEvent::Bytes { at: at(self.now), data });
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Decode { view, request } => {
                    let replies = self.decoders.entry(view).or_default().handle(request);
                    self.session.decoded(at(self.now), view, 1, replies);
                }
                Output::Fault(record) => self.faults.push(record),
                Output::Slice(slice) => self.slices.push(*slice),
                Output::Started { .. } | Output::Ended(_) => {}
                Output::Thumbnail { jpeg, .. } => self.thumbnails.push((self.now, jpeg)),
                Output::Structure { .. } | Output::Cue { .. } => {}
            }
        }
    }

    /// Begins and ends of warnings and worse, as `kind severity onset..end` in tenths of seconds, by onset.
    fn told(&self) -> Vec<String> {
        let tenths = |time: MonoTime| format!("{:.1}", ms(time) as f64 / 1000.0);
        let mut told = BTreeMap::new();
        for record in self.faults.iter().filter(|record| record.severity > Severity::Info) {
            let end = match record.phase {
                FaultPhase::End(end) => tenths(end),
                FaultPhase::Begin | FaultPhase::Raise => String::new(),
            };
            let (kind, severity) = (record.kind.name(), record.severity.name());
            let text = format!("{kind} {severity} {}..{end}", tenths(record.onset));
            told.insert((record.stream.clone(), record.onset, record.kind), text);
        }
        told.into_values().collect()
    }

    fn begin(&self, kind: FaultKind) -> &FaultRecord {
        let begins = |r: &&FaultRecord| r.kind == kind && r.phase == FaultPhase::Begin;
        self.faults.iter().find(begins).expect("the fault was told")
    }

    /// Observed seconds by layer (transport, picture, sound) over all slices of the first stream.
    fn observed(&self) -> (f64, f64, f64) {
        self.slices.iter().fold((0.0, 0.0, 0.0), |sum, slice| {
            let o = &slice.observed;
            (sum.0 + seconds(o.transport), sum.1 + seconds(o.picture), sum.2 + seconds(o.sound))
        })
    }

    fn held(&self, kind: FaultKind) -> f64 {
        self.slices
            .iter()
            .filter_map(|slice| slice.conditions.get(&kind))
            .map(|d| seconds(*d))
            .sum()
    }
}

fn tv() -> Expectation {
    Expectation {
        kind: Some(ChannelKind::Tv),
        encryption: Some(Encryption::None),
        ..Expectation::default()
    }
}

fn view(stream: &str, service: Option<u16>, expectation: Expectation) -> ViewConfig {
    ViewConfig { stream: StreamId::parse(stream).unwrap(), service, expectation }
}

fn near(found: f64, expected: f64, within: f64) {
    assert!((found - expected).abs() <= within, "{found} is not {expected} +- {within}");
}

#[test]
fn a_healthy_stream_is_observed_in_every_layer_and_has_no_fault() {
    let clip = clip::clip(12, "", "");
    let mut run = Run::tv();
    run.play(&clip);
    assert!(run.told().is_empty(), "{:?}", run.told());
    let slices = run.slices.len() as f64;
    near(slices, 12.0, 1.0);
    let (transport, picture, sound) = run.observed();
    near(transport, slices, 0.1);
    near(picture, slices - 1.0, 1.0);
    near(sound, slices - 1.0, 1.0);
    let starts: Vec<i64> = run.slices.iter().map(|slice| slice.start.unix_millis()).collect();
    assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == 1000), "{starts:?}");
    let bytes: u64 = run.slices.iter().map(|slice| slice.counters.bytes).sum();
    near(bytes as f64, slices * 250_000.0, 260_000.0);
    let packets: u64 = run.slices.iter().map(|slice| slice.counters.packets).sum();
    assert_eq!(packets, bytes / 188);
    let latencies: Vec<LatencySample> =
        run.slices.iter().flat_map(|slice| slice.latencies.clone()).collect();
    assert!(matches!(latencies[..], [LatencySample::FirstByte(_), LatencySample::Startup(_)]));
    let prints: Vec<_> = run.slices.iter().map(|slice| &slice.fingerprint).collect();
    let heard = |it: &&Fingerprint| it.sound.iter().filter(|level| **level > 0).count();
    let tenths: Vec<usize> = prints.iter().map(heard).collect();
    assert!(tenths[1..tenths.len() - 1].iter().all(|heard| *heard == 10), "{prints:?}");
    let frames: usize = prints.iter().map(|it| it.coded.len()).sum();
    assert!((4..40).contains(&frames), "{frames} coded frames");
}

#[test]
fn a_stream_that_stops_has_no_data_since_its_last_packet() {
    let clip = clip::clip(12, "", "");
    let mut run = Run::tv();
    run.play(&clip[..clip::at(4.0)]);
    run.wait(5_100);
    let fault = run.begin(FaultKind::NoData);
    near(ms(fault.onset) as f64, 4_000.0, 10.0);
    assert_eq!(ms(fault.declared) - ms(fault.onset), 2_000);
    near(run.held(FaultKind::NoData), 5.0, 0.2);
    let (_, picture, _) = run.observed();
    near(picture, 3.5, 0.8);
    run.play(&clip[clip::at(9.0)..]);
    let told = run.told();
    assert!(told.contains(&"no_data critical 4.0..9.1".to_owned()), "{told:?}");
    // What came back is dated by its arrival, not by the clock of before.
    let late = run.faults.iter().filter(|r| r.kind == FaultKind::Pcr && ms(r.onset) > 4_500);
    late.for_each(|record| near(ms(record.onset) as f64, 9_100.0, 300.0));
    let last = run.slices.last().unwrap();
    assert_eq!(last.observed.transport, Duration::from_secs(1));
}

#[test]
fn a_stream_on_which_decoders_fail_has_one_fault_until_it_was_decoded_for_a_while() {
    let clip = clip::clip(12, "", "");
    let mut run = Run::tv();
    run.play(&clip[..clip::at(3.0)]);
    let failed = run.now;
    for _ in 0..2 {
        let pause = Duration::from_secs(1);
        run.session.decoder_failed(at(run.now), 0, WorkerFailure::Died(Some(11)), pause);
        run.play(&clip[clip::at(3.0)..clip::at(6.0)]);
    }
    let fault = run.begin(FaultKind::DecoderFailed);
    assert_eq!((ms(fault.onset), fault.severity), (failed, Severity::Warning));
    assert_eq!(fault.evidence, "the decoder crashed (signal 11); not decoded for 1 s");
    // What is decoded meanwhile is a good stream, the second time as well; the fault is over after 30 s of it.
    (0..4).for_each(|_| run.play(&clip[clip::at(3.0)..]));
    let of_decoder = run.faults.iter().filter(|fault| fault.kind == FaultKind::DecoderFailed);
    let phases: Vec<bool> =
        of_decoder.map(|fault| matches!(fault.phase, FaultPhase::End(_))).collect();
    assert_eq!(phases, [false, true]);
}

#[test]
fn each_change_of_what_is_shed_is_told_once_it_stays_and_costs_the_stream_nothing() {
    let clip = clip::clip(12, "", "");
    let mut run = Run::tv();
    run.play(&clip[..clip::at(2.0)]);
    let began = run.now;
    for (what, until) in [(Some("a"), 3.0), (Some("b"), 9.0), (None, 12.0)] {
        run.session.shed(at(run.now), 0, what.map(str::to_owned));
        let from = run.now - began + 2_000;
        run.play(&clip[clip::at(from as f64 / 1e3)..clip::at(until)]);
    }
    let shed = run.faults.iter().filter(|fault| fault.kind == FaultKind::Shedding);
    let told: Vec<_> = shed
        .map(|fault| {
            let end = matches!(fault.phase, FaultPhase::End(_));
            (end, fault.severity, fault.evidence.as_str())
        })
        .collect();
    assert_eq!(told, [(false, Severity::Info, "b"), (true, Severity::Info, "b")]);
    assert_eq!(run.faults.len(), 2, "{:?}", run.told());
}

#[test]
fn a_socket_that_is_open_again_and_brings_nothing_has_no_data() {
    let clip = clip::clip(12, "", "");
    let mut run = Run::tv();
    run.play(&clip[..clip::at(3.0)]);
    for (holds, wait) in [(true, 4_000), (false, 4_000)] {
        let evidence = "no interface".to_owned();
        let kind = FaultKind::Unreachable;
        run.event(InputEvent::Condition { at: at(run.now), kind, holds, evidence });
        run.wait(wait);
    }
    near(ms(run.begin(FaultKind::NoData).onset) as f64, 7_000.0, 100.0);
}

#[test]
fn a_stream_that_was_away_at_first_is_no_slow_start() {
    let clip = clip::clip(12, "", "");
    for (away, samples) in [(5_000, 2), (60_000, 0)] {
        let mut run = Run::new(Source::Datagrams, vec![view("one/a", None, tv())]);
        run.wait(away);
        run.event(InputEvent::Opened { phases: Phases::default(), at: at(run.now) });
        run.play(&clip[..clip::at(4.0)]);
        let found: usize = run.slices.iter().map(|slice| slice.latencies.len()).sum();
        assert_eq!(found, samples, "after {away} ms");
    }
}

#[test]
fn lost_packets_are_told_at_once_and_are_critical_when_they_go_on() {
    let clip = clip::clip(12, "", "");
    let lossy =
        clip::filter(&clip, |index, _| index * clip::PACKET < clip::at(3.0) || index % 20 != 0);
    let mut run = Run::tv();
    run.play(&lossy);
    let fault = run.begin(FaultKind::Continuity);
    near(ms(fault.onset) as f64, 3_000.0, 100.0);
    assert!(ms(fault.declared) - ms(fault.onset) < 20, "{fault:?}");
    assert_eq!(fault.severity, Severity::Warning);
    let raise = run.faults.iter().find(|record| record.phase == FaultPhase::Raise).unwrap();
    assert_eq!((raise.kind, raise.severity), (FaultKind::Continuity, Severity::Critical));
    near((ms(raise.declared) - ms(raise.onset)) as f64, 3_000.0, 100.0);
    // All PIDs of the stream are one fault, so that its end cannot be the end of a part of it.
    let begins = run.faults.iter().filter(|r| r.phase == FaultPhase::Begin);
    assert_eq!(begins.filter(|r| r.kind == FaultKind::Continuity).count(), 1);
    let lost: u64 = run.slices.iter().map(|slice| slice.counters.missing_packets).sum();
    assert!(lost > 100, "{lost}");
}

#[test]
fn a_lost_packet_of_a_pid_that_no_viewer_sees_is_counted_by_nobody() {
    let clip = clip::clip(12, "", "");
    let mut stray = clip.clone();
    // Null packets become a PID that no table lists, with counters that stand still.
    for packet in stray.chunks_exact_mut(clip::PACKET).filter(|p| clip::pid(p) == 0x1fff) {
        (packet[1], packet[2]) = (0x05, 0x55);
    }
    let mut run = Run::tv();
    run.play(&stray[..clip::at(6.0)]);
    assert!(run.told().is_empty(), "{:?}", run.told());
    assert_eq!(run.slices.iter().map(|slice| slice.counters.continuity_errors).sum::<u64>(), 0);
}

#[test]
fn a_picture_that_vanishes_from_a_legal_multiplex_is_missed() {
    let mut clip = clip::clip(12, "", "");
    let end = clip.len() / clip::PACKET * clip::PACKET;
    clip::mute(&mut clip, clip::VIDEO, clip::at(4.0), end);
    let mut run = Run::tv();
    run.play(&clip);
    let fault = run.begin(FaultKind::NoVideo);
    near(ms(fault.onset) as f64, 4_000.0, 250.0);
    near((ms(fault.declared) - ms(fault.onset)) as f64, 3_000.0, 250.0);
    let told = run.told();
    assert!(!told.iter().any(|t| t.contains("audio") || t.contains("continuity")), "{told:?}");
    assert!(!told.iter().any(|t| t.starts_with("black") || t.starts_with("freeze")), "{told:?}");
    let (transport, picture, sound) = run.observed();
    near(picture, 4.0, 1.0);
    near(sound, transport, 1.0);
}

#[test]
fn main_sound_that_vanishes_is_missed() {
    let mut clip = clip::clip(12, "", "");
    let end = clip.len() / clip::PACKET * clip::PACKET;
    clip::mute(&mut clip, clip::AUDIO, clip::at(4.0), end);
    let mut run = Run::tv();
    run.play(&clip);
    near(ms(run.begin(FaultKind::NoAudio).onset) as f64, 4_000.0, 300.0);
    assert!(!run.told().iter().any(|told| told.starts_with("no_video")));
}

/// Rows and pixels in a row of a JPEG (ITU-T T.81, B.2.2).
fn size_of(jpeg: &[u8]) -> [u8; 4] {
    let start = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    jpeg[start + 5..start + 9].try_into().unwrap()
}

#[test]
fn a_stream_is_drawn_every_ten_seconds_and_at_once_where_it_breaks() {
    let clip = clip::clip(20, "drawbox=c=black:t=fill:enable='between(t,3,20)'", "");
    let mut run = Run::tv();
    run.play(&clip);
    let black = ms(run.begin(FaultKind::Black).declared);
    let times: Vec<u64> = run.thumbnails.iter().map(|(at, _)| *at).collect();
    let [first, broken, critical] = times[..] else { panic!("drawn at {times:?}") };
    assert!(first < 1_500 && (black..black + 1_500).contains(&broken), "{times:?}, {black}");
    assert!((12_900..15_000).contains(&critical), "{times:?}");
    for (_, jpeg) in &run.thumbnails {
        assert_eq!(size_of(jpeg), [0, 180, 1, 64]);
    }
    let lengths: Vec<usize> = run.thumbnails.iter().map(|(_, jpeg)| jpeg.len()).collect();
    assert!(lengths[1] * 3 < lengths[0], "a black picture takes {lengths:?} bytes");
}

#[test]
fn black_and_silence_are_dated_to_the_moment_of_production() {
    let black = "drawbox=c=black:t=fill:enable='between(t,3,11)'";
    let clip = clip::clip(20, black, "volume=0:enable='between(t,2,14)'");
    let mut run = Run::tv();
    run.play(&clip);
    let black = run.begin(FaultKind::Black);
    // A key picture each second decides when it is declared, and not when it began.
    near(ms(black.onset) as f64, 3_000.0, 60.0);
    near((ms(black.declared) - ms(black.onset)) as f64, 5_000.0, 1_200.0);
    let silence = run.begin(FaultKind::Silence);
    near(ms(silence.onset) as f64, 2_000.0, 60.0);
    near(run.held(FaultKind::Black), 8.04, 0.1);
    let told = run.told();
    assert!(
        told.iter().any(|told| told.starts_with("black warning 3.") && !told.ends_with("..")),
        "{told:?}"
    );
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn sound_whose_stamps_are_moved_is_told_and_never_more_than_informational() {
    let mut clip = clip::clip(60, "", "");
    clip::restamp(&mut clip, clip::AUDIO, clip::at(35.0), 250);
    let mut run = Run::tv();
    run.play(&clip);
    let moved = run.begin(FaultKind::AvOffset);
    assert_eq!(moved.severity, Severity::Info);
    near(ms(moved.onset) as f64, 35_000.0, 2_100.0);
    assert!(moved.evidence.contains("moved against each other by 2"), "{moved:?}");
    assert_eq!(run.told(), [""; 0]);
}

#[test]
fn what_is_empty_in_an_announced_break_is_informational_and_what_outlives_it_counts_from_its_end() {
    let black = "drawbox=c=black:t=fill:enable='between(t,3,21)'";
    let mut clip = clip::clip(27, black, "volume=0:enable='between(t,3,14)'");
    let unannounced = clip.clone();
    clip::announce(&mut clip, 3.0, 15.0);
    let mut run = Run::tv();
    run.play(&clip);
    let [black, silence] = [FaultKind::Black, FaultKind::Silence].map(|kind| run.begin(kind));
    assert_eq!((black.severity, silence.severity), (Severity::Info, Severity::Info));
    assert!(black.evidence.contains("break"), "{black:?}");
    let told = run.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("black warning 15.0..21."), "{told:?}");

    let mut run = Run::tv();
    run.play(&unannounced);
    let told = run.told();
    assert!(told.iter().any(|it| it.starts_with("black critical 3.")), "{told:?}");
    assert!(told.iter().any(|it| it.starts_with("silence warning 3.0")), "{told:?}");
}

#[test]
fn a_picture_that_stands_in_silence_is_critical_while_each_alone_is_not() {
    let still = "select='not(between(t,3,10))',fps=25";
    let clip = clip::clip(20, still, "volume=0:enable='between(t,4,9.5)'");
    let mut run = Run::tv();
    run.play(&clip);
    let both = run.begin(FaultKind::FreezeAndSilence);
    assert_eq!(both.severity, Severity::Critical);
    near(ms(both.onset) as f64, 4_000.0, 60.0);
    let told = run.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("freeze_and_silence critical 4.0..9."), "{told:?}");
}

#[test]
fn what_this_host_dropped_is_unobserved_and_never_the_streams_loss() {
    let clip = clip::clip(12, "", "");
    let mut run = Run::tv();
    run.play(&clip[..clip::at(4.0)]);
    // The receive buffer overflows: half a second is missing.
    run.wait(500);
    run.event(InputEvent::Dropped { at: at(run.now), datagrams: 95 });
    run.play(&clip[clip::at(4.5)..clip::at(6.0)]);
    // The session has no turn for two seconds, and its queue is full: no player's buffer ran dry.
    run.neglect(2_500);
    run.event(InputEvent::Dropped { at: at(run.now), datagrams: 475 });
    run.play(&clip[clip::at(8.5)..]);
    assert_eq!(run.held(FaultKind::Stall), 0.0);
    let told = run.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("path_degraded warning 4.5"), "{told:?}");
    let unseen = run.slices.iter().filter(|slice| slice.observed.any().is_zero()).count();
    assert!((3..=8).contains(&unseen), "{unseen}");
    assert_eq!(run.slices.iter().map(|slice| slice.counters.continuity_errors).sum::<u64>(), 0);
    assert_eq!(run.slices.iter().map(|slice| slice.counters.receive_dropped).sum::<u64>(), 570);
}

#[test]
fn tables_that_stay_out_while_this_host_drops_packets_are_missed_only_after_it() {
    let mut clip = clip::clip(20, "", "");
    clip::mute(&mut clip, 0, clip::at(4.0), clip::at(13.0));
    let play = |drops_for: u32| {
        let mut run = Run::tv();
        run.play(&clip[..clip::at(4.0)]);
        for half in 8..40 {
            if half < 8 + drops_for * 2 {
                run.event(InputEvent::Dropped { at: at(run.now), datagrams: 1 });
            }
            run.play(&clip[clip::at(f64::from(half) / 2.0)..clip::at(f64::from(half + 1) / 2.0)]);
        }
        let missing = run.faults.iter().find(|it| it.kind == FaultKind::PsiMissing);
        missing.map(|it| ms(it.onset))
    };
    assert_eq!(play(9), None);
    near(play(4).unwrap() as f64, 8_500.0, 600.0);
    near(play(0).unwrap() as f64, 4_000.0, 600.0);
}

#[test]
fn datagrams_lost_by_rtp_are_told_and_make_no_stream_bad() {
    let clip = clip::clip(12, "", "");
    let mut run = Run::tv();
    run.play(&clip[..clip::at(4.0)]);
    let even = RtpCounts { packets: 700, reordered: 2, ..RtpCounts::default() };
    run.event(InputEvent::Rtp { at: at(run.now), counts: even });
    assert!(run.faults.is_empty(), "{:?}", run.faults);
    for lost in [1, 2] {
        let counts = RtpCounts { packets: 9, lost, ..RtpCounts::default() };
        run.event(InputEvent::Rtp { at: at(run.now), counts });
    }
    run.play(&clip[clip::at(4.0)..]);
    assert!(run.told().is_empty(), "{:?}", run.told());
    let told: Vec<_> = run.faults.iter().map(|it| (it.kind, it.phase, it.severity)).collect();
    let kind = FaultKind::RtpLoss;
    let (begin, end) = (FaultPhase::Begin, told[1].1);
    assert_eq!(told, [(kind, begin, Severity::Info), (kind, end, Severity::Info)]);
    assert!(matches!(end, FaultPhase::End(_)));
    assert_eq!(run.faults[1].evidence, "3 RTP packets lost on the way");
    assert_eq!(run.slices.iter().map(|slice| slice.counters.rtp_lost).sum::<u64>(), 3);
    assert!(run.held(kind) < 0.001);
}

/// Plays five seconds in which RTP packets are lost, `late` of them to come after all; returns the worst that is said of it.
fn lose(run: &mut Run, clip: &[u8], late: u64) -> Option<Severity> {
    for step in 0..10 {
        let counts = RtpCounts { packets: 90, lost: 4, late, ..RtpCounts::default() };
        run.event(InputEvent::Rtp { at: at(run.now), counts });
        let from = 2.0 + f64::from(step) / 2.0;
        run.play(&clip[clip::at(from)..clip::at(from + 0.5)]);
    }
    run.play(&clip[clip::at(7.0)..]);
    run.faults.iter().filter(|it| it.kind == FaultKind::RtpLoss).map(|it| it.severity).max()
}

#[test]
fn losses_by_rtp_that_go_on_are_critical_unless_they_come_late_or_are_repaired() {
    let clip = clip::clip(14, "", "");
    let ready = || {
        let mut run = Run::tv();
        run.play(&clip[..clip::at(2.0)]);
        run
    };
    let mut run = ready();
    assert_eq!(lose(&mut run, &clip, 0), Some(Severity::Critical));
    assert_eq!(run.told(), ["rtp_loss critical 2.0..7.5"]);
    // From when it is critical on, until nothing was lost any more.
    near(run.held(FaultKind::RtpLoss), 2.5, 1.0);
    let mut run = ready();
    assert_eq!(lose(&mut run, &clip, 4), Some(Severity::Info));
    assert!(run.held(FaultKind::RtpLoss) < 0.001);
    let fec = Fec { direction: FecDirection::Column, offset: 5, packets: 20 };
    let mut run = ready();
    run.event(InputEvent::Fec { fec, packets: 1 });
    assert_eq!(lose(&mut run, &clip, 0), Some(Severity::Info));
    assert!(run.held(FaultKind::RtpLoss) < 0.001);
    // What was said before it was seen is taken back.
    let mut run = ready();
    lose(&mut run, &clip[..clip::at(7.0)], 0);
    run.event(InputEvent::Fec { fec, packets: 1 });
    let last = run.faults.iter().rfind(|it| it.kind == FaultKind::RtpLoss).unwrap();
    assert!(matches!(last.phase, FaultPhase::End(_)), "{last:?}");
}

#[test]
fn what_error_correction_can_repair_is_no_loss_to_a_viewer() {
    let clip = clip::clip(12, "", "");
    // Where one of the packets that half a second has is missing, and where a tenth of them are.
    let worst = |fec: bool, datagrams: usize| {
        let mut run = Run::tv();
        run.play(&clip[..clip::at(2.0)]);
        for half in 4..16 {
            let (from, to) = (clip::at(f64::from(half) / 2.0), clip::at(f64::from(half + 1) / 2.0));
            if fec {
                let fec = Fec { direction: FecDirection::Column, offset: 5, packets: 20 };
                run.event(InputEvent::Fec { fec, packets: 5 });
            }
            let lost = datagrams as u64;
            let counts = RtpCounts { packets: 95 - lost, lost, ..RtpCounts::default() };
            run.event(InputEvent::Rtp { at: at(run.now), counts });
            run.play(&clip[from + datagrams * DATAGRAM..to]);
        }
        let seen = run.slices.iter().map(|slice| slice.counters.continuity_errors).sum::<u64>();
        assert!(seen > 6, "all of it is counted: {seen}");
        let found = run.faults.iter().filter(|it| it.kind == FaultKind::Continuity);
        found.map(|it| it.severity).max()
    };
    assert_eq!(worst(true, 1), Some(Severity::Info));
    assert_eq!(worst(false, 1), Some(Severity::Critical));
    assert_eq!(worst(true, 10), Some(Severity::Critical));
}

#[test]
fn packets_that_come_more_unevenly_than_players_buffer_are_told() {
    let mut run = Run::tv();
    let mut spread = |millis: u64| {
        run.wait(1_000);
        let rtp_spread = Some(Duration::from_millis(millis));
        let arrival = Arrival { rtp_spread, pcr_jitter: rtp_spread, ..Arrival::default() };
        run.event(InputEvent::Arrival { at: at(run.now), arrival });
        let told = run.faults.iter().filter(|it| it.kind == FaultKind::DeliveryJitter);
        told.map(|it| (it.severity, it.evidence.clone())).collect::<Vec<_>>()
    };
    assert_eq!(spread(500), []);
    let evidence = "RTP packets took up to 501 ms longer on the way than others of the same second";
    assert_eq!(spread(501), [(Severity::Info, evidence.to_owned())]);
    // A stream without RTP has the bursts of its sender in its clock.
    let arrival = Arrival { pcr_jitter: Some(Duration::from_millis(900)), ..Arrival::default() };
    let mut run = Run::tv();
    run.event(InputEvent::Arrival { at: at(run.now), arrival });
    assert!(run.faults.is_empty(), "{:?}", run.faults);
}

#[test]
fn a_pause_of_the_process_is_nobodys_fault() {
    let clip = clip::clip(12, "", "");
    for source in [Source::Datagrams, Source::Http] {
        let mut run = Run::new(source, vec![view("one/a", None, tv())]);
        run.event(InputEvent::Opened { phases: Phases::default(), at: at(0) });
        run.play(&clip[..clip::at(4.0)]);
        // Stopped for three seconds; what came meanwhile waited in the socket, with the kernel's stamps.
        run.now += 3_000;
        for (index, datagram) in clip[clip::at(4.0)..clip::at(7.0)].chunks(DATAGRAM).enumerate() {
            let stamp = 4_000 + (index * DATAGRAM * 8 / 2_000) as u64;
            let data = Bytes::copy_from_slice(datagram);
            run.event(InputEvent::Bytes { at: at(stamp), data });
        }
        run.play(&clip[clip::at(7.0)..]);
        let told = run.told();
        assert!(told.iter().all(|told| told.starts_with("path_degraded")), "{source:?} {told:?}");
    }
}

/// A host without a free core: for a while nobody reads, while the clock and the session go on; then what came meanwhile is read
/// at one go, datagrams with the kernel's stamps and a connection's bytes without.
#[test]
fn what_this_host_was_too_late_to_look_at_is_not_the_streams_fault() {
    let clip = clip::clip(12, "", "");
    // Slices wait for two seconds; and a connection that was not read for long may have lost what the server gave up on.
    for (source, late, expected) in [
        (Source::Datagrams, 1_400, 0.0),
        (Source::Datagrams, 4_000, 2.0),
        (Source::Http, 1_400, 0.0),
        (Source::Http, 4_000, 5.0),
    ] {
        let mut run = Run::new(source, vec![view("one/a", None, tv())]);
        run.event(InputEvent::Opened { phases: Phases::default(), at: at(0) });
        run.play(&clip[..clip::at(4.0)]);
        run.neglect(late);
        let told = run.told();
        assert!(told.is_empty(), "{source:?} {late} {told:?}");
        let end = (4_000 + late) as f64 / 1000.0;
        for (index, datagram) in clip[clip::at(4.0)..clip::at(end)].chunks(DATAGRAM).enumerate() {
            let stamp = match source {
                Source::Datagrams => 4_000 + (index * DATAGRAM * 8 / 2_000) as u64,
                _ => run.now,
            };
            let data = Bytes::copy_from_slice(datagram);
            run.event(InputEvent::Bytes { at: at(stamp), data });
        }
        run.play(&clip[clip::at(end)..]);
        let told = run.told();
        assert!(told.iter().all(|told| told.starts_with("path_degraded")), "{source:?} {told:?}");
        assert_eq!(run.held(FaultKind::Stall), 0.0, "{source:?} {late}");
        assert_eq!(run.held(FaultKind::NoData), 0.0, "{source:?} {late}");
        let unseen: f64 =
            run.slices.iter().map(|slice| 1.0 - seconds(slice.observed.transport)).sum();
        near(unseen, expected, 1.3);
        let delivery: f64 = run.slices.iter().map(|slice| seconds(slice.observed.delivery)).sum();
        assert!(run.slices.len() as f64 - delivery < unseen + 0.2, "{delivery}");
    }
}

/// A gap too short to be a fault, found while older datagrams still wait, must not be held against the clock.
#[test]
fn a_short_gap_is_no_fault_however_far_behind_the_clock_it_is_found() {
    let clip = clip::clip(12, "", "");
    let mut run = Run::tv();
    run.play(&clip[..clip::at(4.0)]);
    run.neglect(4_000);
    let mut stamp = 4_000;
    for (index, datagram) in clip[clip::at(4.0)..clip::at(8.0)].chunks(DATAGRAM).enumerate() {
        // The sender held its breath from 5.0 to 6.3 s and then sent at once what was due.
        let due = 4_000 + (index * DATAGRAM * 8 / 2_000) as u64;
        let held = (5_000..6_300).contains(&due);
        stamp = stamp.max(if held { 6_300 + (due - 5_000) / 26 } else { due });
        let data = Bytes::copy_from_slice(datagram);
        run.event(InputEvent::Bytes { at: at(stamp), data });
    }
    run.play(&clip[clip::at(8.0)..]);
    let told = run.told();
    assert!(told.is_empty(), "{told:?}");
    near(run.held(FaultKind::Stall), 0.3, 0.2);
}

#[test]
fn radio_has_no_picture_to_miss_and_television_has() {
    let clip = clip::radio(12);
    for (kind, expected) in [
        (Some(ChannelKind::Radio), false),
        (Some(ChannelKind::Tv), true),
        // Where nobody said, the tables do.
        (None, false),
    ] {
        let expectation = Expectation { kind, ..tv() };
        let mut run = Run::new(Source::Datagrams, vec![view("one/a", None, expectation)]);
        // Half the rate of the other clips.
        for datagram in clip.chunks(DATAGRAM) {
            run.wait((DATAGRAM * 8 / 1_000) as u64);
            let data = Bytes::copy_from_slice(datagram);
            run.event(InputEvent::Bytes { at: at(run.now), data });
        }
        let told = run.told();
        assert_eq!(
            told.iter().any(|told| told.starts_with("no_video critical")),
            expected,
            "{kind:?} {told:?}"
        );
        assert_eq!(told.len(), usize::from(expected), "{told:?}");
    }
}

#[test]
fn scrambling_is_a_fault_only_where_it_is_not_expected() {
    let clip = clip::clip(12, "", "");
    let mut scrambled = clip.clone();
    for packet in scrambled[clip::at(4.0)..].chunks_exact_mut(clip::PACKET) {
        if matches!(clip::pid(packet), clip::VIDEO | clip::AUDIO) && packet[3] & 0x10 != 0 {
            packet[3] |= 0x80;
        }
    }
    for (encryption, faults) in [(Encryption::None, 1), (Encryption::Expected, 0)] {
        let expectation = Expectation { encryption: Some(encryption), ..tv() };
        let mut run = Run::new(Source::Datagrams, vec![view("one/a", None, expectation)]);
        run.play(&scrambled);
        let told = run.told();
        assert_eq!(told.len(), faults, "{told:?}");
        assert!(told.iter().all(|told| told.starts_with("scrambled warning 4.")), "{told:?}");
        // A scrambled picture is unobserved, not good.
        let last = run.slices.last().unwrap();
        assert_eq!(last.observed.transport, Duration::from_secs(1));
        assert_eq!(last.observed.sound, Duration::ZERO);
    }
}

#[test]
fn what_is_no_transport_stream_has_lost_its_sync() {
    let clip = clip::clip(12, "", "");
    let noise = noise(clip.len());
    // From the start, and after a good while.
    let cases = [Source::Datagrams, Source::Http].map(|source| [0.0, 4.0].map(|it| (source, it)));
    for (source, good) in cases.into_iter().flatten() {
        let mut run = Run::new(source, vec![view("one/a", None, tv())]);
        run.event(InputEvent::Opened { phases: Phases::default(), at: at(0) });
        run.play(&clip[..clip::at(good)]);
        run.play(&noise[..clip::at(5.0)]);
        let fault = run.begin(FaultKind::SyncLoss);
        assert_eq!(fault.severity, Severity::Warning);
        let worst = run.faults.iter().filter(|r| r.kind == FaultKind::SyncLoss);
        assert_eq!(worst.map(|r| r.severity).max(), Some(Severity::Critical));
        // A packet or two of noise may look like one.
        near(ms(fault.onset) as f64, good * 1000.0, 500.0);
        run.play(&clip[clip::at(4.0)..]);
        let told = run.told();
        assert!(told.iter().any(|t| t.starts_with("sync_loss") && !t.ends_with("..")), "{told:?}");
    }
}

fn noise(length: usize) -> Vec<u8> {
    (0..length as u64)
        .map(|n| (n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n << 7) >> 33) as u8)
        .collect()
}

#[test]
fn segments_that_are_no_transport_stream_have_lost_their_sync() {
    let clip = clip::clip(12, "", "");
    for good in [0, 3] {
        let mut run = Run::new(Source::Http, vec![view("one/hls", None, tv())]);
        run.event(InputEvent::Opened { phases: Phases::default(), at: at(100) });
        play_segments(&mut run, &clip, good, None);
        play_segments(&mut run, &noise(clip.len()), 4, None);
        let worst = run.faults.iter().filter(|it| it.kind == FaultKind::SyncLoss);
        assert_eq!(worst.map(|it| it.severity).max(), Some(Severity::Critical), "{:?}", run.told());
    }
}

/// Segments of two seconds, each complete 300 ms after its last picture.
fn play_segments(run: &mut Run, clip: &[u8], count: u32, discontinuity: Option<u32>) {
    for sequence in 0..count {
        run.wait(2_000);
        let from = clip::at(f64::from(sequence) * 2.0);
        let to = clip::at(f64::from(sequence + 1) * 2.0).min(clip.len());
        run.event(InputEvent::Segment {
            at: at(run.now),
            sequence: u64::from(sequence),
            duration: Duration::from_secs(2),
            target: Duration::from_secs(2),
            discontinuity: sequence == 0 || discontinuity == Some(sequence),
            programme_date_time: None,
            fetch: Duration::from_millis(300),
            data: Bytes::copy_from_slice(&clip[from..to]),
        });
    }
}

#[test]
fn segments_fill_the_seconds_in_which_they_were_produced() {
    let black = "drawbox=c=black:t=fill:enable='between(t,4,14)'";
    let clip = clip::clip(20, black, "");
    let mut run = Run::new(Source::Http, vec![view("one/hls", None, tv())]);
    run.event(InputEvent::Opened { phases: Phases::default(), at: at(100) });
    play_segments(&mut run, &clip, 10, None);
    run.wait(500);
    // The first segment was complete at 2 s, so its media was produced from 0 s on.
    let fault = run.begin(FaultKind::Black);
    near(ms(fault.onset) as f64, 4_300.0, 500.0);
    let told = run.told();
    assert_eq!(told.len(), 1, "{told:?}");
    let (transport, picture, _) = run.observed();
    let slices = run.slices.len() as f64;
    near(slices, 20.0, 1.0);
    near(transport, slices, 0.5);
    near(picture, slices, 1.0);
    near(run.held(FaultKind::Black), 10.0, 1.0);
    let bytes: Vec<u64> = run.slices.iter().map(|slice| slice.counters.bytes).collect();
    assert!(bytes.iter().all(|bytes| (200_000..300_000).contains(bytes)), "{bytes:?}");
    // A slice is of media that was produced up to its end: never of the future.
    assert!(run.slices.iter().all(|slice| ms(slice.end) <= 20_000));
}

#[test]
fn a_dead_server_of_segments_is_told_without_waiting_for_one() {
    let clip = clip::clip(12, "", "");
    let mut run = Run::new(Source::Http, vec![view("one/hls", None, tv())]);
    run.event(InputEvent::Opened { phases: Phases::default(), at: at(0) });
    play_segments(&mut run, &clip, 3, None);
    let (kind, evidence) = (FaultKind::Unreachable, "connection refused".to_owned());
    run.event(InputEvent::Condition { at: at(6_000), kind, holds: true, evidence });
    run.wait(4_000);
    assert_eq!(run.told(), ["unreachable critical 6.0.."]);
    let last = run.slices.last().unwrap();
    assert!(ms(last.end) >= 9_000, "{last:?}");
    assert_eq!(last.observed.delivery, Duration::from_secs(1));
    assert_eq!(last.observed.transport, Duration::ZERO);
    assert!(last.standing.contains_key(&FaultKind::Unreachable));
}

#[test]
fn sealed_segments_are_told_and_nothing_waits_for_what_is_in_them() {
    let clip = clip::clip(12, "", "");
    for clear in [0, 3] {
        let mut run = Run::new(Source::Http, vec![view("one/hls", None, tv())]);
        run.event(InputEvent::Opened { phases: Phases::default(), at: at(0) });
        play_segments(&mut run, &clip, clear, None);
        let sealed = run.now;
        let (kind, evidence) =
            (FaultKind::Scrambled, "segments are encrypted (AES-128)".to_owned());
        run.event(InputEvent::Condition { at: at(run.now), kind, holds: true, evidence });
        run.wait(12_000);
        let onset = sealed as f64 / 1000.0;
        assert_eq!(run.told(), [format!("scrambled warning {onset:.1}..")]);
        let last = run.slices.last().unwrap();
        assert!(ms(last.end) + 1_500 >= run.now, "a slice is as fresh as any: {last:?}");
        assert_eq!(last.observed.transport, Duration::ZERO, "nobody looked inside");
        assert_eq!(last.observed.delivery, Duration::from_secs(1));
        let evidence = String::new();
        run.event(InputEvent::Condition { at: at(run.now), kind, holds: false, evidence });
        play_segments(&mut run, &clip, 4, None);
        let told = run.told();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(!told[0].ends_with(".."), "{told:?}");
    }
}

#[test]
fn sound_in_a_playlist_of_its_own_is_unobserved_and_not_missing() {
    let clip = clip::film(12);
    let expectation = Expectation { main_language: Some("eng".to_owned()), ..tv() };
    for (place, missing) in [(SoundPlace::Elsewhere, 0), (SoundPlace::Inside, 1)] {
        let mut run = Run::new(Source::Http, vec![view("one/hls", None, expectation.clone())]);
        run.event(InputEvent::Opened { phases: Phases::default(), at: at(0) });
        run.event(InputEvent::Sound { at: at(0), place });
        play_segments(&mut run, &clip, 5, None);
        let told = run.told();
        assert_eq!(told.len(), missing, "{told:?}");
        assert!(told.iter().all(|told| told.starts_with("no_audio critical")), "{told:?}");
        let (transport, _, sound) = run.observed();
        assert!(transport > 5.0 && sound == 0.0, "{transport} {sound}");
    }
}

/// What cannot be read at all is watched by nobody.
#[test]
fn an_input_that_is_over_leaves_everything_unobserved() {
    let mut run = Run::new(Source::Http, vec![view("one/hls", None, tv())]);
    run.event(InputEvent::Opened { phases: Phases::default(), at: at(0) });
    let error = Some("segments are fragmented MP4 (EXT-X-MAP)".to_owned());
    run.event(InputEvent::End { at: at(0), error });
    run.neglect(30_000);
    let last = run.slices.last().unwrap();
    assert!(ms(last.end) >= 26_000, "{last:?}");
    assert!(last.observed.any().is_zero() && last.observed.delivery.is_zero(), "{last:?}");
    assert!(run.told().is_empty());
}

#[test]
fn a_jump_between_segments_is_informational() {
    let clip = clip::clip(12, "", "");
    // The third segment begins somewhere else in the stream.
    let jumped = [&clip[..clip::at(4.0)], &clip[clip::at(6.0)..]].concat();
    for (announced, told) in [(None, 1), (Some(2), 0)] {
        let mut run = Run::new(Source::Http, vec![view("one/hls", None, tv())]);
        run.event(InputEvent::Opened { phases: Phases::default(), at: at(0) });
        play_segments(&mut run, &jumped, 4, announced);
        assert!(run.told().is_empty(), "{:?}", run.told());
        let infos = run.faults.iter().filter(|r| r.kind == FaultKind::BoundaryContinuity);
        assert_eq!(infos.filter(|r| r.phase == FaultPhase::Begin).count(), told);
    }
}

#[test]
fn streams_of_one_multiplex_share_a_session_and_not_their_faults() {
    let mut clip = clip::clip(12, "", "");
    let end = clip.len() / clip::PACKET * clip::PACKET;
    clip::mute(&mut clip, clip::VIDEO, clip::at(3.0), end);
    let views = vec![
        view("one/a", Some(1), tv()),
        view("two/a", Some(1), Expectation { kind: Some(ChannelKind::Radio), ..tv() }),
        view("three/a", Some(77), tv()),
    ];
    let mut run = Run::new(Source::Datagrams, views);
    run.play(&clip);
    let streams: Vec<&str> = run
        .faults
        .iter()
        .filter(|record| record.kind == FaultKind::NoVideo && record.phase == FaultPhase::Begin)
        .map(|record| record.stream.as_str())
        .collect();
    // The one whose picture is gone, and the one whose service is not there at all.
    assert_eq!(streams, ["three/a", "one/a"]);
    for stream in ["one/a", "two/a", "three/a"] {
        let count = run.slices.iter().filter(|slice| slice.stream.as_str() == stream).count();
        near(count as f64, 12.0, 1.0);
    }
}

#[test]
fn a_session_that_ends_takes_its_faults_with_it() {
    let clip = clip::clip(12, "", "");
    let mut run = Run::tv();
    run.play(&clip[..clip::at(2.0)]);
    run.wait(4_000);
    run.session.stop(at(run.now));
    run.drain();
    let told = run.told();
    assert!(told.contains(&"no_data critical 2.0..6.0".to_owned()), "{told:?}");
}
