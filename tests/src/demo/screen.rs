//! What the person at the terminal is told: lines that stay, and on a terminal one that tells what is being waited for.

use std::{
    cell::RefCell,
    io::{IsTerminal as _, Write as _, stdout},
    time::Instant,
};

/// The terminal, or whatever takes its place. Colours and the passing line are for terminals alone.
#[derive(Debug)]
pub struct Screen {
    started: Instant,
    terminal: bool,
    colours: bool,
    /// The passing line that stands on the terminal; empty for none.
    passing: RefCell<String>,
}

impl Default for Screen {
    fn default() -> Self {
        let terminal = stdout().is_terminal();
        // https://no-color.org
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
        Self { started: Instant::now(), terminal, colours, passing: RefCell::default() }
    }
}

impl Screen {
    /// Tells something that stays, with the time since the start.
    pub fn say(&self, kind: &str, text: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.print(&format!("{seconds:7.1} s  {}  {text}", self.coloured(kind, 8)));
    }

    /// Prints text as it is.
    #[expect(clippy::print_stdout, reason = "this is what a screen is for")]
    pub fn print(&self, text: &str) {
        self.clear();
        println!("{text}");
    }

    /// Tells what is going on until something else is told; nothing where there is no terminal.
    pub fn pass(&self, text: &str) {
        let Some(width) = self.width() else { return };
        let seconds = self.started.elapsed().as_secs();
        let line = format!("{seconds:7} s    ...       {text}");
        let line: String = line.chars().take(width.max(2) - 1).collect();
        if *self.passing.borrow() != line {
            self.clear();
            self.write(&line);
            self.passing.replace(line);
        }
    }

    /// How many characters a line of the terminal takes; `None` where there is none.
    #[must_use]
    pub fn width(&self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(stdout()).ok().filter(|_| self.terminal)?;
        Some(usize::from(size.ws_col)).filter(|width| *width > 0)
    }

    fn clear(&self) {
        if !self.passing.take().is_empty() {
            self.write("\r\x1b[K");
        }
    }

    fn write(&self, text: &str) {
        let mut out = stdout().lock();
        // A terminal that is gone is no reason to leave the world half mended.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// A word in its colour, padded to a width.
    fn coloured(&self, word: &str, width: usize) -> String {
        let code = match word {
            "right" | "good" => "32",
            "WRONG" => "1;31",
            "row" => "1",
            "break" | "page" => "33",
            "wait" | "start" => "2",
            _ => "0",
        };
        if self.colours && code != "0" {
            format!("\x1b[{code}m{word:<width$}\x1b[0m")
        } else {
            format!("{word:<width$}")
        }
    }
}
