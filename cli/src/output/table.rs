//! Tables: columns that fit the terminal, and plain columns for everybody else.

use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, presets};

use super::{
    Reader, Surface, plain,
    style::{Colours, Style},
};

/// What is between two columns.
const GAP: u16 = 2;
/// A column that wraps is not worth to be shown with less.
const NARROWEST_TEXT: u16 = 12;

/// A column and what becomes of it on a narrow terminal.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    name: &'static str,
    fit: Fit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// It stays as it is: what one reads first, or copies.
    Whole,
    /// It is text, and may be broken over lines.
    Wraps,
    /// It is left out, the last of them first.
    Optional,
}

/// A column that stays as it is.
pub const fn whole(name: &'static str) -> Column {
    Column {
        name,
        fit: Fit::Whole,
    }
}

/// A column whose text may be broken over lines.
pub const fn wraps(name: &'static str) -> Column {
    Column {
        name,
        fit: Fit::Wraps,
    }
}

/// A column that is left out of a narrow terminal.
pub const fn optional(name: &'static str) -> Column {
    Column {
        name,
        fit: Fit::Optional,
    }
}

/// A table under construction.
pub struct Rows {
    table: Table,
    columns: Vec<Column>,
    surface: Surface,
}

impl Rows {
    /// An empty table with these columns.
    pub fn new<const COLUMNS: usize>(surface: Surface, columns: [Column; COLUMNS]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if surface.reader == Reader::Machine {
            table.force_no_tty();
        }
        table.set_header(columns.map(|column| header(column.name, surface.colours)));
        Self {
            table,
            columns: columns.to_vec(),
            surface,
        }
    }

    /// Adds a row; the first column is what one copies.
    pub fn row<const COLUMNS: usize>(&mut self, cells: [Field; COLUMNS]) {
        let surface = self.surface;
        self.table.add_row(cells.map(|field| field.cell(surface)));
    }

    /// The table's text, or what to say of an empty one.
    pub fn finish(self, empty: &str) -> String {
        let width = match self.surface.reader {
            Reader::Terminal => terminal_width(),
            Reader::Machine => None,
        };
        self.fitted(width, empty)
    }

    fn fitted(mut self, width: Option<u16>, empty: &str) -> String {
        if self.table.is_empty() {
            return empty.to_owned();
        }
        let widths = self.table.column_max_content_widths();
        let shown = shown(&self.columns, &widths, width);
        for (index, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((0, GAP));
            match (shown[index], self.columns[index].fit) {
                (Shown::No, _) => {
                    column.set_constraint(ColumnConstraint::Hidden);
                }
                (Shown::Yes, Fit::Whole | Fit::Optional) => {
                    column.set_constraint(ColumnConstraint::ContentWidth);
                }
                (Shown::Yes, Fit::Wraps) => {}
            }
        }
        match width {
            Some(width) if needed(&self.columns, &widths, &shown) <= width => {
                self.table
                    .set_content_arrangement(ContentArrangement::Dynamic);
                self.table.set_width(width);
            }
            _ => {
                self.table
                    .set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        self.table.trim_fmt()
    }
}

/// Whether a column is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Yes,
    No,
}

/// Leaves out optional columns, the last first, until the rest fits.
fn shown(columns: &[Column], widths: &[u16], width: Option<u16>) -> Vec<Shown> {
    let mut shown = vec![Shown::Yes; columns.len()];
    let Some(width) = width else { return shown };
    for index in (0..columns.len()).rev() {
        if needed(columns, widths, &shown) <= width {
            break;
        }
        if columns[index].fit == Fit::Optional {
            shown[index] = Shown::No;
        }
    }
    shown
}

/// The width that the shown columns need at least.
fn needed(columns: &[Column], widths: &[u16], shown: &[Shown]) -> u16 {
    columns
        .iter()
        .zip(widths)
        .zip(shown)
        .filter(|(_, shown)| **shown == Shown::Yes)
        .map(|((column, width), _)| match column.fit {
            Fit::Wraps => (*width).min(NARROWEST_TEXT) + GAP,
            Fit::Whole | Fit::Optional => width + GAP,
        })
        .fold(0, u16::saturating_add)
}

/// The terminal's width; some terminals do not say it.
fn terminal_width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col)
}

/// What stands in a cell.
pub struct Field {
    text: String,
    style: Option<Style>,
}

