//! What agent and worker say to each other over a pair of sockets.
//!
//! A frame is the length of its words, the length of its bytes, the words (`postcard`), the bytes. The agent writes one batch of
//! orders and then only reads, the worker reads all of a batch before it begins: so neither ever waits for the other to read. The
//! data of access units goes as it is, beside the words.

use std::io::{self, ErrorKind, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::decode::{Confinement, Reply, Request, Unit};

/// The longest words, in bytes: a batch's orders, or the replies to one of them, take a hundredth of it.
const MAX_WORDS: usize = 4 << 20;
/// The most data of one order.
pub(super) const MAX_UNIT: usize = 16 << 20;
/// Shorter data is gathered before it is written.
const SHORT: usize = 16 << 10;

/// One view of one desk: what has a decoder of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) desk: u64,
    pub(super) view: u32,
}

/// What a worker is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Order {
    /// Handle a request whose data has so many bytes. It is answered.
    Handle { key: Key, request: Request, bytes: u32 },
    /// Forget all views of a desk. Answered with nothing.
    Close { desk: u64 },
}

impl Order {
    pub(super) fn handle(key: Key, request: Request) -> Self {
        let bytes = match &request {
            Request::Unit(unit) => u32::try_from(unit.data.len()).unwrap_or(u32::MAX),
            Request::Reset => 0,
        };
        Self::Handle { key, request, bytes }
    }

    pub(super) const fn key(&self) -> Option<Key> {
        match self {
            Self::Handle { key, .. } => Some(*key),
            Self::Close { .. } => None,
        }
    }

    pub(super) const fn unit(&self) -> Option<&Unit> {
        match self {
            Self::Handle { request: Request::Unit(unit), .. } => Some(unit),
            _ => None,
        }
    }

    pub(super) const fn unit_mut(&mut self) -> Option<&mut Unit> {
        match self {
            Self::Handle { request: Request::Unit(unit), .. } => Some(unit),
            _ => None,
        }
    }

