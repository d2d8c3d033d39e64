//! The bytes of a record: numbers in little endian, texts and lists with their length first.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use tallylight_model::MonoTime;

/// The longest list that is read back: more is no record of ours.
const MAX_LIST: u64 = 1 << 20;

pub(super) struct Writer {
    now: MonoTime,
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn new(version: u8, now: MonoTime) -> Self {
        Self { now, bytes: Vec::from([version]) }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes.extend(value.to_le_bytes());
    }

    pub(super) fn f64(&mut self, value: f64) {
        self.bytes.extend(value.to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.bytes.extend(text.as_bytes());
    }

    pub(super) fn span(&mut self, span: Duration) {
        self.u64(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
    }

    /// A moment as nanoseconds before (or, negative, after) the moment of writing.
    pub(super) fn time(&mut self, at: MonoTime) {
        let age = i128::from(self.now.as_nanos()) - i128::from(at.as_nanos());
        let age = age.clamp(i128::from(i64::MIN + 1), i128::from(i64::MAX)) as i64;
        self.bytes.extend(age.to_le_bytes());
    }

    /// As [`time`](Self::time), with the smallest number for none.
    pub(super) fn optional_time(&mut self, at: Option<MonoTime>) {
        match at {
            Some(at) => self.time(at),
            None => self.bytes.extend(i64::MIN.to_le_bytes()),
        }
    }

    pub(super) fn list<'a, T: 'a>(
        &mut self,
        items: impl IntoIterator<Item = &'a T, IntoIter: ExactSizeIterator>,
        mut write: impl FnMut(&mut Self, &T),
    ) {
        let items = items.into_iter();
        self.u64(items.len() as u64);
        for item in items {
            write(self, item);
        }
    }
}

pub(super) struct Reader<'a> {
    written: MonoTime,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(version: u8, written: MonoTime, bytes: &'a [u8]) -> Option<Self> {
        let (&first, bytes) = bytes.split_first()?;
        (first == version).then_some(Self { written, bytes })
    }

    fn eight(&mut self) -> Option<[u8; 8]> {
        let (first, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*first)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.eight().map(u64::from_le_bytes)
    }

    pub(super) fn count(&mut self) -> Option<usize> {
        self.u64().and_then(|it| usize::try_from(it).ok())
    }

    pub(super) fn span(&mut self) -> Option<Duration> {
        self.u64().map(Duration::from_nanos)
    }

    pub(super) fn f64(&mut self) -> Option<f64> {
        self.eight().map(f64::from_le_bytes)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        let len = usize::try_from(self.u64()?).ok()?;
        let (text, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        core::str::from_utf8(text).ok().map(String::from)
    }

    pub(super) fn time(&mut self) -> Option<MonoTime> {
        self.optional_time().flatten()
    }

    pub(super) fn optional_time(&mut self) -> Option<Option<MonoTime>> {
        let age = i64::from_le_bytes(self.eight()?);
        if age == i64::MIN {
            return Some(None);
        }
        let written = self.written.as_nanos();
        let age_nanos = age.unsigned_abs();
        let at = if age < 0 {
            written.saturating_add(age_nanos)
        } else {
            written.saturating_sub(age_nanos)
        };
        Some(Some(MonoTime::from_nanos(at)))
    }

    pub(super) fn list<T, C: FromIterator<T>>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<C> {
        let len = self.u64().filter(|&it| it <= MAX_LIST)?;
        (0..len).map(|_| read(self)).collect()
    }
}
