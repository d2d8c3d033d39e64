//! What a receiver truly gets: whether picture and sound are the programme, coded unit by coded unit.
//!
//! The programme's pictures and sound frames are known by their bytes, so nothing is decoded and nothing is judged: a unit is
//! one of them or it is not. Black, frozen and silent clips are none of them, and neither is what lost a packet on the way. It
//! shares no code with the analyser nor with the agent, whose word on the same streams it is held against.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use tallylight_model::Pts;

use super::{
    clip::{self, CHANNELS},
    elementary::{PictureClip, SoundClip},
    headend,
    packet::PACKET,
};

/// A unit longer than this is none of the clips'.
const MAX_UNIT: usize = 1 << 20;
/// Sound is multiplexed 0.58 s after the picture that it belongs to. Where one is behind the other by so much more, its packets
/// are missing.
const MISSING_TICKS: i64 = 2 * Pts::HZ as i64;

/// The programme of one channel, by the bytes of its coded units.
#[derive(Debug)]
pub struct Known {
    video_pid: u16,
    sound_pid: u16,
    pictures: BTreeSet<u64>,
    sounds: BTreeSet<u64>,
}

impl Known {
    /// Reads the clips that the head-end plays.
    ///
    /// # Errors
    /// There is no such channel, or its clips were not made.
    pub fn load(folder: &Path, channel: &str) -> Result<Self> {
        let place = CHANNELS.iter().position(|known| known.id == channel);
        let place = place.with_context(|| format!("no clips are of channel {channel}"))?;
        let (picture, sound) = clip::load_programme(folder, &CHANNELS[place])?;
        Ok(Self::of(&headend::service(place), &picture, &sound))
    }

    fn of(service: &super::mux::Service, picture: &PictureClip, sound: &SoundClip) -> Self {
        Self {
            video_pid: service.video_pid(),
            sound_pid: service.sound_pid(),
            pictures: (0..picture.length()).map(|n| fingerprint(&picture.at(n).data)).collect(),
            sounds: (0..sound.length()).map(|n| fingerprint(sound.at(n))).collect(),
        }
    }
}

fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// What came of one stream so far.
#[derive(Debug, Default)]
pub struct Sight {
    rest: Vec<u8>,
    picture: Lane,
    sound: Lane,
}

/// One PID's units.
#[derive(Debug, Default)]
struct Lane {
    counter: Option<u8>,
    /// The PES packet under way; `None` until one begins whole.
    unit: Option<Vec<u8>>,
    /// A decoder can begin with it.
    entry: bool,
    last: Option<Pts>,
    good_since: Option<u64>,
}

impl Sight {
    /// Reads what came next, at that time in milliseconds since 1970.
    pub fn push(&mut self, known: &Known, bytes: &[u8], now_unix_ms: u64) {
        self.rest.extend_from_slice(bytes);
        let received = std::mem::take(&mut self.rest);
        let (packets, rest) = received.as_chunks::<PACKET>();
        self.rest = rest.to_vec();
        for packet in packets {
            let pid = u16::from_be_bytes([packet[1], packet[2]]) & 0x1FFF;
            if pid == known.video_pid {
                self.picture.packet(packet, &known.pictures, now_unix_ms);
            } else if pid == known.sound_pid {
                self.sound.packet(packet, &known.sounds, now_unix_ms);
            }
        }
        if let (Some(picture), Some(sound)) = (self.picture.last, self.sound.last) {
            if sound.ticks_since(picture) > MISSING_TICKS {
                self.picture.good_since = None;
            }
            if picture.ticks_since(sound) > MISSING_TICKS {
                self.sound.good_since = None;
            }
        }
    }

    /// Since when picture and sound have been the programme without a break, in milliseconds since 1970: a picture counts from
    /// the first on that a decoder can begin with. `None` while they are not.
    #[must_use]
    pub fn good_since(&self) -> Option<u64> {
        Some(self.picture.good_since?.max(self.sound.good_since?))
    }
}

impl Lane {
    fn packet(&mut self, packet: &[u8; PACKET], known: &BTreeSet<u64>, now_unix_ms: u64) {
        let field = if packet[3] & 0x20 == 0 { 0 } else { 1 + usize::from(packet[4]) };
        let Some(payload) = packet.get(4 + field..).filter(|_| packet[3] & 0x10 != 0) else {
            return;
        };
        let counter = packet[3] & 0x0F;
        let before = self.counter.replace(counter);
        let gap = before.is_some_and(|before| (before + 1) % 16 != counter);
        if packet[1] & 0x40 != 0 {
            self.finish(known, now_unix_ms);
            self.unit = Some(Vec::new());
            let random_access = field > 1 && packet[5] & 0x40 != 0;
            // Each sound frame can be decoded by itself.
            self.entry = random_access || payload.get(3).is_some_and(|id| id & 0xE0 == 0xC0);
        } else if gap {
            self.unit = None;
        }
        if gap {
            self.good_since = None;
        }
        if let Some(unit) = &mut self.unit {
            unit.extend_from_slice(payload);
            if unit.len() > MAX_UNIT {
                (self.unit, self.good_since) = (None, None);
            }
        }
    }

