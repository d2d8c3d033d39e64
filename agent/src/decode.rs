//! The decoding side of one stream, behind a message boundary: access units in, picture and sound statistics out.
//!
//! Messages are owned plain data and the [`Analyser`] is synchronous: it runs in a worker process, where a decoder that crashes
//! takes nothing with it (`io/decoding`). One stream's messages must be handled in order.
//!
//! A healthy stream is decoded sparsely: [`KeyFramePolicy`](crate::picture::KeyFramePolicy) says which access units matter.
//! The pictures between are kept for a while: when the next key picture decoded looks different (black, still, or no longer so)
//! and their sizes do not tell when that began, they are decoded after all, so that it is exact to the picture although only
//! one key picture in 2 s is decoded.

mod health;
mod history;
mod loudness;
mod luma;
mod parameters;
mod pcm;
mod plain;
mod pool;
mod quarantine;
mod signature;
mod thumbnail;
mod video;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use tallylight_av::{AudioDecoder, DecodeError, Limits, OpenError};
use tallylight_model::{Codec, CodingProfile, Pid};

pub use health::{Confinement, WorkerFailure};
pub use pool::Pool;
pub use quarantine::Quarantine;
pub use signature::Signature;
pub use tallylight_av::{ChannelPlace, Damage};

use crate::picture::Look;
use pcm::Meter;
use video::VideoTrack;

/// Elementary streams that one analyser decodes: one picture and the sound tracks of a service.
const MAX_TRACKS: usize = 16;

/// What the analyser is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// An access unit to decode. Units of one PID come in decoding order.
    Unit(Unit),
    /// The stream starts afresh (discontinuity, splice, new PMT version, resynchronisation): decoders forget what they hold and
    /// the next key picture is compared with none before.
    Reset,
}

/// An access unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Its elementary stream.
    #[serde(with = "plain::pid")]
    pub pid: Pid,
    /// How that is coded. A change opens a new decoder.
    #[serde(with = "plain::CodecName")]
    pub codec: Codec,
    /// Whether decoding can start here. True of sound.
    pub key: bool,
    /// When it is presented, on the caller's continuous media time line.
    pub media_time: Duration,
    /// How much of it is wanted.
    pub effort: Effort,
    /// How a change that a key picture shows is dated.
    pub dating: Dating,
    /// Whether a thumbnail is wanted of the picture that it decodes to, if it does.
    pub thumbnail: bool,
    /// Annex B byte stream, MPEG video, or whole audio frames with their headers. Not part of a written message: it travels beside
    /// it, uncopied.
    #[serde(skip)]
    pub data: Vec<u8>,
}

impl Unit {
    /// Whether pictures between key pictures are decoded for its sake.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self.effort, Effort::Survey(_) | Effort::CatchUp(_) | Effort::Run | Effort::RunEnd)
    }

    /// Whether they may be.
    #[must_use]
    pub const fn may_be_full(&self) -> bool {
        self.is_full() || matches!((self.effort, self.dating), (Effort::Key(_), Dating::Decoding))
    }

    /// Leaves them out, and says whether they would have been decoded for sure; of a run this is said at its end.
    pub fn leave_out_full(&mut self) -> bool {
        if self.dating == Dating::Decoding {
            self.dating = Dating::Withheld;
        }
        let (effort, full) = match self.effort {
            Effort::Survey(place) => (Effort::Key(place), true),
            Effort::CatchUp(place) => (Effort::Keep(place), true),
            Effort::Run => (Effort::Skip, false),
            Effort::RunEnd => (Effort::Skip, true),
            other => (other, false),
        };
        self.effort = effort;
        full
    }
}

