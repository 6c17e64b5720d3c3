//! Small looks into source text, where reading all of it as its compiler does would not tell more.

/// What stands between the first `start` and the next `end`.
pub(super) fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let behind = text.split_once(start)?.1;
    Some(behind.split_once(end)?.0)
}

/// The first text in quotes behind `start`, on the same line.
pub(super) fn quoted_after<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    let behind = text.split_once(start)?.1.lines().next()?;
    let open = behind.find(['"', '\''])?;
    let quote = behind[open..].chars().next()?;
    let inner = &behind[open + 1..];
    inner.split_once(quote).map(|(inner, _)| inner)
}

/// The lines that are no comments.
pub(super) fn code(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| {
        !["//", "#", "--", "*"]
            .iter()
            .any(|mark| line.starts_with(mark))
    })
}

/// The lines of a file in which `#` alone begins a comment, without it.
pub(super) fn hash_commented(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter_map(|line| line.split('#').next());
    lines.map(str::trim).filter(|line| !line.is_empty())
}

/// The name that `what` is given to, in lines such as `app = FastAPI(`.
pub(super) fn assigned<'t>(text: &'t str, what: &str) -> Option<&'t str> {
    code(text).find_map(|line| {
        let (name, rest) = line.split_once('=')?;
        let name = name.split_once(':').map_or(name, |(name, _)| name).trim();
        (rest.trim_start().starts_with(what) && is_name(name)).then_some(name)
    })
}

/// Whether a text is an identifier as most languages have them.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// The port that a program listens on, as far as its text says: the default beside `PORT`, the number given to `listen`,
/// or the end of an address in quotes.
pub(super) fn port(text: &str) -> Option<u16> {
    let of_variable = |line: &str| {
        line.split_once("PORT")
            .and_then(|(_, rest)| first_port(rest))
    };
    let of_listen = |line: &str| {
        let rest = line.split_once("listen(")?.1;
        first_port(rest).filter(|_| {
            rest.trim_start()
                .starts_with(|c: char| c.is_ascii_digit() || c == '{')
        })
    };
    code(text)
        .find_map(of_variable)
        .or_else(|| code(text).find_map(of_listen))
        .or_else(|| code(text).find_map(of_address))
}

/// The port of an address in quotes: `":8080"`, `"0.0.0.0:3000"`.
fn of_address(line: &str) -> Option<u16> {
    let words = line.split(['"', '\'', '`']).skip(1).step_by(2);
    let addresses = words.filter_map(|word| word.rsplit_once(':'));
    let mut ports = addresses.filter(|(host, _)| {
        host.is_empty()
            || *host == "localhost"
            || host
                .chars()
                .all(|c| matches!(c, '0'..='9' | '.' | ':' | '[' | ']'))
    });
    ports.find_map(|(_, port)| as_port(port))
}

/// The first number of two to five digits that can be a port, before anything that ends the statement.
fn first_port(text: &str) -> Option<u16> {
    let statement = text.split(';').next()?;
    let words = statement.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| word.len() >= 2).find_map(as_port)
}

/// A port that a container's program can have.
pub(super) fn as_port(text: &str) -> Option<u16> {
    let digits = (2..=5).contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .filter(|port| *port >= 80)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ports() {
        for (text, expected) in [
            ("const port = process.env.PORT || 4000;", Some(4000)),
            ("app.listen(3001, () => {})", Some(3001)),
            ("app.listen(port)", None),
            ("await app.listen({ port: 8081 })", Some(8081)),
            ("http.ListenAndServe(\":9090\", nil)", Some(9090)),
            ("TcpListener::bind(\"0.0.0.0:3000\")", Some(3000)),
            ("// PORT 1234\nos.environ.get(\"PORT\", 5001)", Some(5001)),
            ("listen(70000)", None),
            ("let date = \"12:30\"", None),
            ("let time = \"2024-01-01T12:8080\"", None),
        ] {
            assert_eq!(port(text), expected, "{text}");
        }
    }

    #[test]
    fn names_that_are_assigned() {
        assert_eq!(
            assigned("# app = Flask(x)\napi = Flask(__name__)", "Flask("),
            Some("api")
        );
        assert_eq!(
            assigned("app: FastAPI = FastAPI()", "FastAPI("),
            Some("app")
        );
        assert_eq!(assigned("a.b = Flask(x)", "Flask("), None);
    }
}
