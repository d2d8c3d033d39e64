//! What is to be said of the processes that decode.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a worker failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkerFailure {
    /// It could not be started.
    NotStarted,
    /// It ended, by this signal if by one.
    Died(Option<i32>),
    /// It did not come back from its work.
    Hung,
    /// It took too much memory.
    Memory,
    /// It said what makes no sense.
    Nonsense,
}

impl WorkerFailure {
    /// All reasons, as the label `reason` names them.
    pub const NAMES: [&'static str; 5] = ["not_started", "died", "hung", "memory", "nonsense"];

    /// The label's value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::Died(_) => "died",
            Self::Hung => "hung",
            Self::Memory => "memory",
            Self::Nonsense => "nonsense",
        }
    }
}

impl fmt::Display for WorkerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted => f.write_str("could not be started"),
            Self::Died(Some(signal)) => write!(f, "crashed (signal {signal})"),
            Self::Died(None) => f.write_str("ended"),
            Self::Hung => f.write_str("did not come back"),
            Self::Memory => f.write_str("took too much memory"),
            Self::Nonsense => f.write_str("gave an answer that makes no sense"),
        }
    }
}

/// What a worker found that it is kept from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// It tried to open a file, and could not.
    pub files: bool,
    /// It tried to open a socket, and could not.
    pub network: bool,
    /// The kernel filters its system calls.
    pub seccomp: bool,
    /// The kernel keeps files from it by Landlock.
    pub landlock: bool,
}

impl Confinement {
    /// Each by its name.
    #[must_use]
    pub const fn each(self) -> [(&'static str, bool); 4] {
        [
            ("files", self.files),
            ("network", self.network),
            ("seccomp", self.seccomp),
            ("landlock", self.landlock),
        ]
    }
}
