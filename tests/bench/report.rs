//! Rows of figures, as a table for people and as JSON.

use serde::Serialize;

/// One measured figure beside what it is measured against.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was measured, in words.
    pub what: String,
    /// The unit of the figures.
    pub unit: &'static str,
    /// Towline's figure.
    pub ours: f64,
    /// The 99th percentile, where there are many.
    pub p99: Option<f64>,
    /// What it is measured against, and that figure.
    pub against: Option<(String, f64)>,
    /// The bar on the ratio, or on the figure where there is nothing to divide by: at most this,
    pub at_most: Option<f64>,
    /// or at least this.
    pub at_least: Option<f64>,
}

impl Row {
    /// A figure that stands alone.
    pub fn figure(what: &str, unit: &'static str, ours: f64) -> Self {
        Self {
            what: what.to_owned(),
            unit,
            ours,
            p99: None,
            against: None,
            at_most: None,
            at_least: None,
        }
    }

    /// The same, with a bar on it.
    pub fn at_most(mut self, bar: f64) -> Self {
        self.at_most = Some(bar);
        self
    }

    /// Ours over theirs, or nothing.
    pub fn ratio(&self) -> Option<f64> {
        self.against.as_ref().map(|(_, theirs)| self.ours / theirs)
    }

    fn verdict(&self) -> &'static str {
        let value = self.ratio().unwrap_or(self.ours);
        let within = self.at_most.is_none_or(|bar| value <= bar)
            && self.at_least.is_none_or(|bar| value >= bar);
        match (self.at_most.or(self.at_least), within) {
            (None, _) => "",
            (Some(_), true) => "met",
            (Some(_), false) => "MISSED",
        }
    }

    fn bar(&self) -> String {
        match (self.at_most, self.at_least) {
            (Some(bar), _) => format!("≤ {bar}"),
            (_, Some(bar)) => format!("≥ {bar}"),
            _ => String::new(),
        }
    }
}

/// The median and the 99th percentile of what was measured.
pub fn median_and_p99(mut figures: Vec<f64>) -> (f64, f64) {
    figures.sort_by(f64::total_cmp);
    let last = figures.len().saturating_sub(1);
    (figures[last / 2], figures[last * 99 / 100])
}

/// All rows as a table.
pub fn table(rows: &[Row]) -> String {
    let header = [
        "what", "ours", "p99", "against", "theirs", "ratio", "bar", "",
    ]
    .map(str::to_owned);
    let cells = rows.iter().map(|row| {
        let (against, theirs) = row
            .against
            .as_ref()
            .map_or_else(Default::default, |(name, figure)| {
                (name.clone(), format!("{figure:.1}"))
            });
        [
            row.what.clone(),
            format!("{:.1} {}", row.ours, row.unit),
            row.p99.map_or_else(String::new, |p99| format!("{p99:.1}")),
            against,
            theirs,
            row.ratio()
                .map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            row.bar(),
            row.verdict().to_owned(),
        ]
    });
    let lines: Vec<[String; 8]> = std::iter::once(header).chain(cells).collect();
    let widths: Vec<usize> = (0..8)
        .map(|column| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |cells: &[String; 8]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// All rows as JSON, with their ratios.
pub fn json(rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let mut value = serde_json::to_value(row).expect("a row is plain data");
            value["ratio"] = row.ratio().into();
            value
        })
        .collect();
    serde_json::to_string_pretty(&rows).expect("rows are plain data") + "\n"
}
