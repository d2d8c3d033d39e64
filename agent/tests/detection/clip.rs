//! Encoded clips with planted faults, made by ffmpeg once and kept in the target directory under a name that holds what they are.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

/// Runs ffmpeg with these arguments (`-y` and the output aside) unless the same was done before, and returns a transport stream.
pub(crate) fn encode(arguments: &[&str]) -> Vec<u8> {
    let mut hasher = DefaultHasher::new();
    arguments.hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{:016x}.ts", hasher.finish()));
    if !path.exists() {
        make(arguments, &path);
    }
    fs::read(&path).unwrap()
}

fn make(arguments: &[&str], path: &Path) {
    let part = PathBuf::from(format!("{}.{}.part", path.display(), std::process::id()));
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-threads", "2", "-filter_threads", "1"])
        .args(arguments)
        .args(["-f", "mpegts", "-y"])
        .arg(&part)
        .output()
        .expect("ffmpeg is installed");
    assert!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    fs::rename(&part, path).unwrap();
}