/// How much trouble an access unit is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effort {
    /// None: it need not be sent to the analyser at all.
    Skip,
    /// Decode now, by itself: sound.
    Alone,
    /// Decode now: a key picture, by itself, which may have to be caught up from.
    Key(Place),
    /// The same, and the groups of pictures before it are decoded whole, up to 64 pictures.
    Survey(Place),
    /// Put aside, to be decoded if a later one asks to [catch up](Self::CatchUp), or shows that something changed.
    Keep(Place),
    /// Decode now, after everything kept since the last key picture. Nothing happens if a picture is missing there.
    CatchUp(Place),
    /// Decode now, in the middle of a run that begins anywhere.
    Run,
    /// The last picture of such a run, which then gives its statistics, if decoding got hold of the whole picture by then.
    RunEnd,
}

/// How a change from one decoded key picture to the next is dated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dating {
    /// The sizes of the pictures between tell it.
    Sizes,
    /// The pictures between are decoded, where none is missing.
    Decoding,
    /// They would be, but there is no time for it.
    Withheld,
}

/// Where in the coded order a picture stands, so that the analyser notices when one was not sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Counts key pictures.
    pub group: u32,
    /// Counts pictures since the group's key picture, which is 0.
    pub index: u32,
}

/// What the analyser found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// A decoded picture.
    Picture(PictureStats),
    /// Groups of pictures that were decoded whole.
    Survey(Survey),
    /// About 100 ms of decoded sound.
    Sound(SoundStats),
    /// The pictures between were decoded to date a change.
    Dated {
        /// Its elementary stream.
        #[serde(with = "plain::pid")]
        pid: Pid,
    },
    /// A change was not dated, since there is [no time](Dating::Withheld) for it.
    Withheld {
        /// Its elementary stream.
        #[serde(with = "plain::pid")]
        pid: Pid,
    },
    /// A picture as it was wanted, a small JPEG.
    Thumbnail {
        /// Its elementary stream.
        #[serde(with = "plain::pid")]
        pid: Pid,
        /// The file.
        jpeg: Vec<u8>,
    },
    /// An access unit that the decoder found damaged, or a picture that it had to repair.
    Damaged {
        /// Its elementary stream.
        #[serde(with = "plain::pid")]
        pid: Pid,
        /// When it is presented.
        media_time: Duration,
    },
    /// The elementary stream cannot be decoded here: its codec, or the variant of it, or its pictures have no luma. Said again
    /// with each access unit of which that turns out.
    Unsupported {
        /// Its elementary stream.
        #[serde(with = "plain::pid")]
        pid: Pid,
        /// How it is coded.
        #[serde(with = "plain::CodecName")]
        codec: Codec,
    },
}

/// A decoded picture in numbers. Luma is on the 8-bit scale whatever the depth, averaged over blocks of 8 by 8 pixels; tiles
/// are 8 by 8 blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PictureStats {
    /// Its elementary stream.
    #[serde(with = "plain::pid")]
    pub pid: Pid,
    /// When it is presented.
    pub media_time: Duration,
    /// Which of the codec's tools it uses, where known.
    #[serde(with = "plain::profile")]
    pub profile: Option<CodingProfile>,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Whether its lines are of two moments.
    pub interlaced: bool,
    /// The shape of a sample, width to height.
    pub sample_aspect: (u32, u32),
    /// Over the whole picture.
    pub levels: Levels,
    /// Share of tiles, 0 to 1, with at least one block of 38 or more.
    pub bright_tiles: f32,
    /// Over the tiles that are not bright; `None` if all are.
    pub rest: Option<Levels>,
    /// What it shows where that is no programme.
    pub look: Look,
    /// What it shows, seen from far.
    pub signature: Signature,
    /// Against the key picture decoded before it; `None` after a reset or a change of size.
    pub change: Option<Change>,
    /// When the first picture was presented that had this one's look, as those up to this one have; `None` if the look did not
    /// change, or that is not known.
    pub turned: Option<Duration>,
    /// What the decoder itself found.
    #[serde(with = "plain::DamageName")]
    pub damage: Damage,
    /// Whether it is a picture from between key pictures, which were too rare.
    pub sampled: bool,
}

