//! Real encoders' output with planted faults and traps: each fault is found within one group of pictures, and nothing else is.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of a test fails the test"
)]

#[path = "../encoded/mod.rs"]
mod clip;

use std::{
    collections::{BTreeMap, VecDeque},
    process::Command,
    time::Duration,
};

use tallylight_agent::{
    decode::{Analyser, Effort, Reply, Request, Unit},
    picture::{
        Condition, KeyFramePolicy, Meaning, PictureDetector, PictureRules, PictureUnit, Rest,
        Slates,
    },
    sound::{SoundDetector, SoundRules},
};
use tallylight_av::{Image, Limits};
use tallylight_model::{FaultKind, MonoTime, Profile, ProfileName};
use tallylight_ts::{AccessUnit, AnalyserConfig, Event, Payload};

/// What a clip gave.
struct Found {
    /// Conditions by kind and onset, as last told.
    conditions: BTreeMap<(FaultKind, Duration), Condition>,
    pictures: usize,
    runs: usize,
    damaged: usize,
    /// When the last access unit is presented, in seconds.
    end: f64,
}

impl Found {
    /// Conditions that last long enough to be faults.
    fn faults(&self, profile: ProfileName) -> Vec<(FaultKind, f64, f64)> {
        let profile = Profile::new(profile);
        (self.conditions.values())
            .filter(|c| profile.hold(c.kind).declared().is_some_and(|h| c.until - c.since >= h))
            .map(|c| (c.kind, c.since.as_secs_f64(), c.until.as_secs_f64()))
            .collect()
    }
}

/// Watches a transport stream as a session does.
fn watch(data: &[u8], rules: PictureRules) -> Found {
    watch_with(data, rules, 0, |_| {})
}

/// The same, with access units changed by `hurt` before they are decoded and answers coming after `lag` further units.
fn watch_with(data: &[u8], rules: PictureRules, lag: usize, hurt: impl Fn(&mut Vec<u8>)) -> Found {
    watch_by(data, PictureDetector::new(rules), lag, hurt)
}

fn watch_by(
    data: &[u8],
    picture: PictureDetector,
    lag: usize,
    hurt: impl Fn(&mut Vec<u8>),
) -> Found {
    watch_of(data, picture, Rest::Sampled, lag, hurt)
}

fn watch_of(
    data: &[u8],
    picture: PictureDetector,
    rest: Rest,
    lag: usize,
    hurt: impl Fn(&mut Vec<u8>),
) -> Found {
    let conditions = BTreeMap::new();
    let mut found = Found { conditions, pictures: 0, runs: 0, damaged: 0, end: 0.0 };
    let mut stream = tallylight_ts::Analyser::new(AnalyserConfig::default());
    let mut chain = Chain {
        policy: KeyFramePolicy::new(rest),
        picture,
        sound: SoundDetector::new(SoundRules::default()),
        analyser: Analyser::new(),
        answers: VecDeque::new(),
    };
    stream.set_payload(Payload::All);
    for chunk in data.chunks(1316) {
        stream.push(MonoTime::ZERO, chunk);
        while let Some(event) = stream.poll() {
            if let Event::Unit(mut unit) = event {
                hurt(&mut unit.data);
                chain.unit(unit, &mut found);
                chain.answer(lag, &mut found);
            }
        }
    }
    chain.answer(0, &mut found);
    found
}

struct Chain {
    policy: KeyFramePolicy,
    picture: PictureDetector,
    sound: SoundDetector,
    analyser: Analyser,
    answers: VecDeque<Vec<Reply>>,
}

impl Chain {
    fn unit(&mut self, unit: AccessUnit, found: &mut Found) {
        let AccessUnit { pid, codec, key, size, picture, .. } = unit;
        let media_time = unit.media_time.unwrap();
        found.end = media_time.as_secs_f64();
        let effort = if codec.is_video() {
            let facts = PictureUnit { media_time, size, key, picture, codec };
            self.picture.unit(&facts);
            self.policy.judge(&facts, self.picture.suspicion())
        } else {
            Effort::Alone
        };
        let dating = self.picture.dating(media_time);
        let thumbnail = false;
        let request =
            Unit { pid, codec, key, media_time, effort, dating, thumbnail, data: unit.data };
        let wanted = effort != Effort::Skip && !request.data.is_empty();
        let replies = wanted.then(|| self.analyser.handle(Request::Unit(request)));
        self.answers.push_back(replies.unwrap_or_default());
        self.tell(found);
    }

