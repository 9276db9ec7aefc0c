//! Tables that fit the terminal: first the columns that matter least are left out, then long texts
//! are cut.
//!
//! A character counts as one column, which is wrong for those of East Asia: their rows are then
//! longer.

use crate::logging::form::escaped;

use super::palette::Palette;

/// Between two columns.
const GAP: &str = "  ";

/// Stands for what was cut off.
const CUT: char = '…';

/// A column, and what becomes of it where there is no room.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    title: &'static str,
    side: Side,
    least: Least,
    rank: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// How narrow a column may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Least {
    Whole,
    Columns(usize),
}

impl Column {
    /// A text, which is shown whole.
    pub const fn text(title: &'static str) -> Self {
        Self { title, side: Side::Left, least: Least::Whole, rank: 0 }
    }

    /// A number, which is shown whole.
    pub const fn number(title: &'static str) -> Self {
        Self { title, side: Side::Right, least: Least::Whole, rank: 0 }
    }

    /// A text that may be cut, but not to less than this.
    pub const fn long(title: &'static str, least: usize) -> Self {
        Self { title, side: Side::Left, least: Least::Columns(least), rank: 0 }
    }

    /// The column of the highest rank is left out first; one without rank never.
    pub const fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }
}

/// One place in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Usual,
    Alarming,
}

impl Cell {
    /// It catches the eye.
    pub fn alarming(text: impl Into<String>) -> Self {
        Self { tone: Tone::Alarming, ..Self::from(text.into()) }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text: escaped(&text).into_owned(), tone: Tone::Usual }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

/// Rows below titles.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// One without rows.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row, with a cell for each column.
    pub fn push<const N: usize>(&mut self, row: [Cell; N]) {
        debug_assert_eq!(N, self.columns.len(), "a cell for each column");
        self.rows.push(row.into());
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The titles and the rows, a line each, no wider than this.
    pub fn render(&self, width: Option<usize>, palette: &Palette) -> String {
        let layout = self.layout(width.unwrap_or(usize::MAX));
        let mut lines = String::new();
        let titles = |at: usize| (self.columns[at].title, palette.title);
        push_line(&mut lines, &layout, palette, &self.columns, titles);
        for row in &self.rows {
            let cell = |at: usize| (row[at].text.as_str(), colour(row[at].tone, palette));
            push_line(&mut lines, &layout, palette, &self.columns, cell);
        }
        lines
    }

    /// Which columns are shown, and how wide.
    fn layout(&self, width: usize) -> Vec<(usize, usize)> {
        let mut layout: Vec<_> = (0..self.columns.len()).map(|at| (at, self.natural(at))).collect();
        while self.least(&layout) > width {
            let rank = |&(at, _): &(usize, usize)| self.columns[at].rank;
            let Some(&(last, _)) = layout.iter().max_by_key(|&column| rank(column)) else { break };
            if self.columns[last].rank == 0 {
                break;
            }
            layout.retain(|&(at, _)| at != last);
        }
        while total(layout.iter().map(|&(_, wide)| wide)) > width {
            let can_shrink = |&&mut (at, wide): &&mut (usize, usize)| wide > self.narrow(at, wide);
            let widest = layout.iter_mut().filter(can_shrink).max_by_key(|(_, wide)| *wide);
            let Some((_, wide)) = widest else { break };
            *wide -= 1;
        }
        cut_to(layout, width)
    }

    fn natural(&self, at: usize) -> usize {
        let cells = self.rows.iter().map(|row| wide(&row[at].text));
        cells.chain([wide(self.columns[at].title)]).max().unwrap_or_default()
    }

    fn narrow(&self, at: usize, wide: usize) -> usize {
        match self.columns[at].least {
            Least::Whole => wide,
            Least::Columns(least) => wide.min(least),
        }
    }

    fn least(&self, layout: &[(usize, usize)]) -> usize {
        total(layout.iter().map(|&(at, wide)| self.narrow(at, wide)))
    }
}

/// Where all that may be left out and cut is, what still does not fit is cut at the edge.
fn cut_to(layout: Vec<(usize, usize)>, width: usize) -> Vec<(usize, usize)> {
    let mut left = width;
    let cut = layout.into_iter().map_while(|(at, wide)| {
        let wide = wide.min(left);
        left = left.saturating_sub(wide + GAP.len());
        (wide > 0).then_some((at, wide))
    });
    cut.collect()
}

fn total(widths: impl Iterator<Item = usize>) -> usize {
    let (count, sum) = widths.fold((0, 0), |(count, sum), wide| (count + 1, sum + wide));
    sum + GAP.len() * usize::saturating_sub(count, 1)
}

fn wide(text: &str) -> usize {
    text.chars().count()
}

const fn colour(tone: Tone, palette: &Palette) -> &'static str {
    match tone {
        Tone::Usual => "",
        Tone::Alarming => palette.alarming,
    }
}

