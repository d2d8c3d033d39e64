//! Multiplexes one programme at a constant rate. Sans-I/O: packet `n` is a function of the clips and of what was planned.
//!
//! A picture lasts exactly 50 packets, so a packet lasts 21,600 ticks of 27 MHz and every PCR is exact to the tick wherever
//! it stands. Pictures enter [`VIDEO_LEAD_TICKS`] before they are decoded; the encoder's rate control (`bufsize` 0.5 s)
//! guarantees that they are through by then.

use std::{collections::VecDeque, mem};

use bytes::Bytes;

use super::{
    elementary::{GROUP, PICTURE_TICKS, REORDER_TICKS},
    packet::{
        Adaptation, Component, PidWriter, Unit, association_table, pes, programme_map,
        service_description, write_null,
    },
    programme::{ChangeId, Picture, Programme, Sound},
};

/// Packets that one picture of 40 ms lasts; 1.88 Mb/s.
pub const PACKETS_PER_PICTURE: u64 = 50;
/// Ticks of 27 MHz that one packet lasts.
pub const PACKET_TICKS: u64 = PICTURE_TICKS * 300 / PACKETS_PER_PICTURE;
/// From the moment a picture enters the multiplex to its decoding, in ticks of 90 kHz.
pub const VIDEO_LEAD_TICKS: u64 = 63_000;
/// The same for sound: its buffer in a receiver is small (ISO/IEC 13818-1, 2.4.2.3: 3584 bytes).
pub const SOUND_LEAD_TICKS: u64 = 10_800;

/// A PCR every 20 ms; EN 300 468 networks ask for 40 ms, ISO/IEC 13818-1 for 100 ms.
const PCR_PACKETS: u64 = 25;
/// PAT and PMT every 80 ms, SDT every 500 ms; TR 101 290 asks for 500 ms and 2 s. Each has a place that no PCR falls on.
const TABLE_PACKETS: [u64; 3] = [100, 100, 625];

/// How a service is named and numbered in the stream.
#[derive(Clone, Debug)]
pub struct Service {
    /// service_id and programme number.
    pub id: u16,
    /// Its name.
    pub name: String,
    /// Who provides it.
    pub provider: String,
    /// PID of the programme map; video and sound have the next two.
    pub map_pid: u16,
}

impl Service {
    /// The PID of its video, which carries the PCR.
    #[must_use]
    pub const fn video_pid(&self) -> u16 {
        self.map_pid + 1
    }

    /// The PID of its sound.
    #[must_use]
    pub const fn sound_pid(&self) -> u16 {
        self.map_pid + 2
    }
}

/// A planned change whose first packet was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Which.
    pub change: ChangeId,
    /// Presentation stamp of the first picture or sound frame concerned, in ticks of 90 kHz.
    pub pts: u64,
}

/// One PID's units on their way into packets.
#[derive(Debug)]
struct Lane {
    writer: PidWriter,
    waiting: VecDeque<Waiting>,
    current: Bytes,
    unit: Unit,
    random_access: bool,
}

#[derive(Debug)]
struct Waiting {
    /// A whole PES packet; empty where a unit is missing and only the change counts.
    data: Bytes,
    pts: u64,
    dts: u64,
    random_access: bool,
    change: Option<ChangeId>,
}

impl Lane {
    fn new(pid: u16) -> Self {
        Self {
            writer: PidWriter::new(pid),
            waiting: VecDeque::new(),
            current: Bytes::new(),
            unit: Unit::Goes,
            random_access: false,
        }
    }

    /// Takes up the next unit if none is under way; notes changes that begin with it. Answers the stamp by which the unit
    /// taken up must have arrived.
    fn advance(&mut self, effects: &mut Vec<Effect>) -> Option<u64> {
        let mut due = None;
        while self.current.is_empty() {
            let Some(next) = self.waiting.pop_front() else { break };
            if let Some(change) = next.change {
                effects.push(Effect { change, pts: next.pts });
            }
            self.current = next.data;
            self.unit = Unit::Begins;
            self.random_access = next.random_access;
            due = Some(next.dts);
        }
        due
    }

    fn write(&mut self, out: &mut Vec<u8>, pcr: Option<u64>) {
        let random_access = mem::take(&mut self.random_access);
        let unit = mem::replace(&mut self.unit, Unit::Goes);
        self.writer.write(out, unit, Adaptation { pcr, random_access }, &mut self.current);
    }
}