    fn answer(&mut self, lag: usize, found: &mut Found) {
        while self.answers.len() > lag {
            for reply in self.answers.pop_front().unwrap_or_default() {
                match reply {
                    Reply::Picture(stats) => {
                        found.pictures += 1;
                        self.picture.stats(&stats);
                    }
                    Reply::Survey(survey) => self.picture.survey(&survey),
                    Reply::Sound(stats) => {
                        found.runs += 1;
                        self.sound.stats(&stats);
                    }
                    Reply::Damaged { .. } => found.damaged += 1,
                    Reply::Dated { .. } => {}
                    other @ (Reply::Unsupported { .. }
                    | Reply::Thumbnail { .. }
                    | Reply::Withheld { .. }) => {
                        panic!("{other:?}")
                    }
                }
            }
            self.tell(found);
        }
    }

    fn tell(&mut self, found: &mut Found) {
        while let Some(condition) = self.picture.poll().or_else(|| self.sound.poll()) {
            assert!(condition.since <= condition.until, "{condition:?}");
            found.conditions.insert((condition.kind, condition.since), condition);
        }
    }
}

/// A live picture: everything in it moves and there is noise on it.
const LIVE: &str = "testsrc2=size=640x360:rate=25,noise=alls=12:allf=t,format=yuv420p";

/// A picture that stands.
const STILL: &str =
    "testsrc2=size=640x360:rate=25,trim=end_frame=1,loop=-1:1:0,setpts=N/25/TB,format=yuv420p";

/// 50 s with black from 12 s to 20 s and freeze from 30 s to 42 s.
fn faulty(source: &str) -> String {
    format!(
        "{source},split[a][b];\
         [a]trim=0:30,drawbox=c=black:t=fill:enable='between(t,12,19.99)',tpad=stop_mode=clone:stop_duration=12[c];\
         [b]trim=42:50,setpts=PTS-STARTPTS[d];[c][d]concat"
    )
}

fn video(graph: &str, encoder: &str) -> Vec<u8> {
    let mut arguments = vec!["-f", "lavfi", "-i", graph];
    arguments.extend(encoder.split_whitespace());
    clip::encode(&arguments)
}

const X264: &str = "-c:v libx264 -preset veryfast -b:v 2M -maxrate 2500k -bufsize 2500k -g 50";

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
    let lasting = found.conditions.values().filter(|condition| condition.lasts).count();
    let to_the_end = expected.iter().filter(|(_, _, end)| *end >= found.end - slack).count();
    assert_eq!(lasting, to_the_end, "{:?}", found.conditions);
    assert_eq!(found.damaged, 0);
}

/// A picture, and what the first of those that stand is to those after it.
const EXACT: f64 = 0.06;

const PLANTED: [(FaultKind, f64, f64); 2] =
    [(FaultKind::Black, 12.0, 20.0), (FaultKind::Freeze, 30.0, 42.0)];

#[test]
fn h264_faults_are_found_to_the_picture() {
    let found = watch(&video(&faulty(LIVE), X264), PictureRules::All);
    check(&found, &PLANTED, EXACT);
    assert!(found.pictures <= 40, "{} pictures decoded in 50 s", found.pictures);
}

#[test]
fn constant_bit_rate_with_filler_hides_nothing() {
    let encoder = "-c:v libx264 -preset veryfast -b:v 2M -minrate 2M -maxrate 2M -bufsize 1M -g 25 -sc_threshold 0 -x264-params nal-hrd=cbr:filler=1";
    let data = video(&faulty(LIVE), encoder);
    assert!(data.len() > 11_000_000, "no filler in {} bytes", data.len());
    check(&watch(&data, PictureRules::All), &PLANTED, EXACT);
}

#[test]
fn mpeg2_interlaced_faults_are_found() {
    let encoder =
        "-c:v mpeg2video -b:v 3M -maxrate 3M -bufsize 1200k -g 12 -bf 2 -flags +ildct+ilme";
    let found = watch(&video(&faulty(LIVE), encoder), PictureRules::All);
    check(&found, &PLANTED, 0.15);
}

