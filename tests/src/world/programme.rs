//! What a source shows: which clip of picture and sound, and since when. A change waits for the next group of pictures, so
//! that every decoder can follow it and its moment is known exactly.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::elementary::{AccessUnit, GROUP, PICTURE_TICKS, PictureClip, SoundClip, SoundCodec};

/// Which picture a source shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Picture {
    /// The programme.
    Normal,
    /// Total black.
    Black,
    /// A picture that stands still, bit for bit.
    Frozen,
    /// A picture that stands still under slight noise, so that its bit rate stays plausible.
    FrozenNoisy,
    /// A fade with 1.5 s of total black, once.
    Fade,
    /// A dark but moving scene with a bright logo.
    Dark,
    /// No picture at all: the video's packets are missing while the multiplex goes on.
    Absent,
}

/// Which sound a source plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sound {
    /// The programme.
    Normal,
    /// Digital silence.
    Silent,
    /// A passage at -50 dBFS, once.
    Quiet,
    /// No sound at all: its packets are missing.
    Absent,
}

/// The clips of one channel.
#[derive(Debug)]
pub struct Clips {
    /// Pictures by choice; all but [`Picture::Absent`].
    pub pictures: BTreeMap<Picture, PictureClip>,
    /// Sounds by choice; all but [`Sound::Absent`].
    pub sounds: BTreeMap<Sound, SoundClip>,
    /// The codec of all sounds.
    pub codec: SoundCodec,
}

/// A change that was ordered: reported back when its first packet leaves.
pub type ChangeId = u64;

/// A planned course of choices along positions (pictures or sound frames).
#[derive(Debug)]
struct Track<T> {
    current: T,
    /// Position from which the current clip counts.
    since: u64,
    /// What follows, by position; at most two entries: a choice, and the return from it.
    next: Vec<(u64, T, Option<ChangeId>)>,
}

impl<T: Copy + PartialEq> Track<T> {
    const fn new(current: T) -> Self {
        Self { current, since: 0, next: Vec::new() }
    }

    /// The choice at a position and the change that begins there. Positions must be asked for in order.
    fn at(&mut self, position: u64) -> Option<ChangeId> {
        let due = self.next.first().is_some_and(|(at, ..)| *at <= position);
        if !due {
            return None;
        }
        let (_, choice, change) = self.next.remove(0);
        self.current = choice;
        self.since = position;
        change
    }

    fn planned(&self) -> T {
        self.next.last().map_or(self.current, |(_, choice, _)| *choice)
    }
}

/// The course of one source's picture and sound.
#[derive(Debug)]
pub struct Programme {
    clips: Arc<Clips>,
    picture: Track<Picture>,
    sound: Track<Sound>,
}

impl Programme {
    /// Begins with the normal programme.
    #[must_use]
    pub fn new(clips: Arc<Clips>) -> Self {
        let (picture, sound) = (Track::new(Picture::Normal), Track::new(Sound::Normal));
        Self { clips, picture, sound }
    }

    /// The codec of the sound.
    #[must_use]
    pub fn sound_codec(&self) -> SoundCodec {
        self.clips.codec
    }

    /// What is shown and played at the moment.
    #[must_use]
    pub const fn current(&self) -> (Picture, Sound) {
        (self.picture.current, self.sound.current)
    }

    /// Plans a choice of picture from a group's first picture on. [`Picture::Fade`] returns to normal at its end. What was
    /// planned is forgotten. Answers the picture at which it ends, if it does.
    pub fn plan_picture(
        &mut self,
        from: u64,
        picture: Picture,
        change: Option<ChangeId>,
    ) -> Option<u64> {
        debug_assert!(from.is_multiple_of(GROUP));
        self.picture.next.clear();
        self.picture.next.push((from, picture, change));
        let end = match (picture, self.clips.pictures.get(&picture)) {
            (Picture::Fade, Some(clip)) => from + clip.length(),
            _ => return None,
        };
        self.picture.next.push((end, Picture::Normal, None));
        Some(end)
    }

    /// Plans a choice of sound from the frame on that is heard with a picture. [`Sound::Quiet`] returns to normal at its
    /// end. Answers the picture at which it ends, if it does.
    pub fn plan_sound(&mut self, from: u64, sound: Sound, change: Option<ChangeId>) -> Option<u64> {
        let ticks = self.clips.codec.frame_ticks();
        let frame = (from * PICTURE_TICKS).div_ceil(ticks);
        self.sound.next.clear();
        self.sound.next.push((frame, sound, change));
        let end = match (sound, self.clips.sounds.get(&sound)) {
            (Sound::Quiet, Some(clip)) => frame + clip.length(),
            _ => return None,
        };
        self.sound.next.push((end, Sound::Normal, None));
        Some(end * ticks / PICTURE_TICKS)
    }

    /// What picture and sound will be once all that is planned has happened.
    #[must_use]
    pub fn planned(&self) -> (Picture, Sound) {
        (self.picture.planned(), self.sound.planned())
    }

    /// The picture at a position, with the change that begins with it.
    pub fn picture(&mut self, position: u64) -> (Option<&AccessUnit>, Option<ChangeId>) {
        let change = self.picture.at(position);
        let from = if self.picture.current == Picture::Normal { 0 } else { self.picture.since };
        let clip = self.clips.pictures.get(&self.picture.current);
        (clip.map(|clip| clip.at(position - from)), change)
    }

    /// The sound frame at a position, with the change that begins with it.
    pub fn sound(&mut self, position: u64) -> (Option<Bytes>, Option<ChangeId>) {
        let change = self.sound.at(position);
        let from = if self.sound.current == Sound::Normal { 0 } else { self.sound.since };
        let clip = self.clips.sounds.get(&self.sound.current);
        (clip.map(|clip| clip.at(position - from).clone()), change)
    }
}
