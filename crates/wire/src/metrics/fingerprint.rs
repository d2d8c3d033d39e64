use core::time::Duration;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use tallylight_model::{CodedFrame, Fingerprint};

use super::{CODED, SOUND};
use crate::{
    WireError,
    attribute::{self, Attributes},
};

/// Bytes of a coded frame.
const FRAME: usize = 6;

/// Adds the attributes of a fingerprint; none for what is empty.
pub(super) fn encode(fingerprint: &Fingerprint, attributes: &mut Vec<KeyValue>) {
    let Fingerprint { sound, coded } = fingerprint;
    if sound.iter().any(|&level| level > 0) {
        let levels = sound.iter().take(Fingerprint::TENTHS).copied().collect();
        attributes.push(attribute::bytes(SOUND, levels));
    }
    if !coded.is_empty() {
        let frames = coded.iter().take(Fingerprint::FRAMES);
        attributes.push(attribute::bytes(CODED, frames.flat_map(to_bytes).collect()));
    }
}

/// Reads them again.
///
/// # Errors
/// There are more than a slice has, or a frame is not whole.
pub(super) fn decode(attributes: Attributes<'_>) -> Result<Fingerprint, WireError> {
    let sound = attributes.bytes(SOUND)?;
    if sound.len() > Fingerprint::TENTHS {
        return Err(WireError::Wrong { field: SOUND, expected: "at most 10 bytes" });
    }
    let (frames, rest) = attributes.bytes(CODED)?.as_chunks::<FRAME>();
    if frames.len() > Fingerprint::FRAMES || !rest.is_empty() {
        return Err(WireError::Wrong { field: CODED, expected: "at most 4 frames of 6 bytes" });
    }
    Ok(Fingerprint { sound: sound.to_vec(), coded: frames.iter().map(from_bytes).collect() })
}

fn to_bytes(frame: &CodedFrame) -> [u8; FRAME] {
    let [a, b, c, d] = frame.hash.to_le_bytes();
    let [low, high] = u16::try_from(frame.after.as_millis()).unwrap_or(u16::MAX).to_le_bytes();
    [a, b, c, d, low, high]
}

fn from_bytes(&[a, b, c, d, low, high]: &[u8; FRAME]) -> CodedFrame {
    let after = Duration::from_millis(u64::from(u16::from_le_bytes([low, high])));
    CodedFrame { hash: u32::from_le_bytes([a, b, c, d]), after }
}