#[test]
fn a_cut_from_one_flat_picture_to_another_is_dated_to_the_picture() {
    let graph = format!(
        "color=0x804020:size=640x360:rate=25,trim=0:11.2,drawbox=100:100:300:200:white:fill[a];\
         color=0x205080:size=640x360:rate=25,trim=0:12,drawbox=200:80:300:200:white:fill[b];\
         {LIVE},trim=0:5[c];[a][b][c]concat=n=3,format=yuv420p"
    );
    for encoder in
        ["-c:v libx264 -preset veryfast -g 50 -sc_threshold 0", "-c:v mpeg2video -b:v 2M -g 12"]
    {
        let found = watch(&video(&graph, encoder), PictureRules::All);
        let expected = [(FaultKind::Freeze, 0.0, 11.2), (FaultKind::Freeze, 11.2, 23.2)];
        check(&found, &expected, EXACT);
    }
}

#[test]
fn ten_bit_hevc_faults_are_found() {
    let encoder = "-c:v libx265 -preset ultrafast -b:v 1500k -g 50 -pix_fmt yuv420p10le -x265-params log-level=none";
    let found = watch(&video(&faulty(LIVE), encoder), PictureRules::All);
    check(&found, &PLANTED, EXACT);
}

#[test]
fn a_group_of_ten_seconds_is_enough_for_long_faults() {
    let encoder = "-c:v libx264 -preset veryfast -b:v 2M -maxrate 2500k -bufsize 2500k -g 250 -sc_threshold 0";
    let found = watch(&video(&faulty(LIVE), encoder), PictureRules::All);
    check(&found, &PLANTED, 0.4);
}

#[test]
fn answers_that_come_late_are_dated_all_the_same() {
    for encoder in [X264, "-c:v mpeg2video -b:v 600k -maxrate 600k -bufsize 600k -g 12 -bf 2"] {
        let data = video(&faulty(LIVE), encoder);
        let found = watch_with(&data, PictureRules::All, 250, |_| {});
        check(&found, &PLANTED, 0.5);
    }
}

#[test]
fn a_fault_in_the_first_long_group_is_found() {
    let graph = format!("{LIVE},drawbox=c=black:t=fill:enable='between(t,3,8.99)',trim=0:16");
    let encoder = "-c:v libx264 -preset veryfast -b:v 2M -g 250 -sc_threshold 0";
    let found = watch(&video(&graph, encoder), PictureRules::All);
    check(&found, &[(FaultKind::Black, 3.0, 9.0)], 0.3);
}

#[test]
fn full_hd_and_intra_only_are_judged_alike() {
    let graph = "testsrc2=size=1920x1080:rate=25,noise=alls=12:allf=t,format=yuv420p,\
        drawbox=c=black:t=fill:enable='between(t,4,10.99)',trim=0:14";
    let encoder = "-c:v libx264 -preset ultrafast -b:v 6M -g 50";
    let found = watch(&video(graph, encoder), PictureRules::All);
    check(&found, &[(FaultKind::Black, 4.0, 11.0)], EXACT);
    let encoder = "-c:v libx264 -preset ultrafast -crf 30 -g 1";
    let found = watch(&video(&faulty(LIVE), encoder), PictureRules::All);
    check(&found, &PLANTED, EXACT);
}

#[test]
fn a_still_channel_may_stand_and_a_radio_channel_may_be_black() {
    let data = video(&faulty(LIVE), X264);
    check(&watch(&data, PictureRules::NoFreeze), &PLANTED[..1], 0.2);
    check(&watch(&data, PictureRules::None), &[], 0.0);
}

#[test]
fn a_picture_that_stands_from_the_start_is_frozen_even_if_key_pictures_are_rare() {
    let graph = format!("{STILL},trim=0:30");
    let found = watch(&video(&graph, "-c:v libx264 -preset veryfast"), PictureRules::All);
    check(&found, &[(FaultKind::Freeze, 0.0, 30.0)], 1.0);
}

