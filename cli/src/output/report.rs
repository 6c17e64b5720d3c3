//! A failure, for people.

use super::{Surface, plain, style::Style};
use crate::exit::Report;

pub(super) fn render(report: &Report, surface: Surface) -> String {
    let colours = surface.colours;
    let clean = |text: &str| plain::for_reader(text, surface.reader).into_owned();
    let mut lines = vec![format!(
        "{} {}",
        colours.paint(Style::Bad, "error:"),
        colours.paint(Style::Strong, clean(&report.title))
    )];
    let detail = report.detail.iter().flat_map(|detail| detail.lines());
    lines.extend(detail.map(clean));
    if let Some(field) = &report.field {
        let label = colours.paint(Style::Quiet, "field:");
        lines.push(format!("{label} {}", clean(field)));
    }
    let remedy = report.remedy.iter().flat_map(|remedy| remedy.lines());
    for (number, line) in remedy.enumerate() {
        let label = match number {
            0 => colours.paint(Style::Good, "try:"),
            _ => "    ".to_owned(),
        };
        lines.push(format!("{label} {}", clean(line)));
    }
    lines.join("\n  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        exit::{Exit, Failure},
        output::{Reader, style::Colours},
    };

    #[test]
    fn a_failure_says_what_where_and_what_next() {
        let failure = Failure::new(Exit::Failed, "The project is invalid")
            .detail("compose.yaml:3: unknown key\n\x1b[2Jline two")
            .field(Some("files".into()))
            .remedy("mend the line\nor ask");
        let Failure::Told(report) = failure else {
            panic!("nothing told")
        };
        let surface = Surface {
            reader: Reader::Terminal,
            colours: Colours::Off,
        };
        assert_eq!(
            render(&report, surface),
            "error: The project is invalid\n  compose.yaml:3: unknown key\n  ␛[2Jline two\n  \
             field: files\n  try: mend the line\n       or ask"
        );
    }
}
