//! Reads TOML so that every problem is reported at once, as `file:line:column: key: what is wrong, what is allowed`.
//!
//! Derived deserialisation stops at the first problem and forgets where a value stood, so that a rule between two values
//! ("this server does not exist") cannot point at the line. Here a [`Table`] hands out values by key, notes each problem in
//! its [`Document`] and goes on; [`Document::finish`] gives the result only if nothing was noted. Agent and collector share
//! this one reader, since neither may see the other.
//!
//! ```
//! use tallylight_config::{Document, value};
//! let text = "node = \"north-a\"\nwait = \"5 parsecs\"\n";
//! let document = Document::parse("agent.toml", text).unwrap();
//! let mut root = document.root();
//! let node = root.required("node", value::text);
//! let wait = root.optional("wait", value::duration);
//! root.finish();
//! let problems = document.finish(node.zip(wait)).unwrap_err();
//! assert_eq!(
//!     problems.to_string(),
//!     "agent.toml:2:9: wait: \"5 parsecs\" is not a duration; write a number and ms, s, min or h, as in \"5s\""
//! );
//! ```
#![forbid(unsafe_code)]

use std::{cell::RefCell, error::Error, fmt};

use toml_span::{Span, Value, value::ValueInner};

pub mod stream;
pub mod value;

/// Problems reported for one file; what is beyond is counted, not listed.
const MAX_PROBLEMS: usize = 100;

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The key with the tables it is in, as in `channel[0].source[1].url`; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what is allowed.
    pub what: String,
}

/// Everything that is wrong with one file, in the order of its lines. Shown one to a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: String,
    list: Vec<Problem>,
    more: usize,
}

impl Problems {
    /// Makes a problem of a value that was in order when it was read, such as the name of a file that is not there.
    #[must_use]
    pub fn of(file: &str, text: &str, place: &Place, what: impl Into<String>) -> Self {
        Self { file: file.into(), list: vec![place.problem(text, what)], more: 0 }
    }

    /// Returns the problems, first line first.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            let Problem { line, column, key, what } = problem;
            let newline = if index == 0 { "" } else { "\n" };
            let colon = if key.is_empty() { "" } else { ": " };
            write!(f, "{newline}{}:{line}:{column}: {key}{colon}{what}", self.file)?;
        }
        if self.more > 0 {
            write!(f, "\n{}: and {} more", self.file, self.more)?;
        }
        Ok(())
    }
}

impl Error for Problems {}

/// Where a value stands, to report a problem with it later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    offset: usize,
    key: String,
}

impl Place {
    fn problem(&self, text: &str, what: impl Into<String>) -> Problem {
        let (line, column) = line_and_column(text, self.offset);
        Problem { line, column, key: self.key.clone(), what: what.into() }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

/// A parsed file and the problems noted so far.
#[derive(Debug)]
pub struct Document<'t> {
    name: String,
    text: &'t str,
    root: Value<'t>,
    problems: RefCell<Vec<(usize, Problem)>>,
}

impl<'t> Document<'t> {
    /// Parses TOML. `name` is how messages call the file.
    ///
    /// # Errors
    /// The first place where the text is not TOML.
    pub fn parse(name: &str, text: &'t str) -> Result<Self, Problems> {
        match toml_span::parse(text) {
            Ok(root) => Ok(Self { name: name.into(), text, root, problems: RefCell::default() }),
            Err(error) => {
                let (line, column) = line_and_column(text, error.span.start);
                let what = format!("not TOML: {error}");
                let problem = Problem { line, column, key: String::new(), what };
                Err(Problems { file: name.into(), list: vec![problem], more: 0 })
            }
        }
    }

    /// Returns the file's top table.
    #[must_use]
    pub fn root(&self) -> Table<'_> {
        Table::new(self, &self.root, String::new())
    }

    /// Notes a problem with a value read before.
    pub fn problem(&self, place: &Place, what: impl Into<String>) {
        let problem = place.problem(self.text, what);
        self.problems.borrow_mut().push((place.offset, problem));
    }

