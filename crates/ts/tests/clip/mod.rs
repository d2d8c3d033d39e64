//! Clips that ffmpeg makes, and what is done to them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where its tools fail")]

use std::{process::Command, sync::OnceLock};

use tallylight_model::MonoTime;
use tallylight_mux::PACKET;
use tallylight_ts::{Analyser, AnalyserConfig, Indicator};

use crate::reading::Reading;

pub(crate) const PAT: u16 = 0;
pub(crate) const PMT: u16 = 0x1000;
pub(crate) const VIDEO: u16 = 0x100;
pub(crate) const AUDIO: u16 = 0x101;

/// Twelve seconds of H.264 and AAC, muxed by ffmpeg with these options.
pub(crate) fn make(mux: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.ts");
    let video = "testsrc2=size=320x180:rate=25:duration=12";
    let sound = "sine=frequency=440:sample_rate=48000:duration=12";
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-y"])
        .args(["-f", "lavfi", "-i", video, "-f", "lavfi", "-i", sound])
        .args(
            "-c:v libx264 -preset ultrafast -g 25 -b:v 600k -maxrate 600k -bufsize 300k".split(' '),
        )
        .args("-c:a aac -b:a 96k".split(' '))
        .args(mux.split_whitespace())
        .args(["-f", "mpegts"])
        .arg(&path)
        .status()
        .unwrap_or_else(|error| panic!("ffmpeg is needed (apt install ffmpeg): {error}"));
    assert!(status.success(), "ffmpeg failed");
    std::fs::read(path).unwrap()
}

/// With null packets, at a constant rate.
pub(crate) fn constant() -> &'static [u8] {
    static CLIP: OnceLock<Vec<u8>> = OnceLock::new();
    CLIP.get_or_init(|| make("-muxrate 1200k"))
}

/// As ffmpeg does by itself.
pub(crate) fn variable() -> &'static [u8] {
    static CLIP: OnceLock<Vec<u8>> = OnceLock::new();
    CLIP.get_or_init(|| make(""))
}

pub(crate) fn pid(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1], packet[2]]) & 0x1FFF
}

/// The stream's packets with their media time in seconds, as the analyser has it for the intact stream.
pub(crate) fn timed(clip: &[u8]) -> Vec<(f64, [u8; PACKET])> {
    let mut analyser = Analyser::new(AnalyserConfig::default());
    clip.chunks(PACKET)
        .map(|packet| {
            analyser.push(MonoTime::ZERO, packet);
            let media = analyser.position().media.unwrap_or_default();
            (media.as_secs_f64(), packet.try_into().unwrap())
        })
        .collect()
}

/// Passes every packet through `change`; what becomes `None` is left out.
pub(crate) fn altered(
    clip: &[u8],
    mut change: impl FnMut(f64, &mut [u8; PACKET]) -> bool,
) -> Vec<u8> {
    timed(clip)
        .into_iter()
        .filter_map(|(at, mut packet)| change(at, &mut packet).then_some(packet))
        .flatten()
        .collect()
}

/// What a check of TR 101 290 came to: how often, for how many milliseconds, and on which PIDs.
pub(crate) fn tally(reading: &Reading, indicator: Indicator) -> (u64, u128, Vec<u16>) {
    let check = reading.checks.iter().find(|check| check.indicator == indicator).unwrap();
    let pids = check.subjects.iter().filter_map(|subject| Some(subject.pid?.get())).collect();
    (check.tally.count, check.tally.held.as_millis(), pids)
}

/// The numbers of the checks that were raised.
pub(crate) fn raised(reading: &Reading) -> Vec<&'static str> {
    let raised = reading.checks.iter().filter(|check| check.tally.count > 0);
    raised.map(|check| check.indicator.number()).collect()
}
