//! What ordinary muxers make is good: nothing is told of it under the default profile, as a file, as segments or while it arrives, and
//! nothing is counted but that it has no service information.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where its tools fail")]

use std::{fs, path::Path, process::Command, time::Duration};

use tallylight_model::MonoTime;
use tallylight_ts::{Analyser, AnalyserConfig, CheckClock, CheckProfile, Event, Indicator};

#[expect(dead_code, reason = "the other tests that share it use more of it")]
mod clip;
mod reading;

use clip::{raised, tally};
use reading::Reading;

const H264: &str = "-c:v libx264 -preset ultrafast -g 25 -bf 2 -b:v 1M -maxrate 1M -bufsize 500k";
const HEVC: &str = "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=25";
const MPEG2: &str =
    "-c:v mpeg2video -g 12 -bf 2 -b:v 1500k -minrate 1500k -maxrate 1500k -bufsize 1M";

/// Six seconds, muxed in the folder by ffmpeg.
fn make(folder: &Path, options: &str) {
    let inputs = "-f lavfi -i testsrc2=size=480x270:rate=25:duration=6 \
                  -f lavfi -i sine=frequency=440:sample_rate=48000:duration=6";
    let status = Command::new("ffmpeg")
        .current_dir(folder)
        .args("-nostdin -loglevel error -y".split(' '))
        .args(inputs.split_whitespace())
        .args(options.split_whitespace())
        .status()
        .unwrap_or_else(|error| panic!("ffmpeg is needed (apt install ffmpeg): {error}"));
    assert!(status.success(), "ffmpeg {options} failed");
}

/// What ffmpeg codes with these options, muxed by GStreamer with others. The parsers stand between.
fn remuxed(options: &str, parsers: [&str; 2], mux: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &format!("{options} clip.mp4"));
    let [video, audio] = parsers;
    let pipeline = format!(
        "filesrc location=clip.mp4 ! qtdemux name=in \
         in.video_0 ! queue ! {video} ! out. in.audio_0 ! queue ! {audio} ! out. \
         mpegtsmux name=out {mux} ! filesink location=clip.ts"
    );
    let status = Command::new("gst-launch-1.0")
        .current_dir(folder.path())
        .arg("-q")
        .args(pipeline.split_whitespace())
        .status()
        .unwrap_or_else(|error| panic!("GStreamer is needed (script/setup --test): {error}"));
    assert!(status.success(), "gst-launch-1.0 {pipeline} failed");
    fs::read(folder.path().join("clip.ts")).unwrap()
}

fn muxed(options: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &format!("{options} -f mpegts clip.ts"));
    fs::read(folder.path().join("clip.ts")).unwrap()
}

/// Checks that say something of the stream itself: it is known to have no service information.
fn counted(analyser: &Analyser) -> Vec<&'static str> {
    let found = analyser.checks().filter(|check| check.tally.count > 0);
    found.map(|check| check.indicator.number()).filter(|number| !is_si(number)).collect()
}

fn is_si(number: &str) -> bool {
    ["3.1", "3.2", "3.5", "3.6"].iter().any(|si| number.starts_with(si) && number != "3.10")
}

fn told(analyser: &mut Analyser) -> Vec<Event> {
    std::iter::from_fn(|| analyser.poll())
        .filter(|event| matches!(event, Event::Finding(_) | Event::Condition(_)))
        .collect()
}

/// As it would arrive: seven packets at a time, when their clock says.
fn arriving(bytes: &[u8]) -> (Vec<Event>, Vec<&'static str>) {
    let config = AnalyserConfig { clock: CheckClock::Arrival, ..AnalyserConfig::default() };
    let mut analyser = Analyser::new(config);
    let mut events = Vec::new();
    for datagram in clip::timed(bytes).chunks(7) {
        let at = MonoTime::ZERO + Duration::from_secs_f64(datagram[0].0);
        let packets: Vec<u8> = datagram.iter().flat_map(|(_, packet)| *packet).collect();
        analyser.push(at, &packets);
        events.extend(told(&mut analyser));
    }
    (events, counted(&analyser))
}

