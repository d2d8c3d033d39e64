//! Reference images of known slates, as an operator would keep them.

use std::{fs, path::Path};

use anyhow::Result;

use super::run;

/// Where they are within the corpus' folder.
pub(super) const FOLDER: &str = "slates";

const SLATES: [(&str, &str, &str); 4] = [
    ("failure", "0x7A1E1E", "We are sorry for this interruption"),
    ("ad_fill", "0x1E4A7A", "We will be right back"),
    ("blackout", "0x2A2A33", "Not available in your region"),
    ("off_air", "0x1E5A34", "Good night. We are back at 6"),
];

/// The image of a meaning, from the corpus' folder on.
pub(super) fn file(meaning: &str) -> String {
    format!("{FOLDER}/{meaning}-1.png")
}

/// Draws them, larger than any clip shows them.
pub(super) fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder.join(FOLDER))?;
    for (meaning, colour, text) in SLATES {
        let graph = format!(
            "gradients=s=1280x720:c0={colour}:c1=0x101018:n=2:x0=0:y0=0:x1=1279:y1=719:speed=0.00001:d=1,\
             drawbox=x=160:y=200:w=960:h=12:color=white:t=fill,\
             drawtext=text='{text}':fontcolor=white:fontsize=56:x=(w-tw)/2:y=320,\
             drawbox=x=1040:y=560:w=120:h=80:color=orange:t=fill,trim=end_frame=1"
        );
        let arguments = ["-f", "lavfi", "-i", &graph];
        run::make(&arguments, "-frames:v 1 -update 1 -f image2", &folder.join(file(meaning)))?;
    }
    Ok(())
}