    pub(super) fn data(&self) -> &[u8] {
        self.unit().map_or(&[], |unit| unit.data.as_slice())
    }
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Report {
    /// It is there, and what it is kept from.
    Ready { confinement: Confinement, resident_kib: u64 },
    /// It works on, and so many more orders are done, in their order. And how much memory it has.
    Done { replies: Vec<Vec<Reply>>, resident_kib: u64 },
}

/// Writes a batch through `write`, which takes all it is given.
pub(super) fn write_orders(
    orders: &[Order],
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let bytes = orders.iter().map(|order| order.data().len()).sum();
    let mut gathered = frame(&orders, bytes)?;
    for data in orders.iter().map(Order::data) {
        if data.len() <= SHORT {
            gathered.extend_from_slice(data);
        } else {
            write(&gathered)?;
            gathered.clear();
            write(data)?;
        }
    }
    if gathered.is_empty() { Ok(()) } else { write(&gathered) }
}

/// Reads a batch; `None` at the end.
pub(super) fn read_orders(from: &mut impl Read) -> io::Result<Option<Vec<Order>>> {
    let mut lengths = [0; 8];
    if from.read(&mut lengths[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut lengths[1..])?;
    let (words, _) = lengths_of(lengths)?;
    let mut orders: Vec<Order> = parse(&read_bytes(from, words)?)?;
    for order in &mut orders {
        if let Order::Handle { request: Request::Unit(unit), bytes, .. } = order {
            let bytes = usize::try_from(*bytes).unwrap_or(usize::MAX);
            unit.data = read_bytes(from, bytes.min(MAX_UNIT))?;
        }
    }
    Ok(Some(orders))
}

fn read_bytes(from: &mut impl Read, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(count);
    from.take(count as u64).read_to_end(&mut bytes)?;
    if bytes.len() == count { Ok(bytes) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

pub(super) fn write_report(mut to: impl Write, report: &Report) -> io::Result<()> {
    to.write_all(&frame(report, 0)?)
}

/// What was read of the worker's reports.
#[derive(Debug, Default)]
pub(super) struct Incoming(Vec<u8>);

impl Incoming {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Takes the next report, if all of it is there.
    pub(super) fn next(&mut self) -> io::Result<Option<Report>> {
        let Some((&lengths, rest)) = self.0.split_first_chunk() else { return Ok(None) };
        let (words, bytes) = lengths_of(lengths)?;
        if bytes > 0 {
            return Err(ErrorKind::InvalidData.into());
        }
        let Some(report) = rest.get(..words).map(parse) else { return Ok(None) };
        self.0.drain(..lengths.len() + words);
        let is_sane = |report: &Report| match report {
            Report::Ready { .. } => true,
            Report::Done { replies, .. } => replies.iter().flatten().all(Reply::is_sane),
        };
        report.and_then(|it| {
            if is_sane(&it) { Ok(Some(it)) } else { Err(ErrorKind::InvalidData.into()) }
        })
    }
}

fn frame<T: Serialize>(words: &T, bytes: usize) -> io::Result<Vec<u8>> {
    let mut frame = postcard::to_extend(words, vec![0; 8]).map_err(invalid)?;
    let length = |bytes| u32::try_from(bytes).map_err(invalid);
    let (words, bytes) = (length(frame.len() - 8)?, length(bytes)?);
    if let Some((lengths, _)) = frame.split_first_chunk_mut::<8>() {
        *lengths = (u64::from(bytes) << 32 | u64::from(words)).to_le_bytes();
    }
    Ok(frame)
}

fn lengths_of(lengths: [u8; 8]) -> io::Result<(usize, usize)> {
    let both = u64::from_le_bytes(lengths);
    let words = usize::try_from(both & u64::from(u32::MAX)).map_err(invalid)?;
    let bytes = usize::try_from(both >> 32).map_err(invalid)?;
    if words > MAX_WORDS { Err(ErrorKind::InvalidData.into()) } else { Ok((words, bytes)) }
}

fn parse<T: DeserializeOwned>(words: &[u8]) -> io::Result<T> {
    postcard::from_bytes(words).map_err(invalid)
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tallylight_model::{Codec, Pid};

    use super::*;
    use crate::{
        decode::{Dating, Effort, PictureStats, Place, Survey},
        picture::tests::{LIVE, key},
    };

    fn order(view: u32, data: Vec<u8>) -> Order {
        let unit = Unit {
            pid: Pid::from_bits(256),
            codec: Codec::Hevc,
            key: true,
            media_time: Duration::from_millis(1_234_567),
            effort: Effort::Key(Place { group: 3, index: 0 }),
            dating: Dating::Decoding,
            thumbnail: false,
            data,
        };
        Order::handle(Key { desk: 7, view }, Request::Unit(unit))
    }

    fn written(orders: &[Order]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_orders(orders, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
        bytes
    }

    #[test]
    fn orders_are_read_as_they_were_written() {
        let reset = Order::handle(Key { desk: 1, view: 0 }, Request::Reset);
        let batches = [
            vec![order(0, vec![1; 5]), reset, order(1, vec![2; SHORT + 1])],
            vec![Order::Close { desk: 9 }, order(2, vec![3; SHORT])],
        ];
        let bytes: Vec<u8> = batches.iter().flat_map(|batch| written(batch)).collect();
        let mut from = bytes.as_slice();
        for batch in batches {
            assert_eq!(read_orders(&mut from).unwrap(), Some(batch));
        }
        assert_eq!(read_orders(&mut from).unwrap(), None);
        // One that breaks off is no batch.
        for length in [1, 8, 20, SHORT] {
            assert!(read_orders(&mut &bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn reports_are_read_however_they_come() {
        let pid = Pid::from_bits(8191);
        let damaged = Reply::Damaged { pid, media_time: Duration::from_nanos(40_000_001) };
        let reports = [
            Report::Done { replies: vec![vec![], vec![damaged]], resident_kib: 1 },
            Report::Done { replies: vec![], resident_kib: u64::MAX },
        ];
        let mut bytes = Vec::new();
        reports.iter().for_each(|report| write_report(&mut bytes, report).unwrap());
        let (mut incoming, mut read) = (Incoming::default(), Vec::new());
        for byte in bytes {
            incoming.push(&[byte]);
            read.extend(incoming.next().unwrap());
        }
        assert_eq!(read, reports);
    }

    #[test]
    fn a_time_that_no_stream_has_is_refused() {
        let pid = Pid::from_bits(256);
        let stats = key(1, LIVE, Some(1.0));
        let far = Duration::MAX;
        let replies = [
            Reply::Damaged { pid, media_time: far },
            Reply::Survey(Survey { pid, pictures: vec![(far, stats.signature.clone())] }),
            Reply::Picture(PictureStats { turned: Some(far), ..stats.clone() }),
            Reply::Picture(PictureStats { media_time: far, ..stats }),
        ];
        for reply in replies {
            let (mut bytes, mut incoming) = (Vec::new(), Incoming::default());
            let report = Report::Done { replies: vec![vec![reply.clone()]], resident_kib: 1 };
            write_report(&mut bytes, &report).unwrap();
            incoming.push(&bytes);
            assert!(incoming.next().is_err(), "{reply:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_no_report_is_refused_without_harm(bytes: Vec<u8>) {
            let mut incoming = Incoming::default();
            incoming.push(&bytes);
            while let Ok(Some(_)) = incoming.next() {}
        }
    }
}
