//! Where a probe tells what it finds: standard output for what was asked, standard error for how far it is.

use std::{
    env,
    io::{self, ErrorKind, IsTerminal as _, Write as _},
    ops::RangeInclusive,
    time::Duration,
};

use rustix::{fd::AsFd, termios::tcgetwinsize};

use crate::inspect::{self, Line, Report, Verdict, progress};

/// How what is told looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// JSON: the report alone, or one object a line where the probe follows the stream.
    Json,
}

/// A report is written for so many columns at least and at most.
const COLUMNS: RangeInclusive<usize> = 72..=inspect::WIDTH;

/// The standard streams.
#[derive(Debug)]
pub struct Terminal {
    form: Form,
    follows: bool,
    /// How far it is stands on standard error.
    drawn: bool,
}

impl Terminal {
    /// Tells the report alone.
    #[must_use]
    pub const fn new(form: Form) -> Self {
        Self { form, follows: false, drawn: false }
    }

    /// Tells lines as well.
    #[must_use]
    pub const fn following(self) -> Self {
        Self { follows: true, ..self }
    }

    /// Whether anybody looks at how far it is.
    pub(super) fn shows_progress(&self) -> bool {
        !self.follows && io::stderr().is_terminal()
    }

    /// Tells how far it is.
    pub(super) fn progress(&mut self, done: u64, of: Option<u64>, so_far: Duration) {
        self.drawn = true;
        let mut line = progress::line(done, of, so_far);
        // A line that is broken is not drawn over.
        line.truncate(columns_of(io::stderr()).map_or(line.len(), |columns| columns - 1));
        // Whoever cannot see it misses nothing.
        let _ = write!(io::stderr(), "\r{line}\x1b[K");
    }

    /// Whether lines are told.
    pub(super) const fn follows(&self) -> bool {
        self.follows
    }

    /// Tells a line, if the probe follows the stream.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub(super) fn line(&self, line: &Line<'_>) -> io::Result<()> {
        if !self.follows {
            return Ok(());
        }
        let text = match (self.form, line) {
            (Form::Text, Line::Report { report }) => format!("\n{}", for_people(report)),
            (Form::Text, line) => line.to_string(),
            (Form::Json, line) => serde_json::to_string(line)? + "\n",
        };
        io::stdout().lock().write_all(text.as_bytes())
    }

    /// Tells the report.
    ///
    /// # Errors
    /// It cannot be written. A reader that has seen enough is no error.
    pub fn report(&mut self, report: &Report) -> io::Result<()> {
        if self.drawn {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        let told = match (self.follows, self.form) {
            (true, _) => self.line(&Line::Report { report }),
            (false, Form::Json) => {
                let text = serde_json::to_string_pretty(report)? + "\n";
                io::stdout().lock().write_all(text.as_bytes())
            }
            (false, Form::Text) => io::stdout().lock().write_all(for_people(report).as_bytes()),
        };
        told.or_else(
            |error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) },
        )
    }
}

/// How many columns a terminal has; `None` for what is none, or does not say.
fn columns_of(stream: impl AsFd) -> Option<usize> {
    let columns = usize::from(tcgetwinsize(stream).ok()?.ws_col);
    (columns > 0).then_some(columns)
}

/// The report as wide as the terminal, with the verdict painted where that is looked at, unless it is not wanted (no-color.org).
fn for_people(report: &Report) -> String {
    let (least, most) = COLUMNS.into_inner();
    let columns = columns_of(io::stdout()).map_or(most, |columns| columns.clamp(least, most));
    let text = format!("{report:columns$}");
    let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if !wanted || !io::stdout().is_terminal() {
        return text;
    }
    let (word, colour) = match report.verdict {
        Verdict::Clean => ("CLEAN", 32),
        Verdict::Faulty => ("FAULTY", 31),
        Verdict::Unreadable => ("UNREADABLE", 33),
    };
    text.replacen(word, &format!("\x1b[1;{colour}m{word}\x1b[0m"), 1)
}
