//! How a container is asked whether it is well, by what its image has.
//!
//! Where nothing is known about the application's paths, it is well when it takes connections: a page that asks for a
//! sign-in, or is not there, does not make it ill.

/// What an image has to ask with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// `nc` and `wget` of Alpine.
    Busybox,
    Node,
    Bun,
    Python,
    Ruby,
    Php,
    Deno,
}

/// The command that ends with 0 when the application is well.
pub(super) fn words(asker: Asker, port: u16, path: Option<&str>) -> Vec<String> {
    let url = path.map(|path| format!("http://127.0.0.1:{port}{path}"));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let script = |program: &[&str], text: String| {
        program
            .iter()
            .map(|word| (*word).to_owned())
            .chain([text])
            .collect()
    };
    match (asker, url) {
        (Asker::Busybox, Some(url)) => words(&["wget", "-q", "-O", "/dev/null", &url]),
        (Asker::Busybox, None) => words(&[
            "nc",
            "-w",
            "3",
            "127.0.0.1",
            &port.to_string(),
            "-e",
            "true",
        ]),
        (Asker::Node | Asker::Bun, Some(url)) => script(
            if asker == Asker::Node {
                &["node", "-e"]
            } else {
                &["bun", "-e"]
            },
            format!(
                "fetch('{url}').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"
            ),
        ),
        (Asker::Node | Asker::Bun, None) => script(
            if asker == Asker::Node {
                &["node", "-e"]
            } else {
                &["bun", "-e"]
            },
            format!(
                "require('net').connect({port}, '127.0.0.1').on('connect', () => process.exit(0)).on('error', () => process.exit(1))"
            ),
        ),
        (Asker::Python, Some(url)) => script(
            &["python", "-c"],
            format!("import urllib.request; urllib.request.urlopen('{url}', timeout=3)"),
        ),
        (Asker::Python, None) => script(
            &["python", "-c"],
            format!("import socket; socket.create_connection(('127.0.0.1', {port}), 3)"),
        ),
        (Asker::Ruby, Some(url)) => script(
            &["ruby", "-rnet/http", "-e"],
            format!("exit Net::HTTP.get_response(URI('{url}')).is_a?(Net::HTTPSuccess)"),
        ),
        (Asker::Ruby, None) => script(
            &["ruby", "-rsocket", "-e"],
            format!("TCPSocket.new('127.0.0.1', {port}).close"),
        ),
        (Asker::Php, Some(url)) => script(
            &["php", "-r"],
            format!("exit(@file_get_contents('{url}') === false ? 1 : 0);"),
        ),
        (Asker::Php, None) => script(
            &["php", "-r"],
            format!("exit(@fsockopen('127.0.0.1', {port}) ? 0 : 1);"),
        ),
        (Asker::Deno, Some(url)) => script(
            &["deno", "eval"],
            format!("Deno.exit((await fetch('{url}')).ok ? 0 : 1)"),
        ),
        (Asker::Deno, None) => script(
            &["deno", "eval"],
            format!("(await Deno.connect({{ port: {port} }})).close()"),
        ),
    }
}
