//! Clips encoded by ffmpeg once and kept in the target directory, under a name that holds how they were made.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

/// One at a time: tests of one program ask for the same clips, and encoding takes every core anyway.
static ENCODING: Mutex<()> = Mutex::new(());

/// Runs ffmpeg with these arguments unless the same was done before, and returns a transport stream.
pub(crate) fn encode(arguments: &[&str]) -> Vec<u8> {
    let mut hasher = DefaultHasher::new();
    arguments.hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{:016x}.ts", hasher.finish()));
    let turn = ENCODING.lock();
    if !path.exists() {
        make(arguments, &path);
    }
    drop(turn);
    fs::read(&path).unwrap()
}

fn make(arguments: &[&str], path: &Path) {
    // Other test programs may be making the same clip: whole files appear at once, and the last one stays.
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
