//! Tables: columns that fit the terminal, and plain columns for everybody else.

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};

use super::{
    Reader, Surface, plain,
    style::{Colours, Style},
};

/// A table under construction.
pub struct Rows {
    table: Table,
    surface: Surface,
    count: usize,
}

impl Rows {
    /// An empty table with these columns.
    pub fn new(surface: Surface, columns: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        match surface.reader {
            Reader::Terminal => table.set_content_arrangement(ContentArrangement::Dynamic),
            Reader::Machine => table.force_no_tty(),
        };
        table.set_header(columns.iter().map(|name| header(name, surface.colours)));
        Self {
            table,
            surface,
            count: 0,
        }
    }

    /// Adds a row; the first column is what one copies.
    pub fn row<const COLUMNS: usize>(&mut self, cells: [Field; COLUMNS]) {
        let surface = self.surface;
        self.table.add_row(cells.map(|field| field.cell(surface)));
        self.count += 1;
    }

    /// The table's text, or what to say of an empty one.
    pub fn finish(mut self, empty: &str) -> String {
        if self.count == 0 {
            return empty.to_owned();
        }
        for column in self.table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        self.table.trim_fmt()
    }
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
        let mut rows = Rows::new(surface, &["name", "status"]);
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
        assert_eq!(Rows::new(MACHINE, &["name"]).finish("none yet"), "none yet");
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