    /// Gives the result if it is there and no problem was noted.
    ///
    /// # Errors
    /// All problems noted, in the order of the lines.
    pub fn finish<T>(self, result: Option<T>) -> Result<T, Problems> {
        let mut noted = self.problems.into_inner();
        if let (true, Some(result)) = (noted.is_empty(), result) {
            return Ok(result);
        }
        noted.sort_by_key(|(offset, _)| *offset);
        let more = noted.len().saturating_sub(MAX_PROBLEMS);
        let list = noted.into_iter().take(MAX_PROBLEMS).map(|(_, problem)| problem).collect();
        Err(Problems { file: self.name, list, more })
    }
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// A table whose keys are asked for one by one; [`finish`](Self::finish) reports those that nobody asked for.
#[derive(Debug)]
pub struct Table<'d> {
    document: &'d Document<'d>,
    value: Option<&'d toml_span::value::Table<'d>>,
    span: Span,
    path: String,
    asked: Vec<&'static str>,
}

impl<'d> Table<'d> {
    fn new(document: &'d Document<'_>, value: &'d Value<'_>, path: String) -> Self {
        let table =
            Self { document, value: value.as_table(), span: value.span, path, asked: Vec::new() };
        if table.value.is_none() {
            table.note(value.span, table.path.clone(), "is not a table".into());
        }
        table
    }

