//! Signing in at a provider of identities: a real one, through the whole way that a browser goes.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use towline_tests::api::Api;
use towline_tests::browser::{Browser, Page};
use towline_tests::provider::{CLIENT_SECRET, Provider};
use towline_tests::server::{DatabaseKind, ServerPlan, ServerProcess};

const PASSWORD: &str = "correct horse battery";
const SESSION: &str = "__Host-towline";
const AWAY: &str = "__Host-towline-away";

/// Makes two tests of one story, one on each database.
macro_rules! on_both_databases {
    ($($story:ident),+ $(,)?) => {$(
        mod $story {
            use towline_tests::server::DatabaseKind;

            #[test]
            fn embedded() {
                super::$story(&super::Scene::open(DatabaseKind::Sqlite));
            }

            #[test]
            fn scaled_out() {
                super::$story(&super::Scene::open(DatabaseKind::Postgres));
            }
        }
    )+};
}

on_both_databases!(
    people_come_in_link_what_they_are_and_unlink_it,
    a_forged_return_lets_nobody_in,
);

/// A control plane that knows a provider, and Ada, who has set it up.
struct Scene {
    server: ServerProcess,
    provider: Provider,
    ada: Api,
}

impl Scene {
    fn open(database: DatabaseKind) -> Self {
        let provider = Provider::start();
        let mut plan = ServerPlan::new(database);
        let file = provider.configuration("email-domains = ['acme.example']");
        plan.arguments = vec!["--config".to_owned(), file];
        let mut server = ServerProcess::start(plan);
        provider.know(&server.url());
        let token = server.setup_link().token;
        let ada = json!({"token": token, "email": "ada@example.org", "name": "Ada", "password": PASSWORD});
        let made = server.public_api().post("/setup", &ada).ok();
        let ada = server
            .public_api()
            .with_key(made["api_key"]["key"].as_str().unwrap());
        Self {
            server,
            provider,
            ada,
        }
    }

    fn browser(&self) -> Browser {
        Browser::new(&self.server.ca())
    }

    fn at(&self, path: &str) -> Url {
        format!("{}/api/v1{path}", self.server.url())
            .parse()
            .unwrap()
    }

    fn get(&self, browser: &mut Browser, path: &str) -> (u16, Value) {
        browser.ask(Method::GET, &self.at(path), None)
    }

    fn post(&self, browser: &mut Browser, path: &str, body: &Value) -> (u16, Value) {
        browser.ask(Method::POST, &self.at(path), Some(body))
    }

    /// A browser in which Ada has signed in by her password.
    fn browser_of_ada(&self) -> Browser {
        let mut browser = self.browser();
        let who = json!({"email": "ada@example.org", "password": PASSWORD});
        assert_eq!(self.post(&mut browser, "/session", &who).0, 201);
        browser
    }

    /// Where a provider wants to see the browser.
    fn begin(&self, browser: &mut Browser, id: &str) -> String {
        let path = format!("/sign-in/providers/{id}");
        let (status, to) = self.post(browser, &path, &json!({}));
        assert_eq!(status, 200, "{to}");
        assert!(browser.has_cookie(&self.at(""), AWAY));
        to["authorization_url"].as_str().unwrap().to_owned()
    }

    /// The address by which the provider sends the browser back.
    fn way_back(&self, browser: &mut Browser, id: &str, login: &str) -> Url {
        let to = self.begin(browser, id);
        self.provider.walk(browser, &to, login)
    }

    /// The whole way; gives what stands behind the `#` of the page at its end.
    fn sign_in(&self, browser: &mut Browser, id: &str, login: &str) -> String {
        let back = self.way_back(browser, id, login);
        self.end(browser, &back)
    }

    fn end(&self, browser: &mut Browser, back: &Url) -> String {
        fragment(&self.server, &browser.open(back))
    }

    fn link(&self, browser: &mut Browser, login: &str) -> String {
        let what = json!({"provider": "acme", "password": PASSWORD});
        let (status, to) = self.post(browser, "/me/identities", &what);
        assert_eq!(status, 200, "{to}");
        let to = to["authorization_url"].as_str().unwrap();
        let back = self.provider.walk(browser, to, login);
        self.end(browser, &back)
    }

    fn email(&self, browser: &mut Browser) -> String {
        let (status, me) = self.get(browser, "/me");
        assert_eq!(status, 200, "{me}");
        me["user"]["email"].as_str().unwrap().to_owned()
    }

    /// The details of what was done with people's accounts.
    fn audit(&self, action: &str) -> Vec<String> {
        self.server.rows(&format!(
            "SELECT detail FROM audit_logs WHERE action = '{action}' ORDER BY id"
        ))
    }

    fn users(&self) -> i64 {
        self.server.count("SELECT COUNT(*) FROM users")
    }
}

