//! A browser, as far as cookies and redirects go: it keeps the cookies of each server, and shows each redirect instead
//! of following it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use reqwest::{Method, RequestBuilder, Url, header};
use serde_json::Value;
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(30);

/// Somebody's browser. It blocks, so it belongs in plain tests.
#[derive(Debug)]
pub struct Browser {
    runtime: Runtime,
    http: reqwest::Client,
    /// By server, then by name.
    cookies: BTreeMap<String, BTreeMap<String, String>>,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Page {
    /// The address that was asked.
    pub url: Url,
    /// HTTP status.
    pub status: u16,
    /// Where it sends the browser.
    pub to: Option<Url>,
    /// Its body.
    pub text: String,
}

impl Browser {
    /// One without cookies, which trusts the certificates in `ca`.
    pub fn new(ca: &Path) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pem = std::fs::read(ca).unwrap_or_else(|e| panic!("{}: {e}", ca.display()));
        let roots = reqwest::Certificate::from_pem_bundle(&pem).expect("the file is PEM");
        let http = reqwest::Client::builder()
            .tls_certs_only(roots)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(LIMIT)
            .build()
            .expect("a client can be built");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be built");
        Self {
            runtime,
            http,
            cookies: BTreeMap::new(),
        }
    }

    /// Opens an address.
    pub fn open(&mut self, url: &Url) -> Page {
        let request = self.http.get(url.clone());
        self.send(url, request)
    }

    /// Sends a form.
    pub fn submit(&mut self, url: &Url, fields: &[(&str, &str)]) -> Page {
        let mut form = Url::parse("form:").expect("a URL");
        form.query_pairs_mut().extend_pairs(fields);
        let request = self
            .http
            .post(url.clone())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.query().unwrap_or_default().to_owned());
        self.send(url, request)
    }

    /// What a script of a server's own page asks; gives the status and the body.
    pub fn ask(&mut self, method: Method, url: &Url, body: Option<&Value>) -> (u16, Value) {
        let request = self
            .http
            .request(method, url.clone())
            .header(header::ORIGIN, url.origin().ascii_serialization())
            .header("sec-fetch-site", "same-origin")
            .header("towline-csrf", "1");
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let page = self.send(url, request);
        let body = serde_json::from_str(&page.text).unwrap_or(Value::String(page.text));
        (page.status, body)
    }

    /// Whether it has a cookie of a server.
    pub fn has_cookie(&self, url: &Url, name: &str) -> bool {
        let of_server = self.cookies.get(&server(url));
        of_server.is_some_and(|cookies| cookies.contains_key(name))
    }

    fn send(&mut self, url: &Url, request: RequestBuilder) -> Page {
        let cookies = self.cookies.entry(server(url)).or_default();
        let pairs: Vec<_> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = request.header(header::COOKIE, pairs.join("; "));
        let (status, headers, text) = self.runtime.block_on(async {
            let response = request
                .send()
                .await
                .unwrap_or_else(|e| panic!("{url}: {e:?}"));
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            (status, headers, response.text().await.expect("a body"))
        });
        for set in headers.get_all(header::SET_COOKIE) {
            keep(cookies, set.to_str().expect("a cookie is text"));
        }
        let to = headers.get(header::LOCATION);
        let to = to.map(|to| to.to_str().expect("an address is text"));
        Page {
            to: to.map(|to| url.join(to).unwrap_or_else(|e| panic!("{to}: {e}"))),
            url: url.clone(),
            status,
            text,
        }
    }
}

/// Ports are servers of their own here; for a real browser they are not.
fn server(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn keep(cookies: &mut BTreeMap<String, String>, set: &str) {
    let (pair, attributes) = set.split_once(';').unwrap_or((set, ""));
    let (name, value) = pair.split_once('=').expect("a cookie has a name");
    let attributes = attributes.to_ascii_lowercase();
    let is_over =
        attributes.contains("max-age=0") || attributes.contains("expires=thu, 01 jan 1970");
    if is_over || value.is_empty() {
        cookies.remove(name);
    } else {
        cookies.insert(name.to_owned(), value.to_owned());
    }
}
