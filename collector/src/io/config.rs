//! Reading of the configuration's files.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use tallylight_config::{Placed, Problems};

use super::tls::Tls;
use crate::{
    config::{LineupFile, Settings, lineup_path, parse_lineup, parse_settings},
    panel::Secrets,
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
    /// What the listeners speak TLS with.
    pub tls: Option<Tls>,
}

/// Why the configuration cannot be used: everything that is wrong with it.
#[derive(Debug)]
pub struct LoadError(Vec<Trouble>);

#[derive(Debug)]
enum Trouble {
    Read { path: PathBuf, why: String },
    Problems(Problems),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, trouble) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match trouble {
                Trouble::Read { path, why } => write!(f, "{}: {why}", path.display())?,
                Trouble::Problems(problems) => write!(f, "{problems}")?,
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
    let text =
        read(path).map_err(|why| LoadError(vec![Trouble::Read { path: path.into(), why }]))?;
    let name = path.display().to_string();
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut main = Main { name: &name, text: &text, folder, troubles: Vec::new() };
    let lineup = lineup_path(&name, &text).and_then(|file| {
        let text = main.file(&file, read)?;
        let name = folder.join(&file.value).display().to_string();
        let parsed = parse_lineup(&name, &text);
        parsed.map_err(|problems| main.troubles.push(Trouble::Problems(problems))).ok()
    });
    let settings = parse_settings(&name, &text, lineup.as_ref().map(|file| &file.lineup));
    let settings =
        settings.map_err(|problems| main.troubles.insert(0, Trouble::Problems(problems))).ok();
    let panel = settings.as_ref().and_then(|settings| settings.panel.as_ref());
    let secrets = panel.and_then(|panel| {
        main.file(&panel.secret_file, |path| {
            Secrets::parse(&read(path)?).map_err(|error| error.to_string())
        })
    });
    let tls = settings.as_ref().and_then(|settings| settings.tls.as_ref()).and_then(|files| {
        let certificates =
            main.file(&files.certificate_file, |path| Tls::certificates(&read(path)?));
        let key = main.file(&files.key_file, |path| Tls::key(&read(path)?));
        let (certificates, key) = certificates.zip(key)?;
        main.file(&files.key_file, |_| Tls::new(certificates, key))
    });
    match (settings, lineup) {
        (Some(settings), Some(lineup)) if main.troubles.is_empty() => {
            Ok(Loaded { settings: resolved(settings, folder), lineup, secrets, tls })
        }
        _ => Err(LoadError(main.troubles)),
    }
}

/// `collector.toml`, which names the other files.
struct Main<'a> {
    name: &'a str,
    text: &'a str,
    folder: &'a Path,
    troubles: Vec<Trouble>,
}

impl Main<'_> {
    /// Uses a file that is named here; what is wrong with it is a problem of the line that names it.
    fn file<T>(
        &mut self,
        file: &Placed<PathBuf>,
        use_it: impl FnOnce(&Path) -> Result<T, String>,
    ) -> Option<T> {
        let path = self.folder.join(&file.value);
        let note = |why: String| {
            let what = format!("{}: {why}", path.display());
            let problem = Problems::of(self.name, self.text, &file.place, what);
            self.troubles.push(Trouble::Problems(problem));
        };
        use_it(&path).map_err(note).ok()
    }
}

fn read(path: &Path) -> Result<String, String> {
    if std::fs::metadata(path).map_err(|error| error.to_string())?.len() > MAX_FILE {
        return Err(format!("larger than {MAX_FILE} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn resolved(mut settings: Settings, folder: &Path) -> Settings {
    settings.lineup = folder.join(settings.lineup);
    settings.journal = folder.join(settings.journal);
    settings.kill_switch = folder.join(settings.kill_switch);
    settings
}