/// What successive pictures show, seen from far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Survey {
    /// Their elementary stream.
    #[serde(with = "plain::pid")]
    pub pid: Pid,
    /// When each is presented, in that order, and what it shows; at most 64.
    pub pictures: Vec<(Duration, Signature)>,
}

/// How light a set of blocks is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// Share of blocks under 38, 0 to 1.
    pub dark: f32,
    /// The 5th percentile.
    pub p5: f32,
    /// The 95th percentile.
    pub p95: f32,
}

/// How two pictures differ: absolute differences of block means. Where the earlier one stood already, it is the larger one of
/// the differences from it and from the first picture that stood.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// When the picture that it is measured against is presented.
    pub since: Duration,
    /// Where the two are the same: when the first picture is presented that was the same already, if that is known.
    pub same_since: Option<Duration>,
    /// Where they are not: when the first picture is presented that was no longer the same, if that is known.
    pub changed: Option<Duration>,
    /// The mean over the tile that changed most.
    pub worst_tile: f32,
    /// The block that changed most.
    pub worst_block: f32,
    /// The mean over the picture.
    pub mean: f32,
    /// Share of the picture, 0 to 1, in tiles that are the same but for coding.
    pub same_share: f32,
}

/// About 100 ms of sound in numbers. Levels are in dBFS (a full-scale square wave is 0), not under -200.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoundStats {
    /// Its elementary stream.
    #[serde(with = "plain::pid")]
    pub pid: Pid,
    /// When its first sample is presented.
    pub media_time: Duration,
    /// How long it is.
    pub length: Duration,
    /// Its channels.
    pub channels: Vec<ChannelStats>,
    /// The front pair, if there is one and both have sound.
    pub pair: Option<PairStats>,
    /// The loudness of each 100 ms that ended in it, in LUFS (ITU-R BS.1770), not under -200. They follow on from run to run.
    pub tenths: Vec<f32>,
    /// The largest true peak of all channels in dBTP, or the largest sample where that is 4 dB and more under the largest
    /// true peak so far.
    pub true_peak: f32,
}

/// One channel of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelStats {
    /// Where it is heard.
    #[serde(with = "plain::PlaceName")]
    pub place: ChannelPlace,
    /// Its root mean square.
    pub rms: f32,
    /// Its largest sample.
    pub peak: f32,
    /// How much of its energy is a tone of 1 kHz, 0 to 1.
    pub tone: f32,
    /// Peaks that were cut off: three samples or more at full scale, or a jump there.
    pub clips: u32,
    /// From where to where in the run there is sound, to 5 ms; `None` if it is silent all through.
    pub loud: Option<(Duration, Duration)>,
}

/// How left and right go together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairStats {
    /// 1 if they are the same but for their level, -1 if one is the other upside down.
    pub correlation: f32,
    /// Level of their difference against that of their sum, in dB.
    pub width: f32,
}

impl SoundStats {
    /// The root mean square of the loudest channel.
    #[must_use]
    pub fn loudest(&self) -> f32 {
        self.channels.iter().map(|channel| channel.rms).fold(f32::NEG_INFINITY, f32::max)
    }

    /// From where to where in it there is sound on any channel.
    #[must_use]
    pub fn loud(&self) -> Option<(Duration, Duration)> {
        let all = self.channels.iter().filter_map(|channel| channel.loud);
        all.reduce(|(from, to), (first, last)| (from.min(first), to.max(last)))
    }
}
/// Is called between one access unit and the next.
type GoesOn<'a> = &'a mut dyn FnMut();

/// Decodes one stream.
#[derive(Default)]
pub struct Analyser {
    tracks: BTreeMap<Pid, Track>,
}

struct Track {
    codec: Codec,
    kind: TrackKind,
}

enum TrackKind {
    Video(Box<VideoTrack>),
    Audio(Box<AudioTrack>),
    Unsupported,
}

