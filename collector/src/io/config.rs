//! Reading of the configuration's files.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use tallylight_config::Problems;

use crate::{
    config::{LineupFile, Settings, lineup_path, parse_lineup, parse_settings},
    panel::{BadSecret, Secrets},
};

/// A configuration file larger than this is not one.
const MAX_FILE: u64 = 16 << 20;

/// The configuration, whole and checked.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// `collector.toml`, its paths resolved against its folder.
    pub settings: Settings,
    /// The lineup.
    pub lineup: LineupFile,
    /// What signs requests to the panel.
    pub secrets: Option<Secrets>,
}

/// Why the configuration cannot be used: everything that is wrong with it.
#[derive(Debug)]
pub struct LoadError(Vec<Trouble>);

#[derive(Debug)]
enum Trouble {
    Read { path: PathBuf, source: std::io::Error },
    Large { path: PathBuf },
    Problems(Problems),
    Secret { path: PathBuf, source: BadSecret },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, trouble) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match trouble {
                Trouble::Read { path, source } => write!(f, "{}: {source}", path.display())?,
                Trouble::Large { path } => {
                    write!(f, "{}: larger than {MAX_FILE} bytes", path.display())?;
                }
                Trouble::Problems(problems) => write!(f, "{problems}")?,
                Trouble::Secret { path, source } => write!(f, "{}: {source}", path.display())?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

/// Reads and checks everything that a start needs.
///
/// # Errors
/// All problems of all files.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let mut troubles = Vec::new();
    let folder = path.parent().unwrap_or(Path::new(""));
    let text = read(path).map_err(|trouble| LoadError(vec![trouble]))?;
    let name = path.display().to_string();
    let lineup = lineup_path(&name, &text).and_then(|file| {
        let file = folder.join(file);
        let parsed = read(&file).and_then(|text| {
            parse_lineup(&file.display().to_string(), &text).map_err(Trouble::Problems)
        });
        parsed.map_err(|trouble| troubles.push(trouble)).ok()
    });
    let settings = parse_settings(&name, &text, lineup.as_ref().map(|file| &file.lineup));
    let settings =
        settings.map_err(|problems| troubles.insert(0, Trouble::Problems(problems))).ok();
    let settings = settings.map(|settings| resolved(settings, folder));
    let panel = settings.as_ref().and_then(|settings| settings.panel.as_ref());
    let secrets = panel.and_then(|panel| {
        let path = &panel.secret_file;
        let parsed = read(path).and_then(|text| {
            Secrets::parse(&text).map_err(|source| Trouble::Secret { path: path.clone(), source })
        });
        parsed.map_err(|trouble| troubles.push(trouble)).ok()
    });
    match (settings, lineup) {
        (Some(settings), Some(lineup)) if troubles.is_empty() => {
            Ok(Loaded { settings, lineup, secrets })
        }
        _ => Err(LoadError(troubles)),
    }
}

fn read(path: &Path) -> Result<String, Trouble> {
    let trouble = |source| Trouble::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(trouble)?.len() > MAX_FILE {
        return Err(Trouble::Large { path: path.to_owned() });
    }
    std::fs::read_to_string(path).map_err(trouble)
}

fn resolved(mut settings: Settings, folder: &Path) -> Settings {
    settings.lineup = folder.join(settings.lineup);
    settings.journal = folder.join(settings.journal);
    settings.kill_switch = folder.join(settings.kill_switch);
    if let Some(panel) = &mut settings.panel {
        panel.secret_file = folder.join(&panel.secret_file);
    }
    settings
}