impl Field {
    /// Text that stands out.
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style: Some(style),
        }
    }

    fn cell(self, surface: Surface) -> Cell {
        let cell = Cell::new(plain::for_reader(&self.text, surface.reader));
        match (surface.colours, self.style) {
            (Colours::On, Some(Style::Good)) => cell.fg(Color::DarkGreen),
            (Colours::On, Some(Style::Bad)) => cell.fg(Color::DarkRed),
            (Colours::On, Some(Style::Warning)) => cell.fg(Color::DarkYellow),
            (Colours::On, Some(Style::Busy)) => cell.fg(Color::DarkCyan),
            (Colours::On, Some(Style::Quiet)) => cell.add_attribute(Attribute::Dim),
            (Colours::On, Some(Style::Strong)) => cell.add_attribute(Attribute::Bold),
            (Colours::On, Some(Style::Source(_)) | None) | (Colours::Off, _) => cell,
        }
    }
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        Self { text, style: None }
    }
}

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl<T: Into<Field>> From<Option<T>> for Field {
    fn from(known: Option<T>) -> Self {
        known.map_or_else(|| "–".into(), Into::into)
    }
}

fn header(name: &str, colours: Colours) -> Cell {
    let cell = Cell::new(name.to_uppercase());
    match colours {
        Colours::On => cell.add_attribute(Attribute::Bold),
        Colours::Off => cell,
    }
}

/// Facts of one thing, each on its line; facts without a value are left out.
pub fn facts(surface: Surface, facts: &[(&str, String)]) -> String {
    let known = || {
        facts
            .iter()
            .filter(|(_, value)| !value.is_empty() && value != "–")
    };
    let width = known().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    let line = |label: String, value: &str| {
        let label = surface
            .colours
            .paint(Style::Quiet, format!("{label:width$}"));
        format!("{label}  {}\n", plain::for_reader(value, surface.reader))
    };
    known()
        .flat_map(|(name, value)| {
            value
                .lines()
                .enumerate()
                .map(move |(number, text)| match number {
                    0 => line(format!("{name}:"), text),
                    _ => line(String::new(), text),
                })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Surface = Surface {
        reader: Reader::Machine,
        colours: Colours::Off,
    };
    const TERMINAL: Surface = Surface {
        reader: Reader::Terminal,
        colours: Colours::Off,
    };

    fn rows(surface: Surface) -> String {
        let mut rows = Rows::new(surface, [whole("name"), whole("status")]);
        rows.row(["web-1".into(), "online".into()]);
        rows.row(["a\x1b[2Jb".into(), "offline".into()]);
        rows.finish("nothing")
    }

    #[test]
    fn columns_line_up_and_escapes_reach_no_terminal() {
        let machine: Vec<String> = rows(MACHINE).lines().map(str::to_owned).collect();
        assert_eq!(machine.len(), 3);
        assert_eq!(machine[0].find("STATUS"), machine[1].find("online"));
        assert!(machine[2].contains('\x1b'));
        let terminal = rows(TERMINAL);
        assert!(terminal.contains("a␛[2Jb") && !terminal.contains('\x1b'));
    }

    #[test]
    fn an_empty_table_says_what_to_do() {
        assert_eq!(
            Rows::new(MACHINE, [whole("name")]).finish("none yet"),
            "none yet"
        );
    }

    #[test]
    fn a_narrow_terminal_gets_what_matters_unbroken() {
        let table = |width| {
            let columns = [whole("id"), wraps("why"), optional("age"), optional("took")];
            let mut rows = Rows::new(TERMINAL, columns);
            let text = "some words that may stand on several lines";
            rows.row([
                "0123456789".into(),
                text.into(),
                "1 h ago".into(),
                "4.2 s".into(),
            ]);
            rows.fitted(width, "")
        };
        let cases = [
            (None, 2, "TOOK"),
            (Some(200), 2, "TOOK"),
            (Some(60), 3, "TOOK"),
            (Some(40), 4, "AGE"),
            (Some(28), 5, "WHY"),
            (Some(10), 2, "WHY"),
        ];
        for (width, lines, last) in cases {
            let text = table(width);
            let head = text.lines().next().unwrap_or_default();
            assert!(head.trim_end().ends_with(last), "{width:?}: {text}");
            assert_eq!(text.lines().count(), lines, "{width:?}: {text}");
            assert!(text.contains("0123456789"), "{width:?}: {text}");
        }
    }

    #[test]
    fn facts_line_up_and_unknown_ones_are_left_out() {
        let text = facts(
            TERMINAL,
            &[
                ("id", "1".into()),
                ("finished", "–".into()),
                ("message", "one\ntwo\x07".into()),
            ],
        );
        assert_eq!(text, "id:       1\nmessage:  one\n          two␇\n");
    }
}
