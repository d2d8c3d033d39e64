//! Real encoders' output with planted faults and traps: each fault is found within one group of pictures, and nothing else is.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of a test fails the test"
)]

mod clip;

use std::{collections::BTreeMap, time::Duration};

use tallylight_agent::{
    decode::{Analyser, Effort, Reply, Request, Unit},
    picture::{Condition, KeyFramePolicy, PictureDetector, PictureRules, PictureUnit},
    sound::SoundDetector,
};
use tallylight_model::{Codec, FaultKind, Pid, Profile, ProfileName};

const FPS: f64 = 25.0;

/// What a clip gave.
struct Found {
    /// Conditions by kind and onset, as last told.
    conditions: BTreeMap<(FaultKind, Duration), Condition>,
    decoded: usize,
    damaged: usize,
}

impl Found {
    fn take(&mut self, condition: Condition) {
        assert!(condition.since <= condition.until, "{condition:?}");
        self.conditions.insert((condition.kind, condition.since), condition);
    }

    /// Conditions that last long enough to be faults.
    fn faults(&self, profile: ProfileName) -> Vec<(FaultKind, f64, f64)> {
        let profile = Profile::new(profile);
        (self.conditions.values())
            .filter(|c| profile.hold(c.kind).declared().is_some_and(|h| c.until - c.since >= h))
            .map(|c| (c.kind, c.since.as_secs_f64(), c.until.as_secs_f64()))
            .collect()
    }
}

fn pid() -> Pid {
    Pid::from_bits(0x100)
}

