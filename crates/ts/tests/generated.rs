//! Streams that ffmpeg makes, with ffprobe's reading as the oracle: nothing may be wrong with them, and the access units are those
//! that ffprobe counts.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where its tools fail")]

use std::{path::Path, process::Command};

use tallylight_ts::{AccessUnit, AnalyserConfig, Codec, ElementaryReport, MediaKind, Payload};

mod reading;

use reading::Reading;

const VIDEO: &str = "testsrc2=size=320x180:rate=25:duration=4";
const SOUND: &str = "sine=frequency=440:sample_rate=48000:duration=4";

fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed (apt install ffmpeg): {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    output.stdout
}

/// Makes a clip with these encoder and muxer options, and returns its path.
fn clip(folder: &Path, options: &str) -> String {
    let path = folder.join("clip.ts").display().to_string();
    let mut arguments = vec!["-nostdin", "-loglevel", "error", "-y"];
    arguments.extend(["-f", "lavfi", "-i", VIDEO, "-f", "lavfi", "-i", SOUND]);
    arguments.extend(options.split_whitespace());
    arguments.extend(["-f", "mpegts", &path]);
    run("ffmpeg", &arguments);
    path
}

/// One packet by ffprobe's reading: presentation stamp, whether it is key.
type Packet = (Option<u64>, bool);

fn oracle(path: &str, stream: &str) -> Vec<Packet> {
    let entries = "packet=pts,flags";
    let text = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            stream,
            "-show_entries",
            entries,
            "-of",
            "csv=p=0",
            path,
        ],
    );
    String::from_utf8_lossy(&text)
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut fields = line.split(',');
            let pts = fields.next().and_then(|pts| pts.parse().ok());
            (pts, fields.next().is_some_and(|flags| flags.contains('K')))
        })
        .collect()
}

fn packets<'a>(units: impl Iterator<Item = &'a AccessUnit>) -> Vec<Packet> {
    units.map(|unit| (unit.pts.map(|pts| pts.ticks()), unit.key)).collect()
}

/// Makes a clip and compares its reading with ffprobe's. Audio stamps may differ by a tick, for ffprobe rounds otherwise.
fn check(options: &str, video: Option<Codec>, audio: Option<Codec>) -> Reading {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(folder.path(), options);
    let config = AnalyserConfig { payload: Payload::All, ..AnalyserConfig::default() };
    let reading = Reading::of(&std::fs::read(&path).unwrap(), config);
    assert_eq!(reading.faults(), [], "{options}");
    assert_eq!(reading.services.len(), 1, "{options}");
    for (kind, codec, stream) in
        [(MediaKind::Video, video, "v:0"), (MediaKind::Audio, audio, "a:0")]
    {
        let Some(codec) = codec else { continue };
        let components = &reading.services[0].components;
        let component =
            components.iter().find(|component| component.coding.kind() == kind).unwrap();
        assert_eq!(component.coding.codec(), Some(codec), "{options}");
        let found = packets(reading.units.iter().filter(|unit| unit.pid == component.pid));
        let expected = oracle(&path, stream);
        assert!(!expected.is_empty(), "{options}: ffprobe found nothing");
        let keys = |packets: &[Packet]| packets.iter().filter(|packet| packet.1).count();
        assert_eq!(
            (found.len(), keys(&found)),
            (expected.len(), keys(&expected)),
            "{options}: {codec}"
        );
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let same = match (found.0, expected.0) {
                (Some(a), Some(b)) => a.abs_diff(b) <= 1,
                (a, b) => a == b,
            };
            assert!(
                same && found.1 == expected.1,
                "{options}: {codec} {i}: {found:?}, {expected:?}"
            );
        }
    }
    assert!(reading.units.iter().all(|unit| !unit.damaged && !unit.data.is_empty()), "{options}");
    reading
}

/// Hashes of the decoded pictures or sound, in order.
fn decoded(arguments: &[&str]) -> Vec<String> {
    let text = run(
        "ffmpeg",
        &[&["-nostdin", "-v", "error"], arguments, &["-f", "framehash", "-"]].concat(),
    );
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit(',').next()).map(|hash| hash.trim().to_owned()).collect()
}