/// The multiplexer of one source.
#[derive(Debug)]
pub struct Mux {
    programme: Programme,
    /// Ticks of 90 kHz at packet 0.
    clock_base: u64,
    packet: u64,
    next_sound: u64,
    tables: [(PidWriter, Bytes); 3],
    video: Lane,
    sound: Lane,
    effects: Vec<Effect>,
    late_units: u64,
}

impl Mux {
    /// Begins with packet 0 of a programme, with a clock that stands at `clock_base` ticks of 90 kHz.
    #[must_use]
    pub fn new(service: &Service, programme: Programme, clock_base: u64) -> Self {
        let (video_pid, sound_pid) = (service.video_pid(), service.sound_pid());
        let components = [
            Component { stream_type: 0x1B, pid: video_pid, language: None },
            Component {
                stream_type: programme.sound_codec().stream_type(),
                pid: sound_pid,
                language: Some(*b"eng"),
            },
        ];
        let tables = [
            (0, association_table(1, service.id, service.map_pid)),
            (service.map_pid, programme_map(service.id, video_pid, &components)),
            (0x11, service_description(1, service.id, &service.provider, &service.name)),
        ];
        Self {
            programme,
            clock_base,
            packet: 0,
            next_sound: 0,
            tables: tables.map(|(pid, table)| (PidWriter::new(pid), table)),
            video: Lane::new(video_pid),
            sound: Lane::new(sound_pid),
            effects: Vec::new(),
            late_units: 0,
        }
    }

    /// Appends the next packet.
    pub fn write_packet(&mut self, out: &mut Vec<u8>) {
        if self.packet.is_multiple_of(PACKETS_PER_PICTURE) {
            self.take_picture();
        }
        self.take_sound();
        let packet = self.packet;
        self.packet += 1;
        let table = (0..3).find(|n| packet % TABLE_PACKETS[*n] == 1 + *n as u64);
        if packet.is_multiple_of(PCR_PACKETS) {
            self.advance_video();
            let pcr = self.clock_base * 300 + packet * PACKET_TICKS;
            self.video.write(out, Some(pcr));
        } else if let Some((writer, table)) = table.map(|n| &mut self.tables[n]) {
            writer.write(out, Unit::Begins, Adaptation::default(), &mut table.clone());
        } else if self.has_sound() {
            self.sound.write(out, None);
        } else if self.advance_video() {
            self.video.write(out, None);
        } else {
            write_null(out);
        }
    }

    /// The first picture of the next group that a plan can still reach.
    #[must_use]
    pub fn next_group(&self) -> u64 {
        self.packet.div_ceil(PACKETS_PER_PICTURE).next_multiple_of(GROUP)
    }

    /// Plans picture and sound from a group's first picture on. The change is reported with the first picture of it, or
    /// with the first sound where the picture does not change. Answers the picture at which it ends by itself, if it does;
    /// `Err` if it changes nothing.
    #[expect(clippy::result_unit_err, reason = "there is one way not to change anything")]
    pub fn plan(
        &mut self,
        from: u64,
        picture: Option<Picture>,
        sound: Option<Sound>,
        change: ChangeId,
    ) -> Result<Option<u64>, ()> {
        let (now_picture, now_sound) = self.programme.planned();
        let picture = picture.filter(|p| *p != now_picture);
        let sound = sound.filter(|s| *s != now_sound);
        let change_of_sound = picture.is_none().then_some(change);
        if picture.is_none() && sound.is_none() {
            return Err(());
        }
        let picture_end = picture.and_then(|p| self.programme.plan_picture(from, p, Some(change)));
        let sound_end = sound.and_then(|s| self.programme.plan_sound(from, s, change_of_sound));
        Ok(picture_end.or(sound_end))
    }

