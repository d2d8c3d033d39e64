//! The newest small picture of each stream, as agents push them: so that a person sees what is wrong before reading about it.
//!
//! They are evidence for people alone: nothing is judged by them, and they are not kept across a start.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tallylight_model::{MonoTime, NodeId, StreamId};

/// Bytes of one picture.
pub const MAX_PICTURE: usize = 64 << 10;
/// Bytes of all pictures; the oldest go first.
const MAX_ALL: usize = 128 << 20;

/// The newest picture of each stream.
#[derive(Debug, Default)]
pub struct Thumbnails {
    pictures: BTreeMap<StreamId, Thumbnail>,
    bytes: usize,
}

/// A picture.
#[derive(Clone, Debug)]
pub struct Thumbnail {
    /// Whose agent saw it.
    pub node: NodeId,
    /// A JPEG.
    pub jpeg: Bytes,
    /// Names its contents, in quotes as HTTP wants it.
    pub tag: String,
    at: MonoTime,
}

/// What was pushed is no picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a whole JPEG of at most 64 KiB is wanted")]
pub struct NoPicture;

impl Thumbnail {
    /// How long ago it came.
    #[must_use]
    pub fn age(&self, now: MonoTime) -> Duration {
        now.since(self.at)
    }
}

impl Thumbnails {
    /// Takes a stream's newest picture.
    ///
    /// # Errors
    /// It is not what it should be; the one before stays.
    pub fn put(
        &mut self,
        now: MonoTime,
        stream: StreamId,
        node: NodeId,
        jpeg: Bytes,
    ) -> Result<(), NoPicture> {
        // SOI and EOI (ITU-T T.81, B.1.1.3). What lies between is for whoever draws it.
        let is_whole = jpeg.starts_with(&[0xff, 0xd8, 0xff]) && jpeg.ends_with(&[0xff, 0xd9]);
        if !is_whole || jpeg.len() > MAX_PICTURE {
            return Err(NoPicture);
        }
        let digest = Sha256::digest(&jpeg);
        let digits: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let (tag, at) = (format!("\"{digits}\""), now);
        self.bytes += jpeg.len();
        let before = self.pictures.insert(stream, Thumbnail { node, jpeg, tag, at });
        self.bytes -= before.map_or(0, |old| old.jpeg.len());
        while self.bytes > MAX_ALL {
            let oldest = self.pictures.iter().min_by_key(|(_, it)| it.at).map(|(id, _)| id.clone());
            let Some(gone) = oldest.and_then(|id| self.pictures.remove(&id)) else { break };
            self.bytes -= gone.jpeg.len();
        }
        Ok(())
    }

    /// A stream's newest picture.
    #[must_use]
    pub fn get(&self, stream: &StreamId) -> Option<&Thumbnail> {
        self.pictures.get(stream)
    }

    /// All of them, by stream.
    pub fn all(&self) -> impl Iterator<Item = (&StreamId, &Thumbnail)> {
        self.pictures.iter()
    }

    /// Forgets streams that are not in the lineup any more.
    pub fn retain(&mut self, is_listed: impl Fn(&StreamId) -> bool) {
        self.pictures.retain(|stream, _| is_listed(stream));
        self.bytes = self.pictures.values().map(|it| it.jpeg.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg(size: usize, fill: u8) -> Bytes {
        let mut bytes = vec![fill; size];
        bytes[..3].copy_from_slice(&[0xff, 0xd8, 0xff]);
        bytes[size - 2..].copy_from_slice(&[0xff, 0xd9]);
        bytes.into()
    }

    fn put(all: &mut Thumbnails, now: MonoTime, n: usize, jpeg: Bytes) -> Result<(), NoPicture> {
        let stream = StreamId::parse(&format!("c{n}/primary")).unwrap();
        all.put(now, stream, NodeId::new("head").unwrap(), jpeg)
    }

    #[test]
    fn the_newest_picture_of_a_stream_stays_and_its_tag_follows_its_contents() {
        let (mut all, now) = (Thumbnails::default(), MonoTime::ZERO);
        put(&mut all, now, 1, jpeg(100, 1)).unwrap();
        let tag = |all: &Thumbnails| all.all().next().unwrap().1.tag.clone();
        let first = tag(&all);
        put(&mut all, now, 1, jpeg(100, 1)).unwrap();
        assert_eq!(tag(&all), first);
        put(&mut all, now, 1, jpeg(100, 2)).unwrap();
        assert_ne!(tag(&all), first);
        assert_eq!((all.all().count(), all.bytes), (1, 100));
        all.retain(|_| false);
        assert_eq!((all.all().count(), all.bytes), (0, 0));
    }

    #[test]
    fn what_is_no_picture_is_refused_and_the_one_before_stays() {
        let (mut all, now) = (Thumbnails::default(), MonoTime::ZERO);
        put(&mut all, now, 1, jpeg(100, 1)).unwrap();
        let cut = jpeg(100, 1).slice(..99);
        for bad in [Bytes::new(), Bytes::from_static(b"<html>"), cut, jpeg(MAX_PICTURE + 1, 1)] {
            assert_eq!(put(&mut all, now, 1, bad), Err(NoPicture));
        }
        assert_eq!(all.bytes, 100);
    }

    #[test]
    fn the_oldest_go_first() {
        let (mut all, now) = (Thumbnails::default(), MonoTime::ZERO);
        let count = MAX_ALL / MAX_PICTURE + 10;
        for n in 0..count {
            let at = now + Duration::from_millis(n as u64);
            put(&mut all, at, n, jpeg(MAX_PICTURE, 0)).unwrap();
        }
        assert_eq!((all.all().count(), all.bytes), (MAX_ALL / MAX_PICTURE, MAX_ALL));
        assert!(all.get(&StreamId::parse("c9/primary").unwrap()).is_none());
        assert!(all.get(&StreamId::parse("c10/primary").unwrap()).is_some());
    }
}