#[test]
fn black_may_carry_a_logo() {
    let graph = format!(
        "{LIVE},drawbox=c=black:t=fill:enable='between(t,10,19.99)',drawbox=x=540:y=30:w=60:h=40:c=white:t=fill,trim=0:30"
    );
    let found = watch(&video(&graph, X264), PictureRules::All);
    check(&found, &[(FaultKind::Black, 10.0, 20.0)], 0.2);
}

/// 40 s with another picture of the same size from 12 s to 24 s.
fn replaced(by: &str) -> String {
    let by = by.strip_suffix(':').map_or(format!("{by}="), |by| format!("{by}:"));
    format!(
        "{LIVE},trim=0:12[a];{by}s=640x360:r=25:d=12,format=yuv420p[b];{LIVE},trim=24:40,setpts=PTS-STARTPTS[c];[a][b][c]concat=n=3"
    )
}

#[test]
fn a_test_pattern_or_one_colour_is_what_it_is_and_not_a_freeze() {
    for (source, kind) in [
        ("smptebars", FaultKind::Bars),
        ("smptehdbars", FaultKind::Bars),
        ("pal75bars", FaultKind::Bars),
        ("pal100bars", FaultKind::Bars),
        ("color=c=0x0000c0:", FaultKind::Blank),
        ("color=c=white:", FaultKind::Blank),
    ] {
        let found = watch(&video(&replaced(source), X264), PictureRules::All);
        check(&found, &[(kind, 12.0, 24.0)], EXACT);
    }
    let moving = "smptebars=s=640x360:r=25,trim=0:26[b];color=white:s=24x24:r=25[c];[b][c]overlay='300+40*sin(t)':200:shortest=1";
    assert_eq!(watch(&video(moving, X264), PictureRules::All).faults(ProfileName::Sensitive), []);
}

