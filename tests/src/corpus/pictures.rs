//! Pictures of examples, for the documents.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::run;

/// Clips, and which of their pictures to show.
const EXAMPLES: [(&str, u32); 12] = [
    ("bars-hd", 350),
    ("black-logo", 350),
    ("blank-blue", 350),
    ("partial-freeze", 350),
    ("slate-failure", 350),
    ("trap-clock", 200),
    ("trap-credits", 300),
    ("trap-dark-logo", 250),
    ("trap-letterbox", 250),
    ("trap-short-slate", 260),
    ("trap-small-object", 200),
    ("trap-ticker", 250),
];

/// Makes the clips of a seed for a while and writes one JPEG of each, 320 pixels wide.
pub(super) fn make(
    folder: &Path,
    seed: u64,
    told: impl Fn(usize, usize, &str) + Sync,
) -> Result<usize> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let clips = tempfile::tempdir().context("cannot make a folder for clips")?;
    let names: Vec<String> = EXAMPLES.iter().map(|(name, _)| (*name).to_owned()).collect();
    super::make(clips.path(), seed, None, &names, told)?;
    for (name, picture) in EXAMPLES {
        let clip = clips.path().join(format!("{name}.ts"));
        let filter = format!("select=eq(n\\,{picture}),scale=320:-2");
        let arguments = ["-i".as_ref(), clip.as_os_str(), "-vf".as_ref(), filter.as_ref()];
        let coding = "-frames:v 1 -update 1 -q:v 5 -c:v mjpeg -f image2";
        run::make(&arguments, coding, &folder.join(format!("{name}.jpg")))?;
    }
    Ok(EXAMPLES.len())
}
