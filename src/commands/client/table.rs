//! Aligned tables with colours for a terminal, and texts of numbers and times for people.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Columns and rows.
#[derive(Debug)]
pub(super) struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// One text of a table.
#[derive(Debug)]
pub(super) struct Cell {
    text: String,
    shade: Shade,
    right: bool,
}

/// How a text stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shade {
    Plain,
    Good,
    Bad,
    Faint,
}

impl Cell {
    /// A text; an empty one shows as `-`.
    pub(super) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            text: if text.is_empty() {
                "-".to_owned()
            } else {
                text
            },
            shade: Shade::Plain,
            right: false,
        }
    }

    /// A number, aligned to the right.
    pub(super) fn number(text: impl Into<String>) -> Self {
        Self {
            right: true,
            ..Self::text(text)
        }
    }

    /// Something that is well.
    pub(super) fn good(self) -> Self {
        self.shaded(Shade::Good)
    }

    /// Something to look at.
    pub(super) fn bad(self) -> Self {
        self.shaded(Shade::Bad)
    }

    /// Something that is over.
    pub(super) fn faint(self) -> Self {
        self.shaded(Shade::Faint)
    }

    fn shaded(self, shade: Shade) -> Self {
        Self { shade, ..self }
    }
}

impl Shade {
    fn start(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[31m",
            Self::Faint => "\x1b[2m",
        }
    }
}

impl Table {
    pub(super) fn new(headers: &[&'static str]) -> Self {
        Self {
            headers: headers.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, one cell per header.
    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.headers.len());
        self.rows.push(cells);
    }

    /// The table as text; columns are two spaces apart.
    pub(super) fn render(&self, colours: bool) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].text.chars().count());
            cells
                .chain([self.headers[column].len()])
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.headers.len()).map(width).collect();
        let numbers = |column: usize| self.rows.iter().all(|row| row[column].right);
        let mut text = String::new();
        for (column, header) in self.headers.iter().enumerate() {
            let right = !self.rows.is_empty() && numbers(column);
            push(
                &mut text,
                header,
                widths[column],
                right,
                Shade::Plain,
                false,
            );
        }
        end_line(&mut text);
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                push(
                    &mut text,
                    &cell.text,
                    widths[column],
                    cell.right,
                    cell.shade,
                    colours,
                );
            }
            end_line(&mut text);
        }
        text
    }
}

fn push(text: &mut String, cell: &str, width: usize, right: bool, shade: Shade, colours: bool) {
    // What tasks and frameworks are called must not move the cursor.
    let cell: String = cell
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
    let (before, after) = if right {
        (gap, String::new())
    } else {
        (String::new(), gap)
    };
    let (start, end) = match shade {
        Shade::Plain => ("", ""),
        shade if colours => (shade.start(), "\x1b[0m"),
        _ => ("", ""),
    };
    write!(text, "{before}{start}{cell}{end}{after}  ").expect("a String takes every text");
}

fn end_line(text: &mut String) {
    let kept = text.trim_end_matches(' ').len();
    text.truncate(kept);
    text.push('\n');
}

/// How long ago a time in seconds since 1970 was: `12s`, `5m`, `3h`, `2d`; nothing for no time.
pub(super) fn ago(seconds: Option<f64>) -> String {
    let Some(then) = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) else {
        return String::new();
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    span(now.saturating_sub(then))
}

fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// Megabytes as people say them: `512 MB`, `1.5 GB`.
pub(super) fn megabytes(amount: f64) -> String {
    if amount >= 1024.0 * 1024.0 {
        format!("{} TB", decimal(amount / 1024.0 / 1024.0))
    } else if amount >= 1024.0 {
        format!("{} GB", decimal(amount / 1024.0))
    } else {
        format!("{} MB", decimal(amount))
    }
}

/// A number with at most two digits after the point, none that are zero.
pub(super) fn decimal(amount: f64) -> String {
    let text = format!("{amount:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let mut table = Table::new(&["ID", "CPUS", "STATE"]);
        table.row(vec![
            Cell::text("a"),
            Cell::number("0.5"),
            Cell::text("running").good(),
        ]);
        table.row(vec![
            Cell::text("longer\u{1b}[2J"),
            Cell::number("12"),
            Cell::text(""),
        ]);
        assert_eq!(
            table.render(false),
            "ID          CPUS  STATE\n\
             a            0.5  running\n\
             longer?[2J    12  -\n"
        );
        assert!(table.render(true).contains("\u{1b}[32mrunning\u{1b}[0m"));
    }

    #[test]
    fn times_and_amounts_are_short() {
        assert_eq!(span(Duration::from_secs(119)), "119s");
        assert_eq!(span(Duration::from_secs(120)), "2m");
        assert_eq!(span(Duration::from_secs(7_200)), "2h");
        assert_eq!(span(Duration::from_secs(172_800)), "2d");
        assert_eq!(megabytes(32.0), "32 MB");
        assert_eq!(megabytes(1536.0), "1.5 GB");
        assert_eq!(decimal(0.125), "0.12");
        assert_eq!(ago(None), "");
    }
}
