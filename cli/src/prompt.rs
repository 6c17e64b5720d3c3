//! Questions to the person at the terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::exit::Failure;

/// Whether a destructive command may ask first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// On a terminal it asks; without one nobody could answer, so the command itself is the word.
    Ask,
    /// `--yes`.
    Given,
}

impl From<bool> for Confirmation {
    fn from(yes: bool) -> Self {
        if yes { Self::Given } else { Self::Ask }
    }
}

/// Asks whether to go on; anything but yes stops the command with nothing done.
pub fn confirm(confirmation: Confirmation, question: &str) -> Result<(), Failure> {
    if confirmation == Confirmation::Given
        || !io::stdin().is_terminal()
        || !io::stderr().is_terminal()
    {
        return Ok(());
    }
    ask(&format!("{question} [y/N] "))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::usage("Nothing was done").remedy("answer y, or give --yes")),
    }
}

/// Reads a secret: typed unseen on a terminal, else all of stdin without its last line end.
pub async fn secret(question: &str, limit: u64) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return piped(limit);
    }
    ask(question)?;
    let hidden = Hidden::begin()?;
    let typed = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let line = tokio::select! {
        line = typed => line.map_err(io::Error::other)?.map_err(|error| not_read(&error))?,
        _ = tokio::signal::ctrl_c() => {
            eprintln!();
            return Err(Failure::usage("Interrupted: nothing was done"));
        }
    };
    drop(hidden);
    eprintln!();
    Ok(without_line_end(line))
}

/// Reads a new password: typed unseen, twice, on a terminal; else all of stdin without its last line
/// end.
pub async fn new_password(limit: u64) -> Result<String, Failure> {
    let chosen = secret("Choose a password, of at least 12 characters: ", limit).await?;
    if io::stdin().is_terminal() && secret("Once more: ", limit).await? != chosen {
        return Err(Failure::usage("The two are not the same: nothing was done"));
    }
    Ok(chosen)
}

/// Reads the present password and a new one: typed unseen on a terminal, else a line of stdin each.
pub async fn changed_password(limit: u64) -> Result<(String, String), Failure> {
    if io::stdin().is_terminal() {
        let present = secret("Present password: ", limit).await?;
        return Ok((present, new_password(limit).await?));
    }
    let text = piped(2 * limit)?;
    match text.split_once('\n') {
        Some((present, new)) => Ok((without_line_end(format!("{present}\n")), new.to_owned())),
        None => Err(Failure::usage("stdin has but one line")
            .remedy("give the present password on the first line and the new one on the second")),
    }
}

fn piped(limit: u64) -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(limit + 2)
        .read_to_string(&mut text)
        .map_err(|error| not_read(&error))?;
    let text = without_line_end(text);
    if text.len() as u64 > limit {
        return Err(Failure::usage(format!(
            "The value from stdin has more than {limit} bytes"
        )));
    }
    Ok(text)
}

fn ask(question: &str) -> Result<(), Failure> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(question.as_bytes())?;
    Ok(stderr.flush()?)
}

fn not_read(error: &io::Error) -> Failure {
    Failure::usage("The value cannot be read from stdin").detail(error.to_string())
}

fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// The terminal shows nothing of what is typed until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> Result<Self, Failure> {
        let failed = |error: rustix::io::Errno| {
            Failure::usage("The terminal cannot hide what is typed").detail(error.to_string())
        };
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // There is nobody to tell, and nothing else to try.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_not_part_of_a_value() {
        for (text, value) in [
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a", "a"),
            ("a\n\n", "a\n"),
            ("", ""),
        ] {
            assert_eq!(without_line_end(text.into()), value, "{text:?}");
        }
    }
}
