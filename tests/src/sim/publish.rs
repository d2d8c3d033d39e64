//! Writes measured tables into the documents, between their markers.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::table::Table;

const BEGIN: &str = "<!-- measured: begin -->\n";
const END: &str = "<!-- measured: end -->";

/// Writes both documents.
///
/// # Errors
/// A document is not there, or has no markers.
pub(super) fn publish(docs: &Path, table: &Table, how: &str) -> Result<()> {
    for (name, table) in [("localisation.md", table.names()), ("remedies.md", table.deeds())] {
        let path = docs.join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        let text = between(&text, &format!("{how}\n\n{table}"));
        let text = text.with_context(|| format!("{} has no place for tables", path.display()))?;
        fs::write(&path, text).with_context(|| format!("{}", path.display()))?;
    }
    Ok(())
}

/// A text with something else between its markers.
fn between(text: &str, new: &str) -> Option<String> {
    let begin = text.find(BEGIN)? + BEGIN.len();
    let end = begin + text[begin..].find(END)?;
    Some(format!("{}{new}{}", &text[..begin], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_is_written_anew() {
        let text = format!("a\n{BEGIN}old\n{END}\nb\n");
        assert_eq!(between(&text, "new\n"), Some(format!("a\n{BEGIN}new\n{END}\nb\n")));
        assert_eq!(between("a\n", "new\n"), None);
    }
}
