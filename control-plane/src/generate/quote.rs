//! Values in the notation of their place.

/// A text as a JSON string, which YAML and Dockerfiles' lists take, too. What a reader of YAML 1.1 takes for a line end is
/// escaped.
pub(super) fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let mut escaped = String::with_capacity(quoted.len());
    for c in quoted.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                escaped.extend(format!("\\u{:04x}", u32::from(c)).chars());
            }
            _ => escaped.push(c),
        }
    }
    escaped
}

/// A text as YAML: as it is where nobody could take it for anything else, in quotes otherwise.
pub(super) fn yaml(text: &str) -> String {
    const WORDS: [&str; 11] = [
        "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf",
    ];
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '.' | '/'));
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ' ' | '=' | '+');
    let lone = text.trim_start_matches(['.', '-']).to_ascii_lowercase();
    let is_plain =
        first && text.chars().all(plain) && !text.ends_with(' ') && !WORDS.contains(&lone.as_str());
    // `.5` and `.inf` are numbers.
    if is_plain && (!text.starts_with('.') || text.starts_with("./")) {
        text.to_owned()
    } else {
        json(text)
    }
}

/// A text in a compose file, where `$` begins a variable.
pub(super) fn compose(text: &str) -> String {
    yaml(&text.replace('$', "$$"))
}

/// A text in the environment of a Kubernetes container, where `$(` begins a variable.
pub(super) fn kubernetes(text: &str) -> String {
    // Always in quotes: an environment takes texts, no numbers.
    json(&text.replace("$(", "$$("))
}

/// A text in a workflow of GitHub, where `${{` begins an expression.
pub(super) fn actions(text: &str) -> String {
    yaml(&expressions(text))
}

/// The same in a block, where YAML changes nothing.
pub(super) fn expressions(text: &str) -> String {
    text.replace("${{", "${{ '${{' }}")
}

/// A value of `ENV`.
pub(super) fn dockerfile(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// A text as one word of a shell.
pub(super) fn shell(text: &str) -> String {
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '=' | ':' | '@' | '+')
    };
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A text as Groovy, in single quotes, where nothing is put in.
pub(super) fn groovy(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{}'", escaped.replace('\n', "\\n"))
}

/// The words of a command that needs no shell; nothing for one that does.
pub(super) fn words(command: &str) -> Option<Vec<String>> {
    const BUILT_IN: [&str; 6] = ["exec", "cd", "export", "set", ".", "source"];
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = command.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '\'' => break,
                        inner => word.push(inner),
                    }
                }
            }
            // What a shell does something with, and an assignment before the program.
            '"' | '\\' | '$' | '`' | '|' | '&' | ';' | '<' | '>' | '(' | ')' | '{' | '}' | '*'
            | '?' | '[' | ']' | '#' | '~' | '!' | '\t' => return None,
            '=' if words.is_empty() => return None,
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    let program = words.first()?;
    (!BUILT_IN.contains(&program.as_str())).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_that_is_plain_only_where_it_can_be() {
        for (text, expected) in [
            ("npm run build", "npm run build"),
            ("./app", "./app"),
            ("no", "\"no\""),
            ("On", "\"On\""),
            (".inf", "\".inf\""),
            ("1.20", "\"1.20\""),
            ("a: b", "\"a: b\""),
            ("a #b", "\"a #b\""),
            ("", "\"\""),
            ("a\u{85}b", "\"a\\u0085b\""),
        ] {
            assert_eq!(yaml(text), expected);
        }
    }

    #[test]
    fn words_of_commands() {
        let split = |command| words(command).map(|words| words.join("|"));
        assert_eq!(
            split("node 'my app.js'  x=1").as_deref(),
            Some("node|my app.js|x=1")
        );
        assert_eq!(split("gunicorn 'a:b()'").as_deref(), Some("gunicorn|a:b()"));
        for shell in [
            "a && b", "PORT=1 a", "a $PORT", "a 'b", "cd x", "", "exec a", "a *.js",
        ] {
            assert_eq!(split(shell), None, "{shell}");
        }
    }

    #[test]
    fn each_notation_escapes_its_own() {
        assert_eq!(compose("a${b}"), "\"a$${b}\"");
        assert_eq!(kubernetes("$(A) $B"), "\"$$(A) $B\"");
        assert_eq!(actions("echo ${{ x }}"), "\"echo ${{ '${{' }} x }}\"");
        assert_eq!(dockerfile("a\"$b\\"), "\"a\\\"\\$b\\\\\"");
        assert_eq!(shell("it's"), "'it'\\''s'");
        assert_eq!(groovy("it's \\ $x"), "'it\\'s \\\\ $x'");
    }
}
