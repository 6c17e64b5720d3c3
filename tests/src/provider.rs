//! A real OpenID provider, `oidc-provider`, as a process; and beside it what stands for GitHub.

use std::{net::SocketAddr, process::Command, time::Duration};

use reqwest::Url;
use serde_json::{Value, json};

use crate::{
    browser::{Browser, Page},
    parts::{Parts, repository},
    ports::free_address,
    process::{Process, guarded, output},
    scratch::Scratch,
};

const LIMIT: Duration = Duration::from_secs(30);
/// What this installation is there, as `tests/peers/oidc/server.mjs` knows it.
pub const CLIENT_ID: &str = "towline";
/// The secret that goes with it.
pub const CLIENT_SECRET: &str = "a secret of the tests";

/// A provider; killed when dropped.
#[derive(Debug)]
pub struct Provider {
    _process: Process,
    address: SocketAddr,
    folder: Scratch,
}

impl Provider {
    /// Starts one that knows no client's address yet.
    pub fn start() -> Self {
        let (address, folder) = (
            free_address([127, 0, 0, 1].into()),
            Scratch::new("provider"),
        );
        let mut command = guarded("node");
        command
            .arg(repository().join("tests/peers/oidc/server.mjs"))
            .arg(Parts::locate().provider())
            .arg(address.port().to_string())
            .current_dir(folder.path());
        let mut process = Process::start("the OpenID provider", command, &folder.join("log"));
        process.wait_until("it listens", LIMIT, |process| {
            process.log().contains("ready").then_some(())
        });
        Self {
            _process: process,
            address,
            folder,
        }
    }

    /// A configuration file of a control plane that knows this provider as `acme`, as `strict` with more rules, and what
    /// stands for GitHub as `hub`.
    pub fn configuration(&self, rules: &str) -> String {
        let secret = self.folder.join("secret");
        std::fs::write(&secret, CLIENT_SECRET).expect("a file can be written");
        let one = |id: &str, kind: &str, issuer: String, rules: &str| {
            format!(
                "[[sign-in.providers]]\nid = '{id}'\nname = 'The {id}'\nkind = '{kind}'\nissuer = '{issuer}'\n\
                 client-id = '{CLIENT_ID}'\nclient-secret-file = '{}'\n{rules}\n",
                secret.display()
            )
        };
        let file = self.folder.join("towline.toml");
        let text = [
            "[accounts]\nsign-up = 'open'\n[egress]\nallow = ['127.0.0.0/8']\nallow-http = true\n"
                .to_owned(),
            one("acme", "oidc", self.url(), "sign-up = 'open'"),
            one("strict", "oidc", self.url(), rules),
            one(
                "hub",
                "github",
                format!("{}/github", self.url()),
                "sign-up = 'open'",
            ),
        ];
        std::fs::write(&file, text.concat()).expect("a file can be written");
        file.display().to_string()
    }

    /// Its address, which is the issuer's.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Tells it what shall differ from now on.
    pub fn control(&self, change: &Value) {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--fail",
            "--noproxy",
            "*",
            "--data",
        ]);
        curl.arg(change.to_string())
            .arg(format!("{}/control", self.url()));
        output(curl);
    }

    /// Lets it send people back to these providers' callbacks at a control plane.
    pub fn know(&self, plane: &str) {
        let callbacks = ["acme", "strict", "hub"]
            .map(|id| format!("{plane}/api/v1/sign-in/providers/{id}/callback"));
        self.control(&json!({ "callbacks": callbacks }));
    }

    /// Signs somebody in there and lets them agree, as a person does in a browser: from the address that the control plane
    /// has given to the address that leads back to it.
    pub fn walk(&self, browser: &mut Browser, to: &str, login: &str) -> Url {
        self.go(browser, to, |browser, page| answer(browser, page, login))
    }

    /// The same, for somebody who says no.
    pub fn refuse(&self, browser: &mut Browser, to: &str) -> Url {
        self.go(browser, to, |browser, page| {
            browser.open(&format!("{}/abort", page.url).parse().expect("an address"))
        })
    }

    fn go(
        &self,
        browser: &mut Browser,
        to: &str,
        answer: impl Fn(&mut Browser, &Page) -> Page,
    ) -> Url {
        let mut page = browser.open(&to.parse().expect("an address"));
        for _ in 0..20 {
            page = match page.to.clone() {
                Some(to) if to.as_str().starts_with(&self.url()) => browser.open(&to),
                Some(back) => return back,
                None => answer(browser, &page),
            };
        }
        panic!("the provider goes round in circles: {page:?}");
    }
}

fn answer(browser: &mut Browser, page: &Page, login: &str) -> Page {
    assert_eq!(page.status, 200, "{page:?}");
    if page.text.contains("name=\"prompt\" value=\"login\"") {
        let fields = [("prompt", "login"), ("login", login), ("password", "any")];
        browser.submit(&page.url, &fields)
    } else {
        assert!(page.text.contains("value=\"consent\""), "{page:?}");
        browser.submit(&page.url, &[("prompt", "consent")])
    }
}
