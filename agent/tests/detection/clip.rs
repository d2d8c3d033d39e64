//! Encoded clips with planted faults, made by ffmpeg once and kept in the target directory under a name that holds what they are.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

/// Runs ffmpeg with these arguments (`-y` and the output aside) unless the same was done before, and returns the bytes.
pub(crate) fn encode(arguments: &[&str], extension: &str) -> Vec<u8> {
    let mut hasher = DefaultHasher::new();
    arguments.hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{:016x}.{extension}", hasher.finish()));
    if !path.exists() {
        make(arguments, &path);
    }
    fs::read(&path).unwrap()
}

fn make(arguments: &[&str], path: &Path) {
    let part = PathBuf::from(format!("{}.{}.part", path.display(), std::process::id()));
    let format = match path.extension().and_then(|e| e.to_str()).unwrap() {
        "m2v" => "mpeg2video",
        "aac" => "adts",
        other => other,
    };
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-threads", "2", "-filter_threads", "1"])
        .args(arguments)
        .args(["-f", format, "-y"])
        .arg(&part)
        .output()
        .expect("ffmpeg is installed");
    assert!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    fs::rename(&part, path).unwrap();
}

/// An access unit of an elementary stream.
pub(crate) struct Unit {
    pub(crate) key: bool,
    /// Without filler.
    pub(crate) size: usize,
    pub(crate) data: Vec<u8>,
}

/// Cuts a byte stream with access unit delimiters (H.264 NAL type 9, HEVC 35) or of MPEG-2 pictures.
pub(crate) fn split(data: &[u8], extension: &str) -> Vec<Unit> {
    let starts: Vec<usize> = (0..data.len().saturating_sub(3))
        .filter(|&at| data[at] == 0 && data[at + 1] == 0 && data[at + 2] == 1)
        .collect();
    let mut units: Vec<Unit> = Vec::new();
    let mut closed = true;
    for (index, &start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(data.len());
        let piece = &data[start..end];
        let code = piece[3];
        let (begins, key, filler) = match extension {
            "h264" => (code & 31 == 9, code & 31 == 5, code & 31 == 12),
            "hevc" => {
                let kind = code >> 1 & 63;
                (kind == 35, (16..=21).contains(&kind), kind == 38)
            }
            "m2v" => {
                let begins = closed && matches!(code, 0x00 | 0xb3 | 0xb8);
                // A picture's type stands behind its ten bits of temporal reference.
                let key = code == 0 && piece.get(5).is_some_and(|byte| byte >> 3 & 7 == 1);
                closed = if begins { false } else { closed || (1..=0xaf).contains(&code) };
                (begins, key, false)
            }
            other => panic!("no splitter for {other}"),
        };
        if begins || units.is_empty() {
            units.push(Unit { key: false, size: 0, data: Vec::new() });
        }
        let unit = units.last_mut().unwrap();
        unit.key |= key;
        unit.data.extend_from_slice(piece);
        if !filler {
            let stuffing = piece.iter().rev().take_while(|byte| **byte == 0).count();
            unit.size += piece.len() - stuffing;
        }
    }
    units
}

/// Cuts audio frames at their sync words. The encoders used here never produce one within a frame at a wrong distance: constant
/// frame sizes (MPEG, AC-3, E-AC-3) are checked, ADTS states its own.
pub(crate) fn split_audio(mut data: &[u8], extension: &str) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let constant = match extension {
        // 192 kb/s at 48 kHz: 1152 and 1536 samples.
        "mp2" | "mp3" => 576,
        "ac3" | "eac3" => 768,
        _ => 0,
    };
    while data.len() > 7 {
        let length = if constant > 0 {
            constant
        } else {
            usize::from(data[3] & 3) << 11 | usize::from(data[4]) << 3 | usize::from(data[5] >> 5)
        };
        let (frame, rest) = data.split_at(length.min(data.len()));
        let sync = if extension.ends_with("ac3") { [0x0b, 0x77] } else { [0xff, frame[1]] };
        assert_eq!(frame[..2], sync, "{extension}: lost after {} frames", frames.len());
        frames.push(frame.to_vec());
        data = rest;
    }
    frames
}