#[test]
fn what_is_handed_out_decodes_to_the_same_pictures() {
    for (options, format) in [
        (
            "-c:v libx264 -preset veryfast -g 25 -b:v 800k -x264-params nal-hrd=cbr -maxrate 800k -bufsize 400k -an",
            "h264",
        ),
        ("-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=25 -an", "hevc"),
        (
            "-c:v mpeg2video -g 12 -bf 2 -b:v 1M -minrate 1M -maxrate 1M -bufsize 500k -an",
            "mpegvideo",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = clip(folder.path(), options);
        let config = AnalyserConfig { payload: Payload::All, ..AnalyserConfig::default() };
        let units = Reading::of(&std::fs::read(&path).unwrap(), config).units;
        let cut = folder.path().join("cut").display().to_string();
        std::fs::write(&cut, units.iter().flat_map(|unit| unit.data.clone()).collect::<Vec<_>>())
            .unwrap();
        let expected = decoded(&["-i", &path, "-fps_mode", "passthrough"]);
        assert_eq!(expected.len(), 100, "{options}");
        let found = decoded(&["-f", format, "-i", &cut, "-fps_mode", "passthrough"]);
        assert!(found == expected, "{options}: {} pictures", found.len());
    }
}

const X264: &str = "-c:v libx264 -preset ultrafast";

#[test]
fn h264_is_cut_as_ffprobe_cuts_it() {
    let h264 = Some(Codec::H264);
    for options in [
        "-c:v libx264 -preset veryfast -g 25 -an",
        "-c:v libx264 -preset veryfast -x264-params open-gop=1:keyint=30:bframes=3 -an",
        "-c:v libx264 -preset ultrafast -x264-params slices=4:aud=1:keyint=25 -an",
        "-c:v libx264 -preset veryfast -x264-params nal-hrd=cbr:keyint=25 -b:v 1M -maxrate 1M -bufsize 500k -muxrate 2M -an",
        "-c:v libx264 -preset ultrafast -flags +ildct+ilme -x264-params tff=1:keyint=25 -an",
    ] {
        check(options, h264, None);
    }
}

#[test]
fn hevc_is_cut_as_ffprobe_cuts_it() {
    let hevc = Some(Codec::Hevc);
    for options in [
        "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=25 -an",
        "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=30:open-gop=1:bframes=3:aud=1 -an",
    ] {
        check(options, hevc, None);
    }
}

#[test]
fn mpeg_video_is_cut_as_ffprobe_cuts_it() {
    check("-c:v mpeg2video -g 12 -bf 2 -b:v 2M -an", Some(Codec::Mpeg2Video), None);
    check(
        "-c:v mpeg2video -g 12 -bf 2 -b:v 2M -minrate 2M -maxrate 2M -bufsize 1M -muxrate 3M -an",
        Some(Codec::Mpeg2Video),
        None,
    );
    // ffmpeg announces both as stream type 2.
    check("-c:v mpeg1video -g 12 -bf 2 -b:v 2M -an", Some(Codec::Mpeg2Video), None);
}

#[test]
fn audio_is_cut_as_ffprobe_cuts_it() {
    for (options, codec) in [
        ("-c:a aac -b:a 128k", Codec::AacAdts),
        ("-c:a aac -ac 1 -ar 44100 -b:a 64k", Codec::AacAdts),
        ("-c:a aac -b:a 128k -mpegts_flags +latm", Codec::AacLatm),
        ("-c:a mp2 -b:a 192k", Codec::MpegAudio),
        ("-c:a libmp3lame -b:a 128k", Codec::MpegAudio),
        ("-c:a ac3 -ac 6 -b:a 384k", Codec::Ac3),
        ("-c:a ac3 -ar 44100 -b:a 192k", Codec::Ac3),
        ("-c:a eac3 -b:a 192k", Codec::Eac3),
    ] {
        check(&format!("{X264} {options}"), Some(Codec::H264), Some(codec));
        check(&format!("-vn {options}"), None, Some(codec));
    }
    check("-vn -c:a aac -ac 1 -ar 16000 -b:a 12k", None, Some(Codec::AacAdts));
    check("-vn -c:a mp2 -ac 1 -ar 24000 -b:a 8k", None, Some(Codec::MpegAudio));
}

#[test]
fn headers_tell_size_rate_and_channels() {
    let of = |options: &str, video, audio| {
        let folder = tempfile::tempdir().unwrap();
        let path = clip(folder.path(), options);
        let reading = Reading::of(&std::fs::read(path).unwrap(), AnalyserConfig::default());
        let find = |codec| {
            let wanted = |e: &&tallylight_ts::ElementaryReport| e.coding.codec() == Some(codec);
            reading.elementary.iter().find(wanted).unwrap().parameters
        };
        let (video, audio) = (find(video), find(audio));
        assert_eq!((video.width, video.height), (Some(320), Some(180)), "{options}");
        (video.frame_rate_milli, audio.channels, audio.sample_rate_hz)
    };
    assert_eq!(
        of(&format!("{X264} -c:a aac -ac 2"), Codec::H264, Codec::AacAdts),
        (Some(25_000), Some(2), Some(48_000))
    );
    assert_eq!(
        of(
            "-c:v libx265 -preset ultrafast -x265-params log-level=error -c:a ac3 -ac 6",
            Codec::Hevc,
            Codec::Ac3
        ),
        (Some(25_000), Some(6), Some(48_000))
    );
    assert_eq!(
        of("-c:v mpeg2video -c:a mp2 -ac 1 -ar 44100", Codec::Mpeg2Video, Codec::MpegAudio),
        (Some(25_000), Some(1), Some(44_100))
    );
}

#[test]
fn pictures_are_of_the_types_that_ffprobe_sees() {
    for (options, codec) in [
        ("-c:v libx264 -preset veryfast -x264-params keyint=25:bframes=3 -an", Codec::H264),
        (
            "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=25:bframes=3 -an",
            Codec::Hevc,
        ),
        ("-c:v mpeg2video -g 12 -bf 2 -b:v 2M -an", Codec::Mpeg2Video),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = clip(folder.path(), options);
        let reading = Reading::of(&std::fs::read(&path).unwrap(), AnalyserConfig::default());
        let wanted = |e: &&ElementaryReport| e.coding.codec() == Some(codec);
        let pictures = reading.elementary.iter().find(wanted).unwrap().pictures;
        let entries =
            ["-select_streams", "v:0", "-show_entries", "frame=pict_type", "-of", "csv=p=0"];
        let text = run("ffprobe", &[&["-v", "error"][..], &entries, &[&path]].concat());
        let text = String::from_utf8_lossy(&text);
        let count = |kind: char| text.lines().filter(|line| line.starts_with(kind)).count() as u64;
        let found = [pictures.i.count, pictures.p.count, pictures.b.count];
        assert_eq!(found, ['I', 'P', 'B'].map(count), "{options}");
        assert_eq!((found.iter().sum::<u64>(), pictures.unknown.count), (100, 0), "{options}");
    }
}
