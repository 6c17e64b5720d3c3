//! Bearer tokens and whose they are.

use std::{collections::HashMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use http::{HeaderMap, header::AUTHORIZATION};
use serde_json::{Value, json};

use crate::{
    document::{number, text},
    refusal::{Answer, Refusal},
    store::Store,
};

/// Somebody at the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub name: String,
    pub groups: Vec<String>,
}

#[derive(Clone, Debug)]
struct Bearer {
    user: User,
    /// The service account that the token ends with: namespace, name, uid.
    account: Option<(String, String, String)>,
    until: Option<DateTime<Utc>>,
}

/// The tokens that are known.
#[derive(Debug)]
pub(crate) struct Access {
    tokens: HashMap<String, Bearer>,
    admin: String,
}

impl User {
    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == "system:masters")
    }

    fn anonymous() -> Self {
        Self {
            name: "system:anonymous".to_owned(),
            groups: vec!["system:unauthenticated".to_owned()],
        }
    }

    fn of_account(namespace: &str, name: &str) -> Self {
        Self {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ],
        }
    }
}

impl Access {
    /// With a token for the admin and no other.
    pub(crate) fn new() -> Self {
        let admin = random_token();
        let user = User {
            name: "kubernetes-admin".to_owned(),
            groups: vec![
                "system:masters".to_owned(),
                "system:authenticated".to_owned(),
            ],
        };
        let bearer = Bearer {
            user,
            account: None,
            until: None,
        };
        let tokens = HashMap::from([(admin.clone(), bearer)]);
        Self { tokens, admin }
    }

    /// The admin's token.
    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }

    /// Who sends these headers: nobody in particular without a token, and no one with an unknown one.
    pub(crate) fn identify(&self, store: &Store, headers: &HeaderMap) -> Answer<User> {
        let Some(header) = headers.get(AUTHORIZATION) else {
            return Ok(User::anonymous());
        };
        let token = header
            .to_str()
            .ok()
            .and_then(|value| value.strip_prefix("Bearer "));
        let bearer = token.and_then(|token| self.tokens.get(token.trim()));
        let valid = bearer.filter(|bearer| {
            let lives = bearer.until.is_none_or(|until| Utc::now() < until);
            let there = bearer
                .account
                .as_ref()
                .is_none_or(|(namespace, name, uid)| {
                    let account = store.get("serviceaccounts", namespace, name);
                    account.is_some_and(|account| text(&account, "metadata/uid") == uid)
                });
            lives && there
        });
        let user = valid.map(|bearer| bearer.user.clone());
        let user = user.ok_or_else(|| Refusal::plain(401, "Unauthorized", "Unauthorized"))?;
        Ok(impersonated(headers)
            .filter(|_| user.is_master())
            .unwrap_or(user))
    }

    /// A token for a service account, as the status of a `TokenRequest`.
    pub(crate) fn issue(
        &mut self,
        store: &Store,
        namespace: &str,
        name: &str,
        wanted: &Value,
    ) -> Value {
        let seconds = number(wanted, "spec/expirationSeconds").unwrap_or(3600);
        let until = Utc::now() + TimeDelta::seconds(seconds);
        let account = store.get("serviceaccounts", namespace, name);
        let uid = account.map_or_else(String::new, |account| {
            text(&account, "metadata/uid").to_owned()
        });
        let claims = json!({
            "sub": format!("system:serviceaccount:{namespace}:{name}"), "exp": until.timestamp(),
            "iss": "https://kubernetes.default.svc", "aud": ["https://kubernetes.default.svc"],
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
        });
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"test"}"#);
        let body = URL_SAFE_NO_PAD.encode(claims.to_string());
        let token = format!("{header}.{body}.{}", random_token());
        let bearer = Bearer {
            user: User::of_account(namespace, name),
            account: Some((namespace.to_owned(), name.to_owned(), uid)),
            until: Some(until),
        };
        self.tokens.insert(token.clone(), bearer);
        json!({"token": token, "expirationTimestamp": until.to_rfc3339_opts(SecondsFormat::Secs, true)})
    }

    /// Ends all tokens of a service account in so long, as their expiry would.
    pub(crate) fn expire(&mut self, namespace: &str, name: &str, left: Duration) {
        let until = Utc::now() + left;
        for bearer in self.tokens.values_mut() {
            let is_meant = bearer
                .account
                .as_ref()
                .is_some_and(|account| account.0 == namespace && account.1 == name);
            if is_meant {
                bearer.until = Some(until);
            }
        }
    }
}

/// Whom a master wants to be taken for.
fn impersonated(headers: &HeaderMap) -> Option<User> {
    let name = headers.get("impersonate-user")?.to_str().ok()?;
    let groups = headers.get_all("impersonate-group").iter();
    let mut groups: Vec<String> = groups
        .filter_map(|group| Some(group.to_str().ok()?.to_owned()))
        .collect();
    let account: Vec<&str> = name.split(':').collect();
    if let ["system", "serviceaccount", namespace, account] = account.as_slice() {
        return Some(User::of_account(namespace, account));
    }
    groups.push("system:authenticated".to_owned());
    Some(User {
        name: name.to_owned(),
        groups,
    })
}

fn random_token() -> String {
    let mut bytes = [0; 24];
    fastrand::fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
