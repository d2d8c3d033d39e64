//! Text tables for the terminal.

/// Lays rows out under a header, each column as wide as its widest cell. Cells beginning with a digit stand right.
#[must_use]
pub fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = line(&widths, header);
    out.push_str(&line(&widths, widths.iter().map(|width| "-".repeat(*width))));
    for row in rows {
        out.push_str(&line(&widths, row));
    }
    out
}

fn line<S: AsRef<str>>(widths: &[usize], cells: impl IntoIterator<Item = S>) -> String {
    let mut out = String::from("|");
    for (width, cell) in widths.iter().zip(cells) {
        let cell = cell.as_ref();
        let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
        let right = cell.starts_with(|c: char| c.is_ascii_digit());
        out.push_str(&if right { format!(" {pad}{cell} |") } else { format!(" {cell}{pad} |") });
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["black".into(), "5120".into()], vec!["a fade".into(), "-".into()]];
        let expected = "\
            | row    |   ms |\n\
            | ------ | ---- |\n\
            | black  | 5120 |\n\
            | a fade | -    |\n";
        assert_eq!(render(&["row", "  ms"], &rows), expected);
    }
}
