//! Transport streams made by ffmpeg once and kept in the target directory, and what is done to them.

#[path = "../encoded/mod.rs"]
mod encoded;

use tallylight_mux::{break_of, cue, packet, pmt, stamp};

pub(crate) use encoded::encode;

pub(crate) const PACKET: usize = 188;
pub(crate) const VIDEO: u16 = 0x100;
pub(crate) const AUDIO: u16 = 0x101;

/// The rate of all clips: media time is a matter of position.
const MUX_RATE: usize = 2_000_000;

/// A moving, noisy picture and a tone, with this done to picture and sound, at a constant rate.
pub(crate) fn clip(seconds: u32, picture: &str, sound: &str) -> Vec<u8> {
    let picture = if picture.is_empty() { "null" } else { picture };
    let sound = if sound.is_empty() { "anull" } else { sound };
    let graph = format!(
        "testsrc2=size=320x180:rate=25,noise=alls=8:allf=t:all_seed=1,{picture}[v];\
         sine=frequency=440:sample_rate=48000,{sound}[a]"
    );
    let length = seconds.to_string();
    let rate = MUX_RATE.to_string();
    encode(&[
        "-filter_complex",
        &graph,
        "-map",
        "[v]",
        "-map",
        "[a]",
        "-t",
        &length,
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-g",
        "25",
        "-b:v",
        "1M",
        "-maxrate",
        "1M",
        "-bufsize",
        "1M",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "aac",
        "-b:a",
        "96k",
        "-muxrate",
        &rate,
    ])
}

/// Sound alone.
pub(crate) fn radio(seconds: u32) -> Vec<u8> {
    let length = seconds.to_string();
    let source = "sine=frequency=440:sample_rate=48000";
    encode(&["-f", "lavfi", "-i", source, "-t", &length, "-c:a", "mp2", "-muxrate", "1000000"])
}

/// A picture alone, at the rate of the clips with sound.
pub(crate) fn film(seconds: u32) -> Vec<u8> {
    let length = seconds.to_string();
    let rate = MUX_RATE.to_string();
    let source = "testsrc2=size=320x180:rate=25,noise=alls=8:allf=t:all_seed=1";
    let picture = ["-f", "lavfi", "-i", source, "-t", &length, "-c:v", "libx264", "-g", "25"];
    let coding = ["-preset", "ultrafast", "-b:v", "1M", "-maxrate", "1M", "-bufsize", "1M"];
    encode(&[&picture[..], &coding, &["-pix_fmt", "yuv420p", "-muxrate", &rate]].concat())
}

pub(crate) fn pid(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1f, packet[2]])
}

/// Where in a clip a second begins, on a packet.
pub(crate) fn at(seconds: f64) -> usize {
    (seconds * MUX_RATE as f64 / 8.0 / PACKET as f64) as usize * PACKET
}

/// Keeps the packets for which `keep` says so, by index and PID.
pub(crate) fn filter(data: &[u8], keep: impl Fn(usize, u16) -> bool) -> Vec<u8> {
    let packets = data.chunks_exact(PACKET).enumerate();
    packets.filter(|(at, packet)| keep(*at, pid(packet))).flat_map(|(_, p)| p.to_vec()).collect()
}

/// Replaces packets of one PID by null packets, from one place to another: the multiplex keeps its rate.
pub(crate) fn mute(data: &mut [u8], of: u16, from: usize, to: usize) {
    for packet in data[from..to].chunks_exact_mut(PACKET).filter(|packet| pid(packet) == of) {
        packet[1] = 0x1f;
        packet[2] = 0xff;
    }
}

/// Where ffmpeg puts the PMT.
const PMT: u16 = 0x1000;
const CUES: u16 = 0x1F0;
/// The stamp of its first picture in seconds.
const FIRST: f64 = 1.4;

/// Announces a break from one second of a clip to another, in place of a null packet a second before, and lists where cues come.
pub(crate) fn announce(data: &mut [u8], from: f64, to: f64) {
    let components = [(0x1B, VIDEO, &[][..]), (0x0F, AUDIO, &[]), (0x86, CUES, b"\x05\x04CUEI")];
    let table = pmt(1, 1, VIDEO, &components);
    for packet in data.chunks_exact_mut(PACKET).filter(|packet| pid(packet) == PMT) {
        carry(packet, PMT, packet[3] & 15, &table);
    }
    let ticks = |seconds: f64| (seconds * 90_000.0) as u32;
    let cue = cue(0, 5, &break_of(1, ticks(FIRST + from), ticks(to - from)), &[]);
    let mut packets = data[at(from - 1.0)..].chunks_exact_mut(PACKET);
    let null = packets.find(|packet| pid(packet) == 0x1FFF).expect("a clip has null packets");
    carry(null, CUES, 0, &cue);
}

/// Makes a packet one that carries a section.
fn carry(into: &mut [u8], pid: u16, counter: u8, section: &[u8]) {
    let mut payload = [0xFF; PACKET - 4];
    payload[0] = 0;
    payload[1..=section.len()].copy_from_slice(section);
    into.copy_from_slice(&packet(pid, true, counter, None, &payload));
}

/// Moves the presentation stamps of a PID by so many milliseconds from one place of a clip on.
pub(crate) fn restamp(data: &mut [u8], of: u16, from: usize, by: u64) {
    let begins = |packet: &&mut [u8]| pid(packet) == of && packet[1] & 0x40 != 0;
    for packet in data[from..].chunks_exact_mut(PACKET).filter(begins) {
        let field = if packet[3] & 0x20 == 0 { 0 } else { 1 + usize::from(packet[4]) };
        let place = &mut packet[4 + field + 9..][..5];
        let bits = |byte: u8, shift: u32| u64::from(byte >> 1) << shift;
        let high = u64::from(place[0] >> 1 & 7) << 30;
        let low = u64::from(place[1]) << 22
            | bits(place[2], 15)
            | u64::from(place[3]) << 7
            | bits(place[4], 0);
        place.copy_from_slice(&stamp(high + low + by * 90));
    }
}