fn fragment(server: &ServerProcess, page: &Page) -> String {
    assert_eq!(page.status, 303, "{page:?}");
    let to = page.to.as_ref().unwrap();
    assert!(
        to.as_str()
            .starts_with(&format!("{}/sign-in", server.url())),
        "{to}"
    );
    assert_eq!((to.path(), to.query()), ("/sign-in", None), "{to}");
    to.fragment().unwrap_or_default().to_owned()
}

/// What an authenticator app shows now.
fn code(secret: &str) -> String {
    let secret = data_encoding::BASE32_NOPAD
        .decode(secret.as_bytes())
        .unwrap();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(&secret).unwrap();
    mac.update(&(now / 30).to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = usize::from(hash[19] & 0xf);
    let number = u32::from_be_bytes(hash[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

fn people_come_in_link_what_they_are_and_unlink_it(scene: &Scene) {
    let (_, listed) = scene.get(&mut scene.browser(), "/sign-in/providers");
    let kinds: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["kind"])
        .collect();
    assert_eq!(kinds, ["oidc", "oidc", "github"]);

    // A stranger is given an account with a team of its own, on the plan Free, and comes back to it.
    let (mut bob, mut again) = (scene.browser(), scene.browser());
    assert_eq!(scene.sign_in(&mut bob, "acme", "bob"), "");
    assert!(bob.has_cookie(&scene.at(""), SESSION) && !bob.has_cookie(&scene.at(""), AWAY));
    let (_, me) = scene.get(&mut bob, "/me");
    assert_eq!(
        (&me["user"]["email"], &me["role"]),
        (&json!("bob@example.org"), &json!("owner"))
    );
    assert_eq!(scene.get(&mut bob, "/usage").1["plan"]["name"], "Free");
    assert_eq!(scene.sign_in(&mut again, "acme", "bob"), "");
    assert_eq!(scene.email(&mut again), "bob@example.org");
    assert_eq!(scene.users(), 2);
    let (_, own) = scene.get(&mut bob, "/me/identities");
    let own = &own["items"][0];
    assert_eq!(
        (&own["provider"], &own["subject"]),
        (&json!("acme"), &json!("bob"))
    );
    assert!(own["last_used_at"].is_string());
    let path = format!("/me/identities/{}", own["id"].as_str().unwrap());
    let (status, refused) = bob.ask(Method::DELETE, &scene.at(&path), None);
    assert_eq!(status, 409, "{refused}");

    // Ada's address at the provider is no key to Ada's account.
    let mut other = scene.browser();
    assert_eq!(scene.sign_in(&mut other, "acme", "ada"), "trouble=unlinked");
    assert_eq!(scene.get(&mut other, "/me").0, 401);
    towline_tests::patience::wait_until(
        "it is written down",
        std::time::Duration::from_secs(10),
        || (scene.audit("session.refuse").len() == 1).then_some(()),
    );

    // She links it while she is signed in, and shows her password; a key cannot.
    let mut ada = scene.browser_of_ada();
    for (body, status) in [
        (json!({"provider": "acme"}), 422),
        (
            json!({"provider": "acme", "password": "wrong horse battery"}),
            422,
        ),
        (json!({"provider": "nobody", "password": PASSWORD}), 422),
    ] {
        assert_eq!(
            scene.post(&mut ada, "/me/identities", &body).0,
            status,
            "{body}"
        );
    }
    let body = json!({"provider": "acme", "password": PASSWORD});
    assert_eq!(scene.ada.post("/me/identities", &body).status, 409);
    assert_eq!(scene.link(&mut ada, "ada"), "linked");
    assert_eq!(scene.link(&mut ada, "bob"), "trouble=taken");
    assert_eq!(scene.email(&mut again), "bob@example.org");
    let mut other = scene.browser();
    assert_eq!(scene.sign_in(&mut other, "acme", "ada"), "");
    assert_eq!(scene.email(&mut other), "ada@example.org");
    let begun = scene.audit("session.begin");
    assert!(
        begun.last().unwrap().contains("\"provider\":\"acme\""),
        "{begun:?}"
    );
    assert_eq!(scene.audit("identity.link").len(), 2);

    // Who signs out meanwhile links nothing.
    let (_, to) = scene.post(&mut other, "/me/identities", &body);
    let back = scene.provider.walk(
        &mut other,
        to["authorization_url"].as_str().unwrap(),
        "cleo",
    );
    assert_eq!(
        other.ask(Method::DELETE, &scene.at("/session"), None).0,
        204
    );
    assert_eq!(scene.end(&mut other, &back), "trouble=not-signed-in");

    a_second_factor_is_still_asked_for(scene, &mut ada);
    let (_, own) = scene.get(&mut ada, "/me/identities");
    let path = format!("/me/identities/{}", own["items"][0]["id"].as_str().unwrap());
    assert_eq!(bob.ask(Method::DELETE, &scene.at(&path), None).0, 404);
    assert_eq!(ada.ask(Method::DELETE, &scene.at(&path), None).0, 204);
    assert_eq!(scene.audit("identity.unlink").len(), 1);
    assert_eq!(
        scene.sign_in(&mut scene.browser(), "acme", "ada"),
        "trouble=unlinked"
    );
}

fn a_second_factor_is_still_asked_for(scene: &Scene, ada: &mut Browser) {
    let (_, made) = scene.post(ada, "/me/totp", &json!({ "password": PASSWORD }));
    let code = code(made["secret"].as_str().unwrap());
    let (status, on) = scene.post(ada, "/me/totp/enable", &json!({ "code": code }));
    assert_eq!(status, 200, "{on}");
    let mut browser = scene.browser();
    let give = |browser: &mut Browser, code: &Value| {
        scene.post(browser, "/sign-in/code", &json!({ "code": code }))
    };
    assert_eq!(give(&mut browser, &json!("000000")).0, 410);
    assert_eq!(scene.sign_in(&mut browser, "acme", "ada"), "code");
    assert!(!browser.has_cookie(&scene.at(""), SESSION));
    assert_eq!(scene.get(&mut browser, "/me").0, 401);
    assert_eq!(give(&mut browser, &json!("000000")).0, 401);
    let recovery = &on["recovery_codes"][0];
    assert_eq!(
        give(&mut scene.browser(), recovery).0,
        410,
        "it waits in one browser"
    );
    assert_eq!(give(&mut browser, recovery).0, 201);
    assert_eq!(scene.email(&mut browser), "ada@example.org");
    assert_eq!(give(&mut browser, &on["recovery_codes"][1]).0, 410);
}

fn with(url: &Url, name: &str, value: &str) -> Url {
    let pairs: Vec<_> = url.query_pairs().into_owned().collect();
    let mut changed = url.clone();
    changed.query_pairs_mut().clear().extend_pairs(
        pairs
            .iter()
            .map(|(key, old)| (key, if key == name { value } else { old })),
    );
    changed
}

fn a_forged_return_lets_nobody_in(scene: &Scene) {
    let mut bob = scene.browser();
    assert_eq!(scene.sign_in(&mut bob, "acme", "bob"), "");
    let users = scene.users();
    returns_that_are_not_this_browsers(scene);
    words_that_do_not_hold(scene);
    people_who_are_not_let_in(scene);
    assert_eq!(scene.users(), users);

    // The provider has a new key since it was asked for it.
    scene.provider.control(&json!({ "rotate": true }));
    assert_eq!(scene.sign_in(&mut scene.browser(), "acme", "bob"), "");
    scene.provider.control(&json!({ "in_token": true }));
    assert_eq!(scene.sign_in(&mut scene.browser(), "acme", "bob"), "");
    let log = scene.server.log();
    for secret in [CLIENT_SECRET, "twlo_", "twlc_", "code=", "state="] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

fn returns_that_are_not_this_browsers(scene: &Scene) {
    let mut browser = scene.browser();
    let back = scene.way_back(&mut browser, "acme", "bob");
    let elsewhere = back.as_str().replace("/acme/", "/strict/").parse().unwrap();
    let nothing = scene.at("/sign-in/providers/acme/callback");
    for forged in [&with(&back, "state", "guess"), &elsewhere, &nothing] {
        assert_eq!(scene.end(&mut browser, forged), "trouble=over", "{forged}");
    }
    let mut eve = scene.browser();
    assert_eq!(
        scene.end(&mut eve, &back),
        "trouble=over",
        "without a cookie"
    );
    scene.begin(&mut eve, "acme");
    assert_eq!(
        scene.end(&mut eve, &back),
        "trouble=over",
        "with another's cookie"
    );
    // None of that has used it up; the right browser does.
    assert_eq!(scene.end(&mut browser, &back), "");
    assert_eq!(
        scene.end(&mut browser, &back),
        "trouble=over",
        "it is used up"
    );

    let mut late = scene.browser();
    let back = scene.way_back(&mut late, "acme", "bob");
    scene
        .server
        .change("UPDATE oauth_attempts SET expires_at = created_at");
    assert_eq!(scene.end(&mut late, &back), "trouble=over");

    let back = scene.way_back(&mut late, "acme", "bob");
    let forged = with(&back, "iss", "https://evil.example");
    assert_eq!(scene.end(&mut late, &forged), "trouble=unproven");
    assert_eq!(scene.end(&mut late, &back), "trouble=over");

    assert_eq!(scene.get(&mut late, "/me").0, 401);

    // The person says no, there.
    let mut shy = scene.browser();
    let to = scene.begin(&mut shy, "acme");
    let back = scene.provider.refuse(&mut shy, &to);
    assert_eq!(scene.end(&mut shy, &back), "trouble=denied");
    assert_eq!(scene.get(&mut shy, "/me").0, 401);
}

fn words_that_do_not_hold(scene: &Scene) {
    let mut browser = scene.browser();
    for changed in ["nonce", "code_challenge"] {
        let to: Url = scene.begin(&mut browser, "acme").parse().unwrap();
        let other = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        let back = scene
            .provider
            .walk(&mut browser, with(&to, changed, other).as_str(), "bob");
        assert_eq!(
            scene.end(&mut browser, &back),
            "trouble=unproven",
            "{changed}"
        );
    }
    for tamper in [
        json!({ "claims": { "aud": "another" } }),
        json!({ "claims": { "aud": ["towline", "another"] } }),
        json!({ "claims": { "iss": "https://evil.example" } }),
        json!({ "claims": { "exp": 1 } }),
        json!({ "claims": { "at_hash": "AAAA" } }),
        json!({ "claims": { "sub": "ada" } }),
        json!({ "key": "other" }),
        json!({ "hmac": true }),
        json!({ "none": true }),
    ] {
        scene.provider.control(&json!({ "tamper": tamper }));
        let came = scene.sign_in(&mut browser, "acme", "bob");
        assert_eq!(came, "trouble=unproven", "{tamper}");
    }
    scene.provider.control(&json!({ "tamper": null }));

    // What is stored is another attempt's: it does not open.
    let back = scene.way_back(&mut browser, "acme", "bob");
    scene.begin(&mut scene.browser(), "acme");
    let newest = "(SELECT secrets_encrypted FROM oauth_attempts ORDER BY id DESC LIMIT 1)";
    scene.server.change(&format!(
        "UPDATE oauth_attempts SET secrets_encrypted = {newest}"
    ));
    assert_eq!(browser.open(&back).status, 500);
    assert_eq!(scene.get(&mut browser, "/me").0, 401);
}

fn people_who_are_not_let_in(scene: &Scene) {
    scene.provider.control(&json!({ "people": {
        "eve": { "email": "ada@example.org", "email_verified": false },
        "nameless": { "email": null },
        "cleo": { "email": "cleo@acme.example" },
    } }));
    for (id, login, word) in [
        ("acme", "eve", "no-email"),
        ("acme", "nameless", "no-email"),
        ("strict", "eve", "no-email"),
        ("strict", "dora", "domain"),
        ("strict", "cleo", "closed"),
    ] {
        let came = scene.sign_in(&mut scene.browser(), id, login);
        assert_eq!(came, format!("trouble={word}"), "{login} at {id}");
    }
}

#[test]
fn github_shows_people_by_its_api() {
    let scene = Scene::open(DatabaseKind::Sqlite);
    let emails = |verified: bool| {
        json!([
            { "email": "second@example.org", "primary": false, "verified": true },
            { "email": "octo@example.org", "primary": true, "verified": verified },
        ])
    };
    let octo = |change: Value| {
        let mut person =
            json!({ "id": 583_231, "login": "octo", "name": null, "emails": emails(true) });
        person
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        scene.provider.control(&json!({ "github": person }));
    };
    octo(json!({ "emails": emails(false) }));
    assert_eq!(
        scene.sign_in(&mut scene.browser(), "hub", ""),
        "trouble=no-email"
    );
    octo(json!({ "deny": true }));
    assert_eq!(
        scene.sign_in(&mut scene.browser(), "hub", ""),
        "trouble=denied"
    );
    octo(json!({}));
    let mut browser = scene.browser();
    let to: Url = scene.begin(&mut browser, "hub").parse().unwrap();
    let other = with(
        &to,
        "code_challenge",
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    );
    let back = scene.provider.walk(&mut browser, other.as_str(), "");
    assert_eq!(scene.end(&mut browser, &back), "trouble=unproven");
    assert_eq!(scene.sign_in(&mut browser, "hub", ""), "");
    let (_, me) = scene.get(&mut browser, "/me");
    assert_eq!(
        (&me["user"]["email"], &me["user"]["name"]),
        (&json!("octo@example.org"), &json!("octo"))
    );
    let (_, own) = scene.get(&mut browser, "/me/identities");
    assert_eq!(own["items"][0]["subject"], "583231");
    // Who is known comes in whatever becomes of their addresses and names.
    octo(json!({ "emails": emails(false), "login": "other" }));
    let mut again = scene.browser();
    assert_eq!(scene.sign_in(&mut again, "hub", ""), "");
    assert_eq!(scene.email(&mut again), "octo@example.org");
}