    /// Looks at a unit when the next begins.
    fn finish(&mut self, known: &BTreeSet<u64>, now_unix_ms: u64) {
        let Some(unit) = self.unit.take() else { return };
        let Some((pts, data)) = stamped(&unit) else {
            self.good_since = None;
            return;
        };
        self.last = Some(pts);
        if !known.contains(&fingerprint(data)) {
            self.good_since = None;
        } else if self.entry {
            self.good_since.get_or_insert(now_unix_ms);
        }
    }
}

/// The presentation stamp and the data of a PES packet (ISO/IEC 13818-1, 2.4.3.6).
fn stamped(pes: &[u8]) -> Option<(Pts, &[u8])> {
    let &[0, 0, 1, _, _, _, _, flags, header, a, b, c, d, e, ..] = pes else { return None };
    let part = |byte: u8| u64::from(byte >> 1);
    let ticks = (part(a) & 7) << 30 | u64::from(b) << 22 | part(c) << 15 | u64::from(d) << 7;
    let data = pes.get(9 + usize::from(header)..).filter(|_| flags & 0x80 != 0)?;
    Some((Pts::from_ticks(ticks | part(e)), data))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::world::{
        mux::{Mux, PACKETS_PER_PICTURE},
        programme::{Picture, Programme, Sound},
    };

    /// A multiplex of channel one, and a receiver of it. A packet of the multiplex is a tick of its time.
    struct Line {
        known: Known,
        mux: Mux,
        sight: Sight,
    }

    impl Line {
        fn new(clock_base: u64) -> Self {
            let (folder, channel) = (clip::default_folder(), &CHANNELS[0]);
            clip::prepare(&folder, &CHANNELS, |_, _| ()).unwrap();
            let clips = Arc::new(clip::load(&folder, channel).unwrap());
            let mux = Mux::new(&headend::service(0), Programme::new(clips), clock_base);
            Self { known: Known::load(&folder, "one").unwrap(), mux, sight: Sight::default() }
        }

        /// Plays so many pictures but for the packets that `lost` names; answers since when all is good.
        fn play(&mut self, pictures: u64, lost: impl Fn(u64) -> bool) -> Option<u64> {
            for _ in 0..pictures * PACKETS_PER_PICTURE {
                let (number, mut packet) = (self.mux.packets(), Vec::new());
                self.mux.write_packet(&mut packet);
                if !lost(number) {
                    // Pieces of any length, as HTTP brings them.
                    let (a, b) = packet.split_at(number as usize % PACKET);
                    self.sight.push(&self.known, a, number);
                    self.sight.push(&self.known, b, number);
                }
            }
            self.sight.good_since()
        }

        fn plan(&mut self, picture: Option<Picture>, sound: Option<Sound>) -> u64 {
            let from = self.mux.next_group();
            self.mux.plan(from, picture, sound, 1).unwrap();
            from * PACKETS_PER_PICTURE
        }
    }

    const WHOLE: fn(u64) -> bool = |_| false;
    /// Pictures are through 0.7 s after they entered, and are seen to be whole when the next begins.
    const THROUGH: u64 = 20 * PACKETS_PER_PICTURE;

    #[test]
    fn the_programme_is_good_over_its_loop_from_the_first_key_picture_on() {
        // The clock wraps around after 20 s, the clips after 48 s.
        let mut line = Line::new((1 << 33) - 20 * Pts::HZ);
        let since = line.play(75, WHOLE).unwrap();
        assert!(since < THROUGH, "{since}");
        assert_eq!(line.play(60 * 25, WHOLE), Some(since));
    }

    #[test]
    fn what_is_not_the_programme_is_bad_until_a_key_picture_of_it_is_whole() {
        for (picture, sound) in [
            (Some(Picture::Black), None),
            (Some(Picture::Frozen), None),
            (Some(Picture::Absent), None),
            (None, Some(Sound::Silent)),
            (None, Some(Sound::Absent)),
        ] {
            let mut line = Line::new(0);
            assert!(line.play(50, WHOLE).is_some());
            line.plan(picture, sound);
            assert_eq!(line.play(150, WHOLE), None, "{picture:?} {sound:?}");
            let back = (picture.map(|_| Picture::Normal), sound.map(|_| Sound::Normal));
            let from = line.plan(back.0, back.1);
            let since = line.play(75, WHOLE).unwrap();
            assert!((from..from + THROUGH).contains(&since), "{since} of {from}");
        }
    }

    #[test]
    fn a_lost_packet_is_bad_until_the_next_key_picture() {
        let mut line = Line::new(0);
        line.play(50, WHOLE);
        let lost_at = line.mux.packets() + 300;
        let since = line.play(75, |number| (lost_at..lost_at + 7).contains(&number)).unwrap();
        assert!(since > lost_at, "{since} {lost_at}");
        // One in a hundred, for good.
        assert_eq!(line.play(250, |number| number.is_multiple_of(100)), None);
    }

    #[test]
    fn another_source_of_the_same_programme_is_good_from_its_first_key_picture() {
        let (mut primary, mut backup) = (Line::new(0), Line::new(40_000_000));
        let since = primary.play(60, WHOLE).unwrap();
        backup.play(57, WHOLE);
        std::mem::swap(&mut primary.mux, &mut backup.mux);
        let switched_at = primary.mux.packets();
        let again = primary.play(75, WHOLE).unwrap();
        assert!(again > since.max(switched_at), "{again} {since} {switched_at}");
    }
}