fn assert_good(bytes: &[u8], what: &str) {
    let reading = Reading::of(bytes, AnalyserConfig::default());
    assert!(reading.units.len() > 140, "{what}: {} access units", reading.units.len());
    assert_eq!(reading.faults(), [], "{what}");
    assert_eq!((reading.findings, reading.conditions), (vec![], vec![]), "{what}");
    let raised = reading.checks.iter().filter(|check| check.tally.count > 0);
    let mut numbers = raised.map(|check| check.indicator.number());
    assert_eq!(numbers.find(|number| !is_si(number)), None, "{what}");
    assert_eq!(arriving(bytes), (vec![], vec![]), "{what} arriving");
}

#[test]
fn what_ffmpeg_muxes_raises_nothing_as_a_file_and_while_it_arrives() {
    for options in [
        format!("{H264} -c:a aac -b:a 128k"),
        format!("{H264} -c:a aac -b:a 128k -muxrate 2M"),
        format!("{H264} -c:a aac -b:a 128k -muxrate 8M -pes_payload_size 0"),
        format!("{H264} -c:a aac -b:a 24k -ac 1 -mpegts_flags +latm"),
        format!("{H264} -c:a ac3 -b:a 448k -ac 6 -mpegts_flags +system_b"),
        format!("{H264} -c:a eac3 -b:a 192k -mpegts_flags +pat_pmt_at_frames"),
        format!("{HEVC} -c:a aac"),
        format!("{MPEG2} -c:a mp2 -b:a 192k"),
        format!("{MPEG2} -c:a mp2 -b:a 192k -muxrate 2500k"),
        "-c:v libx264 -preset ultrafast -tune zerolatency -c:a libopus".to_owned(),
    ] {
        assert_good(&muxed(&options), &options);
    }
}

#[test]
fn what_gstreamer_muxes_raises_nothing_as_a_file_and_while_it_arrives() {
    let (h264, hevc) = ("h264parse config-interval=-1", "h265parse config-interval=-1");
    for (options, parsers, mux) in [
        (format!("{H264} -c:a aac -b:a 128k"), [h264, "aacparse"], ""),
        (format!("{H264} -c:a aac -b:a 128k"), [h264, "aacparse"], "alignment=7"),
        (format!("{H264} -c:a ac3 -b:a 192k"), [h264, "ac3parse"], "pat-interval=9000"),
        (format!("{HEVC} -tag:v hvc1 -c:a aac"), [hevc, "aacparse"], ""),
        (format!("{MPEG2} -c:a mp2 -b:a 192k"), ["mpegvideoparse", "mpegaudioparse"], ""),
    ] {
        assert_good(&remuxed(&options, parsers, mux), &format!("GStreamer: {options} {mux}"));
    }
}

#[test]
fn segments_raise_nothing() {
    for profile in [CheckProfile::DEFAULT, CheckProfile::OTT] {
        let folder = tempfile::tempdir().unwrap();
        make(
            folder.path(),
            &format!("{H264} -c:a aac -f hls -hls_time 2 -hls_segment_filename %d.ts list.m3u8"),
        );
        let mut analyser = Analyser::new(AnalyserConfig { profile, ..AnalyserConfig::default() });
        let mut events = Vec::new();
        for segment in 0..3 {
            let bytes = fs::read(folder.path().join(format!("{segment}.ts"))).unwrap();
            analyser.push(MonoTime::ZERO, &bytes);
            events.extend(told(&mut analyser));
            analyser.boundary();
        }
        analyser.finish();
        events.extend(told(&mut analyser));
        assert_eq!((events, counted(&analyser)), (vec![], vec![]));
    }
}

#[test]
fn a_muxer_without_delay_sends_pictures_after_their_time() {
    // Each picture stands behind the clock that it is due at.
    let bytes = muxed(&format!("{H264} -c:a aac -muxdelay 0 -muxpreload 0"));
    let reading = Reading::of(&bytes, AnalyserConfig::default());
    let (count, held, pids) = tally(&reading, Indicator::Buffer);
    assert_eq!((count, pids), (2, vec![clip::VIDEO, clip::AUDIO]));
    assert!(held > 5000, "{held} ms");
    assert!(raised(&reading).contains(&"3.3"));
    assert_eq!((reading.findings, reading.conditions), (vec![], vec![]), "it is counted alone");
}