struct AudioTrack {
    decoder: AudioDecoder,
    meter: Meter,
    /// Whether anything was decoded since the last reset: until then errors are those of joining in the middle.
    joined: bool,
}

impl Analyser {
    /// Starts with no decoder; each is opened by its first access unit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Handles one message. Never fails: what cannot be decoded is a reply.
    pub fn handle(&mut self, request: Request) -> Vec<Reply> {
        self.handle_and_tell(request, &mut || {})
    }

    /// Handles one message and says before each access unit that it goes on, where one message makes it decode many.
    pub fn handle_and_tell(&mut self, request: Request, goes_on: GoesOn<'_>) -> Vec<Reply> {
        match request {
            Request::Reset => {
                self.reset();
                Vec::new()
            }
            Request::Unit(unit) => self.unit(unit, goes_on),
        }
    }

    fn reset(&mut self) {
        self.tracks.retain(|_, track| match &mut track.kind {
            TrackKind::Video(video) => {
                video.reset();
                true
            }
            TrackKind::Audio(audio) => {
                audio.decoder.reset();
                audio.meter.reset();
                audio.joined = false;
                true
            }
            TrackKind::Unsupported => false,
        });
    }

    fn unit(&mut self, unit: Unit, goes_on: GoesOn<'_>) -> Vec<Reply> {
        let mut replies = Vec::new();
        let (pid, codec) = (unit.pid, unit.codec);
        if unit.effort == Effort::Skip {
            return replies;
        }
        if !matches!(unit.effort, Effort::Keep(_)) {
            for track in self.tracks.values_mut() {
                if let TrackKind::Video(video) = &mut track.kind {
                    video.settle_if_ready(&mut replies, goes_on);
                }
            }
        }
        if self.tracks.get(&pid).is_none_or(|track| track.codec != codec) {
            if self.tracks.len() >= MAX_TRACKS && !self.tracks.contains_key(&pid) {
                replies.push(Reply::Unsupported { pid, codec });
                return replies;
            }
            let kind = open(codec).unwrap_or_else(|_| {
                replies.push(Reply::Unsupported { pid, codec });
                TrackKind::Unsupported
            });
            self.tracks.insert(pid, Track { codec, kind });
        }
        match self.tracks.get_mut(&pid).map(|track| &mut track.kind) {
            Some(TrackKind::Video(video)) => video.unit(unit, &mut replies, goes_on),
            Some(TrackKind::Audio(audio)) => audio.unit(&unit, &mut replies),
            Some(TrackKind::Unsupported) | None => {}
        }
        replies
    }
}

fn open(codec: Codec) -> Result<TrackKind, OpenError> {
    let limits = Limits::default();
    Ok(if codec.is_video() {
        TrackKind::Video(Box::new(VideoTrack::new(codec, limits)?))
    } else {
        let decoder = AudioDecoder::new(codec, limits)?;
        TrackKind::Audio(Box::new(AudioTrack { decoder, meter: Meter::default(), joined: false }))
    })
}

impl AudioTrack {
    fn unit(&mut self, unit: &Unit, replies: &mut Vec<Reply>) {
        let (pid, media_time) = (unit.pid, unit.media_time);
        let meter = &mut self.meter;
        let mut decoded = false;
        let mut sane = true;
        let outcome = self.decoder.decode(&unit.data, 0, |samples| {
            // Only the first run of an access unit has its time; the others follow on.
            let at = samples.tag().filter(|_| !decoded).map(|_| media_time);
            decoded |= samples.channels() > 0;
            sane &= meter.feed(pid, at, &samples, |stats| replies.push(Reply::Sound(stats)));
        });
        if outcome == Err(DecodeError::Unsupported) {
            replies.push(Reply::Unsupported { pid, codec: unit.codec });
        } else if self.joined && (outcome.is_err() || !sane) {
            replies.push(Reply::Damaged { pid, media_time });
        }
        self.joined |= decoded;
    }
}