    /// Returns where the table stands.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { offset: self.span.start, key: self.path.clone() }
    }

    /// Reads a value that must be there; notes a problem if it is not or `read` refuses it.
    pub fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&ValueInner<'_>) -> Result<T, String>,
    ) -> Option<T> {
        self.required_placed(key, read).map(|placed| placed.value)
    }

    /// Reads a value that must be there, with its place.
    pub fn required_placed<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&ValueInner<'_>) -> Result<T, String>,
    ) -> Option<Placed<T>> {
        if self.find(key).is_none() {
            self.asked.push(key);
            if self.value.is_some() {
                self.note(self.span, self.key_path(key), "is missing".into());
            }
            return None;
        }
        self.optional_placed(key, read)
    }

    /// Reads a value that may be absent; notes a problem if `read` refuses it.
    pub fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&ValueInner<'_>) -> Result<T, String>,
    ) -> Option<T> {
        self.optional_placed(key, read).map(|placed| placed.value)
    }

    /// Reads a value that may be absent, with its place.
    pub fn optional_placed<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&ValueInner<'_>) -> Result<T, String>,
    ) -> Option<Placed<T>> {
        self.asked.push(key);
        let found = self.find(key)?;
        match read(found.as_ref()) {
            Ok(value) => {
                let place = Place { offset: found.span.start, key: self.key_path(key) };
                Some(Placed { value, place })
            }
            Err(what) => {
                self.note(found.span, self.key_path(key), what);
                None
            }
        }
    }

    /// Opens a table within this one, if it is there.
    pub fn table(&mut self, key: &'static str) -> Option<Table<'d>> {
        self.asked.push(key);
        let found = self.find(key)?;
        Some(Table::new(self.document, found, self.key_path(key)))
    }

    /// Opens each table of an array of tables; none if the key is absent.
    pub fn tables(&mut self, key: &'static str) -> Vec<Table<'d>> {
        self.asked.push(key);
        let Some(found) = self.find(key) else { return Vec::new() };
        let path = self.key_path(key);
        let Some(array) = found.as_array() else {
            self.note(found.span, path.clone(), format!("is not an array of tables: [[{path}]]"));
            return Vec::new();
        };
        let open = |(index, value)| Table::new(self.document, value, format!("{path}[{index}]"));
        array.iter().enumerate().map(open).collect()
    }

    /// Reads every key of a table whose keys are names that the user chose, with their places.
    pub fn entries<T>(
        mut self,
        mut read: impl FnMut(&str, &ValueInner<'_>) -> Result<T, String>,
    ) -> Vec<Placed<(String, T)>> {
        let mut entries = Vec::new();
        for (key, found) in self.value.take().into_iter().flatten() {
            let path = self.key_path(&key.name);
            match read(&key.name, found.as_ref()) {
                Ok(value) => entries.push(Placed {
                    value: (key.name.to_string(), value),
                    place: Place { offset: found.span.start, key: path },
                }),
                Err(what) => self.note(found.span, path, what),
            }
        }
        entries
    }

    /// Opens each table of a table whose keys are names that the user chose, with the names' places.
    #[must_use]
    pub fn named_tables(self) -> Vec<(Placed<String>, Table<'d>)> {
        let found = self.value.into_iter().flatten();
        found
            .map(|(key, found)| {
                let path = self.key_path(&key.name);
                let place = Place { offset: key.span.start, key: path.clone() };
                let name = Placed { value: key.name.to_string(), place };
                (name, Table::new(self.document, found, path))
            })
            .collect()
    }

    /// Notes every key that was not asked for.
    pub fn finish(self) {
        for key in self.value.into_iter().flat_map(|table| table.keys()) {
            if !self.asked.contains(&key.name.as_ref()) {
                let allowed = self.asked.join(", ");
                let what = format!("unknown key; allowed are {allowed}");
                self.note(key.span, self.key_path(&key.name), what);
            }
        }
    }

    fn find(&self, key: &str) -> Option<&'d Value<'d>> {
        self.value?.get(key)
    }

    fn key_path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn note(&self, span: Span, key: String, what: String) {
        self.document.problem(&Place { offset: span.start, key }, what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        let document = match Document::parse("x.toml", text) {
            Ok(document) => document,
            Err(problems) => return problems.to_string(),
        };
        let mut root = document.root();
        let name = root.required("name", value::text);
        root.optional("wait", value::duration);
        for mut server in root.tables("server") {
            server.required("id", value::text);
            server.finish();
        }
        if let Some(mut listen) = root.table("listen") {
            listen.optional("api", value::socket_address);
            listen.finish();
        }
        root.finish();
        match document.finish(name) {
            Ok(name) => format!("ok {name}"),
            Err(problems) => problems.to_string(),
        }
    }

    #[test]
    fn every_problem_is_reported_with_its_place() {
        let cases = [
            ("name = 'a'", "ok a"),
            ("", "x.toml:1:1: name: is missing"),
            (
                "name = 1\nwait = 's'",
                "x.toml:1:8: name: is an integer; write a string\nx.toml:2:9: wait: \"s\" is not a duration; write a number and ms, s, min or h, as in \"5s\"",
            ),
            (
                "name = 'a'\nwiat = '5s'",
                "x.toml:2:1: wiat: unknown key; allowed are name, wait, server, listen",
            ),
            (
                "name = 'a'\n[[server]]\n[[server]]\nid = 'b'\nport = 1",
                "x.toml:2:1: server[0].id: is missing\nx.toml:5:1: server[1].port: unknown key; allowed are id",
            ),
            (
                "name = 'a'\nserver = 3",
                "x.toml:2:10: server: is not an array of tables: [[server]]",
            ),
            ("name = 'a'\nlisten = 3", "x.toml:2:10: listen: is not a table"),
        ];
        for (text, expected) in cases {
            assert_eq!(problems(text), expected, "for {text:?}");
        }
    }

    #[test]
    fn text_that_is_not_toml_names_the_place_and_what_stands_there() {
        for (text, expected) in [
            ("name = 'a'\nwait = = 2\n", "x.toml:2:8: not TOML: expected a value, found an equals"),
            ("name = \"a\n", "x.toml:1:10: not TOML: invalid character in string: `\\n`"),
            (
                "name = a\n",
                "x.toml:1:8: not TOML: invalid TOML value, did you mean to use a quoted string?",
            ),
        ] {
            assert_eq!(problems(text), expected);
        }
    }

    #[test]
    fn a_flood_of_problems_is_counted_not_listed() {
        let text: String = (0..150).map(|n| format!("k{n} = 1\n")).collect();
        let shown = problems(&text);
        assert_eq!(shown.lines().count(), MAX_PROBLEMS + 1);
        assert!(shown.ends_with("x.toml: and 51 more"), "{shown}");
    }
}
