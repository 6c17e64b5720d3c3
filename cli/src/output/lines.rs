//! Log lines, for people and programs.

use std::fmt::Write as _;

use chrono::{DateTime, Local, SecondsFormat, Utc};

use super::{
    Format, Reader, Surface, plain,
    style::{Colours, Style},
};
use crate::{
    api::logs::{Line, Stream},
    exit::Failure,
};

/// Longer names of sources push their line's text aside.
const WIDEST_SOURCE: usize = 24;

/// Writes lines one below the other, with their sources in one column.
#[derive(Debug)]
pub struct LineWriter {
    surface: Surface,
    format: Format,
    width: usize,
}

impl LineWriter {
    /// Lines in this format on this surface.
    pub fn new(surface: Surface, format: Format) -> Self {
        Self {
            surface,
            format,
            width: 7,
        }
    }

    /// The text of some lines, ready to be written at once.
    pub fn render(&mut self, lines: &[Line]) -> Result<String, Failure> {
        let mut text = String::with_capacity(lines.len() * 120);
        for line in lines {
            match self.format {
                Format::Json => {
                    let json = serde_json::to_string(line).map_err(std::io::Error::from)?;
                    text.push_str(&plain::escaped_json(&json));
                }
                Format::Human => self.push(&mut text, line),
            }
            text.push('\n');
        }
        Ok(text)
    }

    fn push(&mut self, text: &mut String, line: &Line) {
        let colours = self.surface.colours;
        let source = plain::for_reader(&line.source, self.surface.reader);
        let length = source.chars().count();
        self.width = self.width.max(length).min(WIDEST_SOURCE);
        let padded = format!("{source:<width$}", width = self.width);
        let body = plain::for_reader(&line.text, self.surface.reader);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{} {} {}",
            colours.paint(Style::Quiet, self.time(line.at)),
            colours.paint(Style::of_source(&line.source), format_args!("{padded} |")),
            body_in_style(colours, &line.stream, &body),
        );
    }

    fn time(&self, at: DateTime<Utc>) -> String {
        match self.surface.reader {
            Reader::Terminal => at.with_timezone(&Local).format("%H:%M:%S%.3f").to_string(),
            Reader::Machine => at.to_rfc3339_opts(SecondsFormat::Millis, true),
        }
    }
}

fn body_in_style(colours: Colours, stream: &Stream, body: &str) -> String {
    match stream {
        Stream::Note => colours.paint(Style::Strong, body),
        Stream::Gap => colours.paint(Style::Warning, body),
        Stream::Stdout | Stream::Stderr | Stream::Other(_) => body.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn line(source: &str, text: &str) -> Line {
        Line {
            n: Some(3),
            at: "2026-01-31T12:00:00.123456Z".parse().unwrap(),
            stream: Stream::Stdout,
            source: source.into(),
            text: text.into(),
        }
    }

    fn writer(reader: Reader, colours: Colours, format: Format) -> LineWriter {
        LineWriter::new(Surface { reader, colours }, format)
    }

    #[test]
    fn a_file_gets_the_text_as_it_is() {
        let mut writer = writer(Reader::Machine, Colours::Off, Format::Human);
        let text = writer
            .render(&[line("web-1", "a\x1b[1mb"), line("database-1", "c")])
            .unwrap();
        assert_eq!(
            text,
            "2026-01-31T12:00:00.123Z web-1   | a\x1b[1mb\n\
             2026-01-31T12:00:00.123Z database-1 | c\n"
        );
    }

    #[test]
    fn a_terminal_gets_colours_of_ours_and_no_escapes_of_others() {
        let mut writer = writer(Reader::Terminal, Colours::On, Format::Human);
        let text = writer
            .render(&[line("web-1\x1b[2J", "\x1b]0;x\x07")])
            .unwrap();
        assert!(text.contains("web-1␛[2J |") && text.contains("␛]0;x␇"));
        assert!(!text.contains("\x1b]") && !text.contains("\x1b[2J"));
    }

    #[test]
    fn a_program_gets_one_object_per_line() {
        let mut writer = writer(Reader::Machine, Colours::Off, Format::Json);
        let text = writer.render(&[line("web-1", "a\nb")]).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert_eq!((&value["n"], &value["text"]), (&3.into(), &"a\nb".into()));
    }
}