/// The one picture of a graph, as a file holds it.
fn image(graph: &str, form: &[&str]) -> Image {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", graph, "-frames:v", "1"])
        .args(form)
        .args(["-f", "image2pipe", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Image::read(&output.stdout, Limits::default()).unwrap()
}

#[test]
fn a_known_slate_is_told_by_what_it_means_however_it_is_scaled_and_coded() {
    let card = |colour: &str, row: u32| {
        format!(
            "color=c={colour}:s=1280x720:r=25,drawbox=160:200:960:12:white:fill,drawbox=300:{row}:680:60:white:fill,drawbox=1040:560:120:80:orange:fill"
        )
    };
    let (sorry, soon) = (card("0x7A1E1E", 320), card("0x1E4A7A", 400));
    let mut slates = Slates::default();
    let png = ["-c:v", "png", "-pix_fmt", "rgb24"];
    let jpeg = ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"];
    slates.learn("failure-1.png", Meaning::Failure, &image(&sorry, &png)).unwrap();
    slates.learn("ad_fill-1.jpg", Meaning::AdFill, &image(&soon, &jpeg)).unwrap();
    let coarse = "-c:v libx264 -preset veryfast -b:v 300k -g 50";
    let mpeg2 = "-c:v mpeg2video -b:v 1500k -g 12";
    for (graph, shape, encoder, kind) in [
        (&sorry, "scale=640:360", X264, FaultKind::Slate),
        (&sorry, "scale=640:342,pad=640:360:0:9", coarse, FaultKind::Slate),
        (&sorry, "scale=640:360", mpeg2, FaultKind::Slate),
        (&soon, "scale=640:360", coarse, FaultKind::Placeholder),
    ] {
        let graph = format!(
            "{LIVE},trim=0:8[a];{graph},{shape},trim=0:14,setsar=1,format=yuv420p[b];{LIVE},trim=22:30,setpts=PTS-STARTPTS[c];[a][b][c]concat=n=3"
        );
        let detector = PictureDetector::new(PictureRules::All).with_slates(slates.clone());
        let found = watch_by(&video(&graph, encoder), detector, 0, |_| {});
        let all: Vec<_> = found.conditions.values().map(|c| (c.kind, c.since, c.until)).collect();
        let [(seen, since, until)] = all[..] else { panic!("{shape} {encoder}: {all:?}") };
        assert_eq!(seen, kind);
        let (since, until) = (since.as_secs_f64(), until.as_secs_f64());
        // An encoder needs some pictures to build it up.
        let right = (7.9..8.5).contains(&since) && (until - 22.0).abs() < 0.1;
        assert!(right, "{encoder}: {since} to {until}");
    }
}

#[test]
fn the_same_seconds_over_and_over_are_a_loop_and_twice_are_none() {
    let looped = |pictures: u32, times: u32| {
        format!("{LIVE},trim=0:60,loop={}:{pictures}:200,setpts=N/25/TB,trim=0:56", times - 1)
    };
    let mandelbrot = "mandelbrot=size=640x360:rate=25,format=yuv420p,trim=0:56,loop=9:113:200,setpts=N/25/TB,trim=0:56";
    for (graph, encoder, expected) in [
        (looped(83, 10), X264, Some((8.0, 41.2, 3.32))),
        (
            looped(75, 12),
            "-c:v libx265 -preset ultrafast -b:v 1M -x265-params log-level=none:keyint=50",
            Some((8.0, 44.0, 3.0)),
        ),
        (mandelbrot.to_owned(), "-c:v mpeg2video -b:v 3M -g 12", Some((8.0, 53.2, 4.52))),
        (looped(150, 2), X264, None),
    ] {
        let detector = PictureDetector::new(PictureRules::All);
        let found = watch_of(&video(&graph, encoder), detector, Rest::Decoded, 0, |_| {});
        let all: Vec<_> = found.conditions.values().map(|c| (c.kind, c.since, c.until)).collect();
        match (&all[..], expected) {
            ([], None) => {}
            (&[(FaultKind::Loop, since, until)], Some((from, to, pass))) => {
                let (since, until) = (since.as_secs_f64(), until.as_secs_f64());
                assert!((from - 0.2..from + 2.0 * pass).contains(&since), "{encoder}: {since}");
                assert!((to - pass - 2.0..to + 0.2).contains(&until), "{encoder}: {until}");
            }
            _ => panic!("{encoder}: {all:?}"),
        }
    }
}

#[test]
fn a_ticker_over_a_frozen_picture_is_worth_knowing_and_no_more() {
    let ticker = |seconds: &str| {
        format!(
            "{STILL},trim={seconds}[b];testsrc2=size=640x360:rate=25,crop=640:30:0:160,scroll=h=0.01,trim=0:20[c];[b][c]overlay=0:325:shortest=1"
        )
    };
    let graph = format!("{LIVE},trim=0:8[a];{},format=yuv420p[f];[a][f]concat=n=2", ticker("0:20"));
    let found = watch(&video(&graph, X264), PictureRules::All);
    let told: Vec<_> = found.conditions.values().collect();
    let [one] = told[..] else { panic!("{told:?}") };
    assert_eq!(one.kind, FaultKind::PartialFreeze);
    assert!((8.0..10.1).contains(&one.since.as_secs_f64()), "{one:?}");
    let profile = Profile::new(ProfileName::Sensitive);
    assert_eq!(profile.hold(one.kind).declared(), None);
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
        (
            "dark scene that zooms slowly",
            "mandelbrot=size=640x360:rate=25,lutyuv=y='16+(val-16)*0.05'",
        ),
    ];
    for (name, graph) in traps {
        let graph = format!("{graph},trim=0:26,format=yuv420p");
        let found = watch(&video(&graph, X264), PictureRules::All);
        let faults = found.faults(ProfileName::Sensitive);
        assert!(faults.is_empty(), "{name}: {faults:?}");
    }
}

#[test]
fn poor_encodes_hide_nothing() {
    let encoders = [
        "-c:v libx264 -preset veryfast -crf 40 -g 50",
        "-c:v mpeg2video -b:v 600k -maxrate 600k -bufsize 600k -g 12 -bf 2",
        "-c:v libx265 -preset ultrafast -b:v 200k -g 50 -x265-params log-level=none",
    ];
    for encoder in encoders {
        check(&watch(&video(&faulty(LIVE), encoder), PictureRules::All), &PLANTED, 2.0);
    }
}

#[test]
fn intra_refresh_without_key_pictures_is_sampled() {
    let graph = format!("{LIVE},drawbox=c=black:t=fill:enable='gte(t,30)',trim=0:100");
    let encoder = "-c:v libx264 -preset ultrafast -tune zerolatency -b:v 1M -g 25 -x264-params intra-refresh=1";
    let found = watch(&video(&graph, encoder), PictureRules::All);
    check(&found, &[(FaultKind::Black, 30.0, 99.8)], 0.2);
    assert!(found.pictures <= 32, "{} pictures", found.pictures);
}

/// A tone at -21 dBFS, at -50 from 5 s to 12 s, silent on both channels from 15 s to 30 s, on one from 33 s to 41 s.
const SOUND: &str = "sine=frequency=440:sample_rate=48000:duration=50,\
    volume=-29dB:enable='between(t,5,12)',volume=0:enable='between(t,15,30)',\
    pan=stereo|c0=c0|c1=0.7*c0,asplit[a][b];\
    [a]volume=0:enable='between(t,33,41)',pan=mono|c0=c0[c];[b]pan=mono|c0=c1[d];[c][d]join=inputs=2";

#[test]
fn silence_is_found_to_the_audio_frame_and_a_quiet_passage_is_none() {
    let encoders = [
        "-c:a aac",
        "-c:a aac -mpegts_flags latm",
        "-c:a mp2",
        "-c:a libmp3lame",
        "-c:a ac3",
        "-c:a eac3",
    ];
    for encoder in encoders {
        let mut arguments = vec!["-f", "lavfi", "-i", SOUND, "-b:a", "192k"];
        arguments.extend(encoder.split_whitespace());
        let found = watch(&clip::encode(&arguments), PictureRules::All);
        check(&found, &[(FaultKind::Silence, 15.0, 30.0)], 0.05);
        assert!((390..=500).contains(&found.runs), "{encoder}: {} runs", found.runs);
    }
}

#[test]
fn what_is_wrong_with_channels_and_peaks_is_found() {
    let (one, two) = ("anoisesrc=r=48000:a=0.1:d=74:seed=1", "anoisesrc=r=48000:a=0.1:d=74:seed=2");
    let right =
        "if(between(t,6,18),0,if(between(t,24,36),val(0),if(between(t,42,54),-val(0),val(1))))";
    let tone = "0.1*sin(2000*PI*t)";
    let cut = "clip(2.3*(0.65*sin(440*PI*t)+0.35*sin(666*PI*t)),-1,1)";
    let graph = format!(
        "{one}[a];{two}[b];[a][b]join=inputs=2,aeval='\
         if(between(t,58,64),{tone},if(between(t,67,71),{cut},val(0)))|\
         if(between(t,58,64),{tone},if(between(t,67,71),{cut},{right}))':c=same"
    );
    for encoder in ["-c:a aac", "-c:a aac -mpegts_flags latm"] {
        let mut arguments = vec!["-f", "lavfi", "-i", &graph, "-b:a", "256k"];
        arguments.extend(encoder.split_whitespace());
        let found = watch(&clip::encode(&arguments), PictureRules::All);
        let faults = found.faults(ProfileName::Sensitive);
        let expected = [
            (FaultKind::DeadChannel, 6.0, 18.0, 0.04),
            (FaultKind::Mono, 24.0, 36.0, 0.15),
            (FaultKind::OutOfPhase, 42.0, 54.0, 0.15),
            (FaultKind::Clipping, 67.0, 71.0, 0.15),
            (FaultKind::Tone, 58.0, 64.0, 0.15),
        ];
        assert_eq!(faults.len(), expected.len(), "{encoder}: {faults:?}");
        for ((kind, since, until), (wanted, onset, end, slack)) in faults.iter().zip(expected) {
            let near = (since - onset).abs() <= slack && (until - end).abs() <= slack;
            assert!(*kind == wanted && near, "{encoder}: {faults:?}");
        }
    }
}

#[test]
fn damage_is_reported_where_the_decoder_sees_it() {
    let source = format!("{LIVE},trim=0:12");
    for encoder in [X264, "-c:v mpeg2video -b:v 3M -g 12 -bf 2"] {
        let data = video(&source, encoder);
        assert_eq!(watch(&data, PictureRules::All).damaged, 0, "{encoder}");
        let hurt = watch_with(&data, PictureRules::All, 0, |unit| {
            for byte in unit.iter_mut().skip(400).step_by(997) {
                *byte ^= 0x55;
            }
        });
        assert!(hurt.damaged > 0, "{encoder}");
    }
}
