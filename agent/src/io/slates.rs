//! Reads the folder of reference images of known slates.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tallylight_av::{Image, ImageError, Limits};

use crate::picture::{Meaning, SlateError, Slates};

/// Files looked at in a folder.
const MAX_FILES: usize = 1_000;
/// Bytes of a file.
const MAX_BYTES: u64 = 16 << 20;

/// Why a folder of slates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SlatesError {
    /// It cannot be listed.
    #[error("cannot read the folder {}", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// It holds too much.
    #[error("the folder {} holds over {MAX_FILES} files", .0.display())]
    TooMany(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// A file is too large.
    #[error("{} is over 16 MiB", .0.display())]
    Large(PathBuf),
    /// A file's name does not say what the slate means.
    #[error("{}: its name does not begin with what it means: failure, blackout, ad_fill or off_air, then - or .", .0.display())]
    Name(PathBuf),
    /// A file is no image that is read.
    #[error("{} is not read", .0.display())]
    Image(PathBuf, #[source] ImageError),
    /// An image is no reference.
    #[error("{} is no reference", .0.display())]
    Slate(PathBuf, #[source] SlateError),
}

/// Reads all of a folder, whose files are named for what they mean: `failure-1.png`. Hidden files and folders are passed over.
///
/// # Errors
/// The folder, or anything in it, is not as it must be.
pub fn read(folder: &Path) -> Result<Slates, SlatesError> {
    let listed = |error| SlatesError::Folder(folder.to_owned(), error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(listed)? {
        let entry = entry.map_err(listed)?;
        let name = entry.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if hidden || entry.file_type().map_err(listed)?.is_dir() {
            continue;
        }
        if names.len() >= MAX_FILES {
            return Err(SlatesError::TooMany(folder.to_owned()));
        }
        names.push(name);
    }
    names.sort();
    let mut slates = Slates::default();
    for name in names {
        let path = folder.join(&name);
        let name = name.to_string_lossy();
        let Some(meaning) = Meaning::of_file(&name) else { return Err(SlatesError::Name(path)) };
        let failed = |error| SlatesError::File(path.clone(), error);
        if fs::metadata(&path).map_err(failed)?.len() > MAX_BYTES {
            return Err(SlatesError::Large(path));
        }
        let data = fs::read(&path).map_err(failed)?;
        let image = Image::read(&data, Limits::default())
            .map_err(|error| SlatesError::Image(path.clone(), error))?;
        slates.learn(&name, meaning, &image).map_err(|error| SlatesError::Slate(path, error))?;
    }
    Ok(slates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn what_is_wrong_with_a_folder_is_said_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap().is_empty());
        fs::write(folder.path().join(".hidden"), "x").unwrap();
        assert!(read(folder.path()).unwrap().is_empty());
        for (name, what, why) in [
            ("logo.png", "does not begin with what it means", None),
            ("failure-1.png", "is not read", Some("neither a PNG nor a JPEG")),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, "GIF89a").unwrap();
            let error = read(folder.path()).unwrap_err();
            assert!(
                error.to_string().contains(what) && error.to_string().contains(name),
                "{error}"
            );
            let source = error.source().map(ToString::to_string);
            assert_eq!(source.is_some(), why.is_some());
            assert!(source.is_none_or(|it| why.is_some_and(|why| it.contains(why))));
            fs::remove_file(path).unwrap();
        }
        assert!(read(&folder.path().join("gone")).is_err());
    }
}
