//! Where a probe tells what it finds: standard output for what was asked, standard error for how far it is.

use std::{
    env,
    io::{self, ErrorKind, IsTerminal as _, Write as _},
    time::Duration,
};

use crate::inspect::{Line, Report, Verdict, progress};

/// How what is told looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// JSON: the report alone, or one object a line where the probe follows the stream.
    Json,
}

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
        // Whoever cannot see it misses nothing.
        let _ = write!(io::stderr(), "\r{}\x1b[K", progress::line(done, of, so_far));
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
        let mut text = match self.form {
            Form::Text => line.to_string(),
            Form::Json => serde_json::to_string(line)? + "\n",
        };
        if let (Form::Text, Line::Report { report }) = (self.form, line) {
            text = coloured(text, report.verdict);
        }
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
            (false, Form::Text) => {
                let text = coloured(report.to_string(), report.verdict);
                io::stdout().lock().write_all(text.as_bytes())
            }
        };
        told.or_else(
            |error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) },
        )
    }
}

/// Paints the verdict where that is looked at, unless it is not wanted (no-color.org).
fn coloured(text: String, verdict: Verdict) -> String {
    let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if !wanted || !io::stdout().is_terminal() {
        return text;
    }
    let (word, colour) = match verdict {
        Verdict::Clean => ("CLEAN", 32),
        Verdict::Faulty => ("FAULTY", 31),
        Verdict::Unreadable => ("UNREADABLE", 33),
    };
    text.replacen(word, &format!("\x1b[1;{colour}m{word}\x1b[0m"), 1)
}