fn push_line<'a>(
    lines: &mut String,
    layout: &[(usize, usize)],
    palette: &Palette,
    columns: &[Column],
    cell: impl Fn(usize) -> (&'a str, &'static str),
) {
    let start = lines.len();
    for (place, &(at, width)) in layout.iter().enumerate() {
        let (text, colour) = cell(at);
        let text = cut(text, width);
        let blanks = " ".repeat(width - wide(&text));
        let reset = if colour.is_empty() { "" } else { palette.reset };
        let gap = if place == 0 { "" } else { GAP };
        lines.push_str(gap);
        match columns[at].side {
            Side::Left => lines.extend([colour, &text, reset, &blanks]),
            Side::Right => lines.extend([&blanks, colour, &text, reset]),
        }
    }
    let end = start + lines[start..].trim_end_matches(' ').len();
    lines.truncate(end);
    lines.push('\n');
}

fn cut(text: &str, width: usize) -> String {
    if wide(text) <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain([CUT]).take(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::form::{Form, is_unprintable};
    use jiff::tz::TimeZone;

    fn table() -> Table {
        let mut table = Table::new([
            Column::text("PORT"),
            Column::number("DEVICES").rank(1),
            Column::number("SENT").rank(2),
            Column::long("WHY", 8),
        ]);
        table.push(["tcp 6001".into(), "12".into(), "1".into(), "no driver accepts it".into()]);
        table.push(["udp 1".into(), "7".into(), "234".into(), Cell::alarming("slow")]);
        table
    }

    fn rendered(width: Option<usize>) -> String {
        table().render(width, Palette::of(&Form::Plain(TimeZone::UTC)))
    }

    #[test]
    fn without_a_terminal_nothing_is_cut() {
        let expected = "\
PORT      DEVICES  SENT  WHY
tcp 6001       12     1  no driver accepts it
udp 1           7   234  slow
";
        assert_eq!(rendered(None), expected);
        assert_eq!(rendered(Some(80)), expected);
    }

    #[test]
    fn texts_are_cut_before_a_column_is_left_out() {
        assert!(rendered(Some(36)).contains("tcp 6001       12     1  no driver …\n"));
        assert!(rendered(Some(32)).contains("tcp 6001       12  no driver ac…\n"));
        assert!(rendered(Some(24)).contains("tcp 6001  no driver acc…\n"));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 1..60 {
            for line in rendered(Some(width)).lines() {
                assert!(wide(line) <= width, "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn a_text_forges_no_row() {
        let mut table = Table::new([Column::text("A")]);
        table.push(["x\n\x1b[2J".into()]);
        let lines = table.render(None, Palette::of(&Form::Plain(TimeZone::UTC)));
        assert_eq!(lines, "A\nx\\n\\u{1b}[2J\n");
        assert!(lines.lines().all(|line| !line.contains(is_unprintable)));
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let palette = Palette::of(&Form::Coloured(TimeZone::UTC));
        let mut plain = table().render(Some(30), palette);
        for code in [palette.title, palette.alarming, palette.reset] {
            assert!(plain.contains(code));
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, rendered(Some(30)));
    }
}
