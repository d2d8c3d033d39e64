//! What is measured of sound that real encoders made: levels, places, loudness and peaks as they were put in.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a helper of a test fails the test")]

#[path = "../encoded/mod.rs"]
mod clip;

use tallylight_agent::decode::{Analyser, Dating, Effort, Reply, Request, SoundStats, Unit};
use tallylight_model::MonoTime;
use tallylight_ts::{AnalyserConfig, Event, Payload};

/// Encodes what a graph gives and measures it.
fn measure(graph: &str, encoder: &str) -> Vec<SoundStats> {
    let mut arguments = vec!["-f", "lavfi", "-i", graph];
    arguments.extend(encoder.split_whitespace());
    let data = clip::encode(&arguments);
    let mut stream = tallylight_ts::Analyser::new(AnalyserConfig::default());
    stream.set_payload(Payload::All);
    let (mut analyser, mut all) = (Analyser::new(), Vec::new());
    for chunk in data.chunks(1316) {
        stream.push(MonoTime::ZERO, chunk);
        while let Some(event) = stream.poll() {
            let Event::Unit(unit) = event else { continue };
            let (effort, dating, thumbnail) = (Effort::Alone, Dating::Sizes, false);
            let media_time = unit.media_time.unwrap();
            let (pid, codec, key, data) = (unit.pid, unit.codec, unit.key, unit.data);
            let unit = Unit { pid, codec, key, media_time, effort, dating, thumbnail, data };
            for reply in analyser.handle(Request::Unit(unit)) {
                if let Reply::Sound(stats) = reply {
                    all.push(stats);
                }
            }
        }
    }
    all
}

/// The runs without those at both ends, where encoders fade in and out.
fn inner(all: &[SoundStats]) -> &[SoundStats] {
    &all[4..all.len() - 4]
}

#[track_caller]
fn near(found: f32, expected: f32, slack: f32) {
    assert!((found - expected).abs() <= slack, "{found} instead of {expected}");
}

/// The codecs that broadcasters use, at rates that change little.
const STEREO: [&str; 6] = [
    "-c:a aac -b:a 256k",
    "-c:a aac -b:a 256k -mpegts_flags latm",
    "-c:a mp2 -b:a 256k",
    "-c:a libmp3lame -b:a 256k",
    "-c:a ac3 -b:a 256k",
    "-c:a eac3 -b:a 256k",
];

#[test]
fn a_tone_at_minus_23_has_that_loudness_on_every_codec_and_rate() {
    for encoder in STEREO {
        for rate in [32_000, 44_100, 48_000] {
            let graph = format!(
                "aevalsrc='0.070795*sin(1000*2*PI*t)|0.070795*sin(1000*2*PI*t)':s={rate}:d=2"
            );
            let all = measure(&graph, encoder);
            assert!(all.len() >= 14, "{encoder} {rate}: {} runs", all.len());
            let tenths: Vec<f32> = all.iter().flat_map(|it| it.tenths.iter().copied()).collect();
            assert!((18..=22).contains(&tenths.len()), "{} tenths", tenths.len());
            tenths[5..15].iter().for_each(|it| near(*it, -23.0, 0.1));
            for stats in inner(&all) {
                near(stats.true_peak, -23.0, 0.3);
                near(stats.loudest(), -26.0, 0.1);
                let pair = stats.pair.unwrap();
                near(pair.correlation, 1.0, 1e-3);
                assert!(pair.width < -60.0, "{encoder} {rate}: width {}", pair.width);
                for channel in &stats.channels {
                    assert!(channel.tone > 0.95, "{encoder} {rate}: {}", channel.tone);
                    assert_eq!(channel.clips, 0);
                }
            }
        }
    }
}

#[test]
fn each_channel_of_surround_sound_is_found_at_its_place() {
    let channel = |level: i32, hertz: u32| format!("{}*sin({hertz}*2*PI*t)", db(level));
    let signals = [(-20, 440), (-23, 550), (-26, 660), (-29, 60), (-32, 770), (-35, 880)]
        .map(|(l, h)| channel(l, h));
    let graph = format!("aevalsrc='{}':c=5.1:s=48000:d=2", signals.join("|"));
    for encoder in ["-c:a aac -b:a 512k", "-c:a ac3 -b:a 640k", "-c:a eac3 -b:a 640k"] {
        for stats in inner(&measure(&graph, encoder)) {
            let places: Vec<_> = stats.channels.iter().map(|it| it.place.name()).collect();
            assert_eq!(places, ["L", "R", "C", "LFE", "Ls", "Rs"], "{encoder}");
            for (channel, level) in stats.channels.iter().zip([-23, -26, -29, -32, -35, -38]) {
                near(channel.rms, level as f32, 0.5);
                assert!(channel.tone < 0.05, "{encoder}: {}", channel.tone);
            }
        }
    }
    let mono = measure("sine=frequency=440:sample_rate=48000:duration=2", "-c:a mp2 -b:a 128k");
    assert!(mono.iter().all(|it| it.channels.len() == 1 && it.pair.is_none()));
}

/// An amplitude.
fn db(level: i32) -> f64 {
    10f64.powf(f64::from(level) / 20.0)
}

#[test]
fn left_and_right_are_compared() {
    let noise = "anoisesrc=r=48000:a=0.1:d=2:seed=1[a];anoisesrc=r=48000:a=0.1:d=2:seed=2[b];[a][b]join=inputs=2";
    let flipped = "anoisesrc=r=48000:a=0.1:d=2:seed=1,pan=stereo|c0=c0|c1=-1*c0";
    let louder = "anoisesrc=r=48000:a=0.1:d=2:seed=1,pan=stereo|c0=c0|c1=0.5*c0";
    for encoder in STEREO {
        for (graph, correlation, width) in
            [(noise, 0.0, 0.0), (flipped, -1.0, 40.0), (louder, 1.0, -9.5)]
        {
            let all = measure(graph, encoder);
            for stats in inner(&all) {
                let pair = stats.pair.unwrap();
                near(pair.correlation, correlation, 0.25);
                let as_expected =
                    if width > 20.0 { pair.width > 20.0 } else { (pair.width - width).abs() < 3.0 };
                assert!(as_expected, "{encoder}: width {} for {width}", pair.width);
            }
        }
    }
}

#[test]
fn peaks_that_are_cut_off_are_counted_and_loud_ones_are_not() {
    let signal = |top: &str| {
        let one = format!("clip({top}*(0.65*sin(220*2*PI*t)+0.35*sin(333*2*PI*t)),-1,1)");
        format!("aevalsrc='{one}|{one}':s=48000:d=2")
    };
    let clips = |graph: &str, encoder: &str| -> u32 {
        let all = measure(graph, encoder);
        inner(&all).iter().flat_map(|it| &it.channels).map(|it| it.clips).sum()
    };
    for encoder in STEREO {
        assert_eq!(clips(&signal("0.9"), encoder), 0, "{encoder}");
        let cut = clips(&signal("2.3"), encoder);
        assert!(cut > 100, "{encoder}: {cut}");
    }
}

#[test]
fn a_peak_between_samples_is_found() {
    // At a quarter of the rate and 45 degrees every sample is 3 dB under the top of the wave.
    let graph = "aevalsrc='0.5*sin(12000*2*PI*t+PI/4)|0.5*sin(12000*2*PI*t+PI/4)':s=48000:d=2";
    for stats in inner(&measure(graph, "-c:a ac3 -b:a 448k")) {
        near(stats.true_peak, -6.0, 0.4);
        near(stats.channels[0].peak, -9.0, 0.3);
    }
}
