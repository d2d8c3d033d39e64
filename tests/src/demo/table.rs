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

/// The same for a terminal of a width: what does not fit stands row by row, each cell behind its column's name.
#[must_use]
pub fn fitted(header: &[&str], rows: &[Vec<String>], width: Option<usize>) -> String {
    let table = render(header, rows);
    let wide = table.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    match width {
        Some(width) if wide > width => rows.iter().map(|row| block(header, row, width)).collect(),
        _ => table,
    }
}

fn block(header: &[&str], row: &[String], width: usize) -> String {
    let mut out = row.first().cloned().unwrap_or_default();
    let mut room = 0;
    for (name, cell) in header.iter().zip(row).skip(1) {
        let cell = format!("{name} {cell}");
        let length = cell.trim().chars().count() + 2;
        if length > room {
            out.push_str("\n   ");
            room = width.saturating_sub(3);
        }
        out.push(' ');
        out.push_str(cell.trim());
        out.push(',');
        room = room.saturating_sub(length);
    }
    out.truncate(out.trim_end_matches(',').len());
    out.push('\n');
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
        assert_eq!(fitted(&["row", "  ms"], &rows, Some(17)), expected);
    }

    #[test]
    fn what_is_wider_than_the_terminal_stands_row_by_row() {
        let header = ["broken", "detected", "cause", ""];
        let rows = [["black", "5120", "source one", "right"].map(str::to_owned).to_vec()];
        let expected = "black\n    detected 5120,\n    cause source one,\n    right\n";
        assert_eq!(fitted(&header, &rows, Some(24)), expected);
        assert_eq!(fitted(&header, &rows, None), render(&header, &rows));
    }
}
