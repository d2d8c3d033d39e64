//! Configuration: `collector.toml` and the lineup, read whole and checked before anything starts.
//!
//! Everything here is a function of the text; `io` reads the files. `check` and `run` go the same way.

mod hours;
mod lineup;
mod scheduled;
mod settings;

pub use hours::Hours;
pub use lineup::{LineupFile, StreamExtra, parse_lineup};
pub use scheduled::Scheduled;
pub use settings::{Listen, PanelSettings, Settings, TlsSettings, lineup_path, parse_settings};