    /// Takes the changes whose first packet was written since the last call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        mem::take(&mut self.effects)
    }

    /// What enters the multiplex at the moment.
    #[must_use]
    pub const fn current(&self) -> (Picture, Sound) {
        self.programme.current()
    }

    /// Units that began after their decoding time, since the start. Anything but 0 means that a clip does not fit the rate.
    #[must_use]
    pub const fn late_units(&self) -> u64 {
        self.late_units
    }

    /// Packets written.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packet
    }

    fn now_ticks(&self) -> u64 {
        self.clock_base + self.packet * PACKET_TICKS / 300
    }

    fn take_picture(&mut self) {
        let position = self.packet / PACKETS_PER_PICTURE;
        let dts = self.now_ticks() + VIDEO_LEAD_TICKS;
        let (unit, change) = self.programme.picture(position);
        let waiting = match unit {
            Some(unit) => {
                let pts = dts + unit.reorder_ticks;
                let data = pes(0xE0, pts, Some(dts), &unit.data);
                Waiting { data, pts, dts, random_access: unit.key, change }
            }
            None if change.is_none() => return,
            None => {
                let pts = dts + REORDER_TICKS;
                Waiting { data: Bytes::new(), pts, dts, random_access: false, change }
            }
        };
        self.video.waiting.push_back(waiting);
    }

    /// Sound of a moment is heard when the picture of the same position is seen.
    fn take_sound(&mut self) {
        let ticks = self.programme.sound_codec().frame_ticks();
        loop {
            let offset = VIDEO_LEAD_TICKS + REORDER_TICKS;
            let pts = self.clock_base + offset + self.next_sound * ticks;
            if pts > self.now_ticks() + SOUND_LEAD_TICKS {
                return;
            }
            let (frame, change) = self.programme.sound(self.next_sound);
            self.next_sound += 1;
            if frame.is_some() || change.is_some() {
                let data = frame.map_or_else(Bytes::new, |frame| pes(0xC0, pts, None, &frame));
                let waiting = Waiting { data, pts, dts: pts, random_access: false, change };
                self.sound.waiting.push_back(waiting);
            }
        }
    }

    fn has_sound(&mut self) -> bool {
        if let Some(due) = self.sound.advance(&mut self.effects) {
            self.late_units += u64::from(self.now_ticks() > due);
        }
        !self.sound.current.is_empty()
    }

    fn advance_video(&mut self) -> bool {
        if let Some(due) = self.video.advance(&mut self.effects) {
            self.late_units += u64::from(self.now_ticks() > due);
        }
        !self.video.current.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Command, sync::Arc};

    use super::*;
    use crate::world::{
        clip::{self, CHANNELS, Channel},
        programme::Clips,
        scan::{Scan, Unit as Seen},
    };

    const SERVICE: u16 = 7;

    fn clips(channel: &Channel) -> Arc<Clips> {
        let folder = clip::default_folder();
        clip::prepare(&folder, &CHANNELS, |_, _| ()).unwrap();
        Arc::new(clip::load(&folder, channel).unwrap())
    }

    fn mux(channel: &Channel, clock_base: u64) -> Mux {
        let service = Service {
            id: SERVICE,
            name: channel.name.to_owned(),
            provider: "Tallylight".to_owned(),
            map_pid: 0x100,
        };
        Mux::new(&service, Programme::new(clips(channel)), clock_base)
    }

    fn play(mux: &mut Mux, seconds: u64) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..seconds * 25 * PACKETS_PER_PICTURE {
            mux.write_packet(&mut out);
        }
        out
    }

    /// Everything about a stream that must hold whatever is shown.
    fn check_legal(name: &str, stream: &[u8], codec: crate::world::elementary::SoundCodec) {
        let scan = Scan::of(stream);
        assert_eq!((scan.problem_count, scan.stray_bytes), (0, 0), "{name}: {:?}", scan.problems);
        assert!(scan.longest_pcr_gap_ms(0x101) <= 40.0, "{name}");
        assert_eq!(scan.uneven_pcr(0x101, PACKET_TICKS), 0, "{name}");
        let steps = |units: &[Seen]| -> Vec<u64> {
            units.windows(2).map(|w| (w[1].dts + (1 << 33) - w[0].dts) % (1 << 33)).collect()
        };
        let (video, sound) = (&scan.pids[&0x101].units, &scan.pids[&0x102].units);
        assert!(steps(video).iter().all(|s| s % PICTURE_TICKS == 0), "{name}: video stamps");
        assert!(steps(sound).iter().all(|s| *s == codec.frame_ticks()), "{name}: sound stamps");
        let mut shown: Vec<u64> = video.iter().map(|u| u.pts).collect();
        shown.sort_unstable();
        shown.dedup();
        assert_eq!(shown.len(), video.len(), "{name}: two pictures at one time");
        check_arrival(name, &scan, video);
        check_arrival(name, &scan, sound);
    }

    /// Each unit is through before it is decoded, and not more than 10 s before (ISO/IEC 13818-1, 2.4.2.6: 1 s for sound).
    fn check_arrival(name: &str, scan: &Scan, units: &[Seen]) {
        let (pcr, at) = scan.pids[&0x101].pcr[0];
        for unit in &units[..units.len() - 1] {
            let last = pcr / 300 + (unit.last_packet - at) * PACKET_TICKS / 300;
            let margin = (unit.dts + (1 << 33) - last % (1 << 33)) % (1 << 33);
            assert!((1..=90_000).contains(&margin), "{name}: {margin} ticks before {unit:?}");
        }
    }

    fn tool(name: &str, arguments: &[&str], file: &std::path::Path) -> String {
        let output = Command::new(name).args(arguments).arg(file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{name}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn clocks_and_counters_run_on_over_loops_and_the_wrap_of_the_clock() {
        for channel in &CHANNELS {
            // The clock wraps around after 10 s, pictures and sound loop after 48 s.
            let mut mux = mux(channel, (1 << 33) - 900_000);
            let stream = play(&mut mux, 110);
            check_legal(channel.id, &stream, channel.codec);
            let scan = Scan::of(&stream);
            // 109 s of pictures are through at least, of 0.7 s lead and 0.5 s of buffer.
            let video = &scan.pids[&0x101].units;
            assert!(video.len() > 109 * 25, "{}", video.len());
            for (number, unit) in video.iter().enumerate() {
                assert_eq!(unit.key, (number as u64).is_multiple_of(GROUP), "picture {number}");
                let dts =
                    (1_u64 << 33) - 900_000 + VIDEO_LEAD_TICKS + number as u64 * PICTURE_TICKS;
                assert_eq!(unit.dts, dts % (1 << 33));
            }
            let null = scan.pids[&0x1FFF].packets as f64 / scan.packets as f64;
            assert!((0.1..0.5).contains(&null), "{}: {null} null packets", channel.id);
            assert_eq!(mux.late_units(), 0);
        }
    }

    #[test]
    fn every_splice_is_legal_and_takes_effect_with_a_group_of_pictures() {
        let channel = &CHANNELS[0];
        let mut mux = mux(channel, 1_000_000);
        let mut stream = play(&mut mux, 3);
        let pictures = [
            Picture::Black,
            Picture::Frozen,
            Picture::FrozenNoisy,
            Picture::Fade,
            Picture::Dark,
            Picture::Absent,
            Picture::Normal,
        ];
        for (number, picture) in pictures.into_iter().enumerate() {
            let from = mux.next_group();
            let change = number as u64;
            let end = mux.plan(from, Some(picture), None, change).unwrap();
            assert_eq!(end, (picture == Picture::Fade).then_some(from + 200));
            stream.extend(play(&mut mux, 3));
            let pts = 1_000_000 + VIDEO_LEAD_TICKS + REORDER_TICKS + from * PICTURE_TICKS;
            assert_eq!(mux.take_effects(), [Effect { change, pts }], "{picture:?}");
        }
        assert_eq!(mux.plan(mux.next_group(), Some(Picture::Normal), None, 99), Err(()));
        check_legal("splices", &stream, channel.codec);
        assert_eq!(mux.late_units(), 0);
    }

    #[test]
    fn sound_changes_without_a_gap_and_a_quiet_passage_ends_by_itself() {
        for channel in &CHANNELS[..2] {
            let mut mux = mux(channel, 0);
            let mut stream = play(&mut mux, 2);
            for (change, sound) in [(1, Sound::Silent), (2, Sound::Quiet)] {
                let end = mux.plan(mux.next_group(), None, Some(sound), change).unwrap();
                assert_eq!(end.is_some(), sound == Sound::Quiet);
                stream.extend(play(&mut mux, 4));
                assert_eq!(mux.take_effects().len(), 1, "{sound:?}");
                assert_eq!(mux.current().1, sound);
            }
            stream.extend(play(&mut mux, 20));
            assert_eq!(mux.current().1, Sound::Normal);
            check_legal(channel.id, &stream, channel.codec);
        }
    }

    #[test]
    fn without_video_the_counters_the_clock_and_the_rate_stay_legal() {
        let mut mux = mux(&CHANNELS[0], 5);
        play(&mut mux, 2);
        mux.plan(mux.next_group(), Some(Picture::Absent), None, 1).unwrap();
        while mux.take_effects().is_empty() {
            mux.write_packet(&mut Vec::new());
        }
        let scan = Scan::of(&play(&mut mux, 5));
        assert_eq!(scan.problem_count, 0, "{:?}", scan.problems);
        let video = &scan.pids[&0x101];
        assert_eq!((video.payloads, video.packets), (0, 5 * 50), "only PCR is left");
        assert!(scan.longest_pcr_gap_ms(0x101) <= 20.0);
        assert!(scan.pids[&0x102].units.len() > 200, "sound goes on");
        mux.plan(mux.next_group(), Some(Picture::Normal), None, 2).unwrap();
        let scan = Scan::of(&play(&mut mux, 3));
        assert_eq!(scan.problem_count, 0, "{:?}", scan.problems);
        assert!(scan.pids[&0x101].units[0].key, "pictures come back with a key picture");
    }

    #[test]
    fn ffprobe_and_ffmpeg_read_splices_and_loops_without_a_complaint() {
        let folder = tempfile::tempdir().unwrap();
        for channel in &CHANNELS[..2] {
            let mut mux = mux(channel, 77);
            let mut stream = play(&mut mux, 46);
            for (change, picture) in [(1, Picture::Black), (2, Picture::Normal)] {
                mux.plan(mux.next_group(), Some(picture), None, change).unwrap();
                stream.extend(play(&mut mux, 4));
            }
            let file = folder.path().join(channel.id);
            std::fs::write(&file, &stream).unwrap();
            let streams = tool(
                "ffprobe",
                &["-v", "warning", "-show_programs", "-show_streams", "-of", "flat"],
                &file,
            );
            for expected in [
                "programs.program.0.program_id=7",
                &format!("service_name=\"{}\"", channel.name),
                "service_provider=\"Tallylight\"",
                "codec_name=\"h264\"",
                "language=\"eng\"",
                match channel.codec {
                    crate::world::elementary::SoundCodec::Aac => "codec_name=\"aac\"",
                    crate::world::elementary::SoundCodec::Mp2 => "codec_name=\"mp2\"",
                },
            ] {
                assert!(streams.contains(expected), "{expected} in {streams}");
            }
            let output = Command::new("ffmpeg")
                .args(["-v", "warning", "-xerror", "-i"])
                .arg(&file)
                .args(["-f", "null", "-"])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.is_empty(), "{}: {said}", channel.id);
        }
    }

    /// What ffmpeg's own detectors say of a stream.
    fn detect(stream: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), stream).unwrap();
        let output = Command::new("ffmpeg")
            .args(["-nostdin", "-hide_banner", "-v", "info", "-i"])
            .arg(file.path())
            .args(["-vf", "blackdetect=d=1:pix_th=0.03:pic_th=1,freezedetect=n=0.003:d=2"])
            .args(["-af", "silencedetect=n=-60dB:d=2", "-f", "null", "-"])
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    #[test]
    fn every_choice_looks_and_sounds_as_it_is_called() {
        let channel = &CHANNELS[0];
        for (picture, sound, expected) in [
            (None, None, vec![]),
            (Some(Picture::Black), None, vec!["black_start", "freeze_start"]),
            (Some(Picture::Frozen), None, vec!["freeze_start"]),
            (Some(Picture::FrozenNoisy), None, vec!["freeze_start"]),
            (Some(Picture::Fade), None, vec!["black_start"]),
            (Some(Picture::Dark), None, vec![]),
            (None, Some(Sound::Silent), vec!["silence_start"]),
            (None, Some(Sound::Quiet), vec![]),
        ] {
            let mut mux = mux(channel, 3_000);
            let mut stream = play(&mut mux, 2);
            let _ = mux.plan(mux.next_group(), picture, sound, 1);
            stream.extend(play(&mut mux, 7));
            let said = detect(&stream);
            for detector in ["black_start", "freeze_start", "silence_start"] {
                let name = format!("{picture:?} {sound:?}: {detector} in {said}");
                assert_eq!(said.contains(detector), expected.contains(&detector), "{name}");
            }
        }
    }
}