fn watch(data: &[u8], extension: &str, rules: PictureRules) -> Found {
    let codec = match extension {
        "h264" => Codec::H264,
        "hevc" => Codec::Hevc,
        _ => Codec::Mpeg2Video,
    };
    let mut found = Found { conditions: BTreeMap::new(), decoded: 0, damaged: 0 };
    let (mut policy, mut detector, mut analyser) =
        (KeyFramePolicy::new(), PictureDetector::new(rules), Analyser::new());
    for (index, unit) in clip::split(data, extension).into_iter().enumerate() {
        let media_time = Duration::from_secs_f64(100.0 + index as f64 / FPS);
        let facts = PictureUnit { media_time, size: unit.size, key: unit.key, picture: None };
        detector.unit(&facts);
        let effort = policy.judge(&facts, detector.suspicion());
        if effort != Effort::Skip {
            let (pid, key, data) = (pid(), unit.key, unit.data);
            let request = Request::Unit(Unit { pid, codec, key, media_time, effort, data });
            for reply in analyser.handle(request) {
                match reply {
                    Reply::Picture(stats) => {
                        found.decoded += 1;
                        detector.stats(&stats);
                    }
                    Reply::Damaged { .. } => found.damaged += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
        while let Some(mut condition) = detector.poll() {
            condition.since -= Duration::from_secs(100);
            condition.until -= Duration::from_secs(100);
            found.take(condition);
        }
    }
    found
}

fn listen(frames: Vec<Vec<u8>>, codec: Codec, frame: Duration) -> Found {
    let mut found = Found { conditions: BTreeMap::new(), decoded: 0, damaged: 0 };
    let (mut detector, mut analyser) = (SoundDetector::new(), Analyser::new());
    for (index, data) in frames.into_iter().enumerate() {
        let media_time = frame * index as u32;
        let effort = Effort::Alone;
        let request =
            Request::Unit(Unit { pid: pid(), codec, key: true, media_time, effort, data });
        for reply in analyser.handle(request) {
            match reply {
                Reply::Sound(stats) => {
                    found.decoded += 1;
                    detector.stats(&stats);
                }
                Reply::Damaged { .. } => found.damaged += 1,
                other => panic!("{other:?}"),
            }
        }
        while let Some(condition) = detector.poll() {
            found.take(condition);
        }
    }
    found
}

/// A live picture: everything in it moves and there is noise on it.
const LIVE: &str = "testsrc2=size=640x360:rate=25,noise=alls=12:allf=t,format=yuv420p";

/// 50 s with black from 12 s to 20 s and freeze from 30 s to 42 s.
fn faulty(source: &str) -> String {
    format!(
        "{source},split[a][b];\
         [a]trim=0:30,drawbox=c=black:t=fill:enable='between(t,12,19.99)',tpad=stop_mode=clone:stop_duration=12[c];\
         [b]trim=42:50,setpts=PTS-STARTPTS[d];[c][d]concat"
    )
}

fn video(graph: &str, encoder: &str, extension: &str) -> Vec<u8> {
    let mut arguments = vec!["-f", "lavfi", "-i", graph];
    arguments.extend(encoder.split_whitespace());
    clip::encode(&arguments, extension)
}

const X264: &str =
    "-c:v libx264 -preset veryfast -b:v 2M -maxrate 2500k -bufsize 2500k -g 50 -x264-params aud=1";

/// Checks that exactly these faults stand under both profiles, each within `slack` seconds.
#[track_caller]
fn check(found: &Found, expected: &[(FaultKind, f64, f64)], slack: f64) {
    for profile in ProfileName::ALL {
        let faults = found.faults(profile);
        assert_eq!(faults.len(), expected.len(), "{profile:?}: {faults:?}");
        for ((kind, since, until), (wanted, onset, end)) in faults.iter().zip(expected) {
            assert_eq!(kind, wanted);
            let near = (since - onset).abs() <= slack && (until - end).abs() <= slack;
            assert!(
                near,
                "{profile:?}: {kind} {since:.2} to {until:.2}, in truth {onset} to {end}"
            );
        }
    }
    assert_eq!(found.damaged, 0);
}

const PLANTED: [(FaultKind, f64, f64); 2] =
    [(FaultKind::Black, 12.0, 20.0), (FaultKind::Freeze, 30.0, 42.0)];

#[test]
fn h264_faults_are_found_to_the_picture() {
    let found = watch(&video(&faulty(LIVE), X264, "h264"), "h264", PictureRules::All);
    check(&found, &PLANTED, 0.2);
    assert!(found.decoded <= 40, "{} pictures decoded in 50 s", found.decoded);
}

#[test]
fn constant_bit_rate_with_filler_hides_nothing() {
    let encoder = "-c:v libx264 -preset veryfast -b:v 2M -minrate 2M -maxrate 2M -bufsize 1M -g 25 -sc_threshold 0 -x264-params aud=1:nal-hrd=cbr:filler=1";
    let data = video(&faulty(LIVE), encoder, "h264");
    assert!(data.len() > 11_000_000, "no filler in {} bytes", data.len());
    check(&watch(&data, "h264", PictureRules::All), &PLANTED, 0.3);
}

#[test]
fn mpeg2_interlaced_faults_are_found_to_the_group() {
    let encoder =
        "-c:v mpeg2video -b:v 3M -maxrate 3M -bufsize 1200k -g 12 -bf 2 -flags +ildct+ilme";
    let found = watch(&video(&faulty(LIVE), encoder, "m2v"), "m2v", PictureRules::All);
    check(&found, &PLANTED, 0.5);
}

#[test]
fn ten_bit_hevc_faults_are_found() {
    let encoder = "-c:v libx265 -preset ultrafast -b:v 1500k -g 50 -pix_fmt yuv420p10le -x265-params aud=1:repeat-headers=1:log-level=none";
    let found = watch(&video(&faulty(LIVE), encoder, "hevc"), "hevc", PictureRules::All);
    check(&found, &PLANTED, 0.3);
}

#[test]
fn a_group_of_ten_seconds_is_enough_for_long_faults() {
    let encoder = "-c:v libx264 -preset veryfast -b:v 2M -maxrate 2500k -bufsize 2500k -g 250 -sc_threshold 0 -x264-params aud=1";
    let found = watch(&video(&faulty(LIVE), encoder, "h264"), "h264", PictureRules::All);
    check(&found, &PLANTED, 0.4);
}

#[test]
fn a_fault_in_the_first_long_group_is_found() {
    let graph = format!("{LIVE},drawbox=c=black:t=fill:enable='between(t,3,8.99)',trim=0:16");
    let encoder = "-c:v libx264 -preset veryfast -b:v 2M -g 250 -sc_threshold 0 -x264-params aud=1";
    let found = watch(&video(&graph, encoder, "h264"), "h264", PictureRules::All);
    check(&found, &[(FaultKind::Black, 3.0, 9.0)], 0.3);
}

#[test]
fn full_hd_and_intra_only_are_judged_alike() {
    let graph = "testsrc2=size=1920x1080:rate=25,noise=alls=12:allf=t,format=yuv420p,\
        drawbox=c=black:t=fill:enable='between(t,4,10.99)',trim=0:14";
    let encoder = "-c:v libx264 -preset ultrafast -b:v 6M -g 50 -x264-params aud=1";
    let found = watch(&video(graph, encoder, "h264"), "h264", PictureRules::All);
    check(&found, &[(FaultKind::Black, 4.0, 11.0)], 0.3);
    let encoder = "-c:v libx264 -preset ultrafast -crf 30 -g 1 -x264-params aud=1";
    let found = watch(&video(&faulty(LIVE), encoder, "h264"), "h264", PictureRules::All);
    check(&found, &PLANTED, 0.6);
}

#[test]
fn a_still_channel_may_stand_and_a_radio_channel_may_be_black() {
    let data = video(&faulty(LIVE), X264, "h264");
    check(&watch(&data, "h264", PictureRules::NoFreeze), &PLANTED[..1], 0.2);
    check(&watch(&data, "h264", PictureRules::None), &[], 0.0);
}

#[test]
fn black_may_carry_a_logo() {
    let graph = format!(
        "{LIVE},drawbox=c=black:t=fill:enable='between(t,10,19.99)',drawbox=x=540:y=30:w=60:h=40:c=white:t=fill,trim=0:30"
    );
    let found = watch(&video(&graph, X264, "h264"), "h264", PictureRules::All);
    check(&found, &[(FaultKind::Black, 10.0, 20.0)], 0.2);
}

#[test]
fn ordinary_programme_raises_nothing() {
    let clock = "smptebars=size=640x360:rate=25[b];testsrc=size=640x360:rate=25,crop=64:104:512:128,scale=20:30[c];[b][c]overlay=x=560:y=40";
    let traps = [
        (
            "fade of 1.5 s",
            "testsrc2=size=640x360:rate=25,noise=alls=12:allf=t,fade=out:st=8:d=0.75:enable='lt(t,8.75)',fade=in:st=8.75:d=0.75:enable='between(t,8.75,9.6)'",
        ),
        (
            "dark moving scene with a logo",
            "testsrc2=size=640x360:rate=25,lutyuv=y='16+(val-16)*0.06':u=128:v=128,drawbox=x=540:y=30:w=60:h=40:c=white:t=fill",
        ),
        (
            "light moving on black",
            "color=black:size=640x360:rate=25[b];color=gray:size=40x24:rate=25[c];[b][c]overlay=x='20+30*t':y='40+8*t'",
        ),
        ("letterbox", "testsrc2=size=640x268:rate=25,pad=640:360:0:46"),
        (
            "static noisy shot with one small moving object",
            "smptehdbars=size=640x360:rate=25,noise=alls=10:allf=t[b];color=white:size=32x32:rate=25[c];[b][c]overlay=x='300+40*sin(t)':y=200",
        ),
        (
            "slow pan",
            "mandelbrot=size=1280x360:rate=25:start_scale=0.3:end_scale=0.3:end_pts=1,crop=640:360:'10*t':0",
        ),
        ("clock on a still slate", clock),
    ];
    for (name, graph) in traps {
        let graph = format!("{graph},trim=0:26,format=yuv420p");
        let found = watch(&video(&graph, X264, "h264"), "h264", PictureRules::All);
        let faults = found.faults(ProfileName::Sensitive);
        assert!(faults.is_empty(), "{name}: {faults:?}");
    }
}

#[test]
fn poor_encodes_hide_nothing() {
    let cases = [
        ("-c:v libx264 -preset veryfast -crf 40 -g 50 -x264-params aud=1", "h264"),
        ("-c:v mpeg2video -b:v 600k -maxrate 600k -bufsize 600k -g 12 -bf 2", "m2v"),
        (
            "-c:v libx265 -preset ultrafast -b:v 200k -g 50 \
             -x265-params aud=1:repeat-headers=1:log-level=none",
            "hevc",
        ),
    ];
    for (encoder, extension) in cases {
        let found = watch(&video(&faulty(LIVE), encoder, extension), extension, PictureRules::All);
        check(&found, &PLANTED, 2.0);
    }
}

#[test]
fn intra_refresh_without_key_pictures_is_sampled() {
    let graph = format!("{LIVE},drawbox=c=black:t=fill:enable='gte(t,30)',trim=0:100");
    let encoder = "-c:v libx264 -preset ultrafast -tune zerolatency -b:v 1M -g 25 -x264-params aud=1:intra-refresh=1";
    let found = watch(&video(&graph, encoder, "h264"), "h264", PictureRules::All);
    check(&found, &[(FaultKind::Black, 30.0, 99.8)], 0.2);
    assert!(found.decoded <= 12, "{} pictures", found.decoded);
}

/// A tone at -21 dBFS, at -50 from 5 s to 12 s, silent on both channels from 15 s to 30 s, on one from 33 s to 45 s.
const SOUND: &str = "sine=frequency=440:sample_rate=48000:duration=50,\
    volume=-29dB:enable='between(t,5,12)',volume=0:enable='between(t,15,30)',\
    pan=stereo|c0=c0|c1=c0,asplit[a][b];\
    [a]volume=0:enable='between(t,33,45)',pan=mono|c0=c0[c];[b]pan=mono|c0=c1[d];[c][d]join=inputs=2";

#[test]
fn silence_is_found_to_the_tenth_of_a_second_and_a_quiet_passage_is_none() {
    let cases = [
        ("aac", "aac", Codec::AacAdts, 1024),
        ("mp2", "mp2", Codec::MpegAudio, 1152),
        ("libmp3lame", "mp3", Codec::MpegAudio, 1152),
        ("ac3", "ac3", Codec::Ac3, 1536),
        ("eac3", "eac3", Codec::Eac3, 1536),
    ];
    for (encoder, extension, codec, samples) in cases {
        let mut arguments = vec!["-f", "lavfi", "-i", SOUND, "-c:a", encoder, "-b:a", "192k"];
        if extension == "mp3" {
            arguments.extend(["-id3v2_version", "0", "-write_xing", "0"]);
        }
        let data = clip::encode(&arguments, extension);
        let frame = Duration::from_nanos(samples * 1_000_000_000 / 48_000);
        let frames = clip::split_audio(&data, extension);
        let found = listen(frames, codec, frame);
        check(&found, &[(FaultKind::Silence, 15.0, 30.0)], 0.15);
        assert!((390..=500).contains(&found.decoded), "{extension}: {} runs", found.decoded);
    }
}

#[test]
fn damage_is_reported_where_the_decoder_sees_it() {
    let mut data =
        video("testsrc2=size=640x360:rate=25,noise=alls=12:allf=t,trim=0:12", X264, "h264");
    let intact = watch(&data, "h264", PictureRules::All);
    assert_eq!(intact.damaged, 0);
    for at in (40_000..data.len()).step_by(9_973) {
        data[at] ^= 0x55;
    }
    let hurt = watch(&data, "h264", PictureRules::All);
    assert!(hurt.damaged > 0);
}
