//! Enrolment tokens, whole, truncated and damaged.

use towline_pki::{EnrollToken, EnrollTokenError, Fingerprint};

use crate::Judge;

const ADDRESS: &str = "https://towline.example:8443";

fn token() -> EnrollToken {
    EnrollToken::mint(ADDRESS, Fingerprint([7; 32])).unwrap()
}

#[test]
fn a_token_carries_address_authority_and_secret() {
    let token = token();
    let text = token.to_string();
    assert!(text.starts_with("twl1_") && text.len() < 180, "{text}");
    for pasted in [text.clone(), format!("  {text}\n")] {
        let read: EnrollToken = pasted.parse().unwrap();
        assert_eq!((read.address.as_str(), read.ca), (ADDRESS, token.ca));
        assert_eq!(read.secret.hash(), token.secret.hash());
    }
    assert!(!format!("{token:?}").contains(&*token.secret.reveal()));
}

#[test]
fn each_bad_token_has_its_own_answer() {
    use EnrollTokenError as E;
    let text = token().to_string();
    let body = &text["twl1_".len()..];
    let table: Vec<(String, Judge<E>)> = vec![
        (String::new(), |e| matches!(e, E::NotAToken)),
        ("hello".to_owned(), |e| matches!(e, E::NotAToken)),
        (body.to_owned(), |e| matches!(e, E::NotAToken)),
        (format!("TWL1_{body}"), |e| matches!(e, E::NotAToken)),
        (format!("twl_{body}"), |e| matches!(e, E::NotAToken)),
        (format!("twl0_{body}"), |e| matches!(e, E::NotAToken)),
        (format!("twl+1_{body}"), |e| matches!(e, E::NotAToken)),
        (format!("twlk_{body}"), |e| matches!(e, E::NotAToken)),
        (format!("twl2_{body}"), |e| matches!(e, E::LaterVersion(2))),
        ("twl17_anything".to_owned(), |e| {
            matches!(e, E::LaterVersion(17))
        }),
        ("twl1_".to_owned(), |e| matches!(e, E::Damaged)),
        ("twl1_AAAA".to_owned(), |e| matches!(e, E::Damaged)),
        (format!("{text}A"), |e| matches!(e, E::Damaged)),
        (format!("{text}{text}"), |e| matches!(e, E::Damaged)),
        (text.replacen('_', "_ ", 1), |e| matches!(e, E::Damaged)),
        (format!("twl1_{}", "A".repeat(100_000)), |e| {
            matches!(e, E::Damaged)
        }),
    ];
    for (bad, expected) in table {
        let error = bad.parse::<EnrollToken>().unwrap_err();
        assert!(expected(&error), "{bad:.40}: {error:?}");
    }
}

#[test]
fn every_truncation_and_every_changed_character_is_noticed() {
    let text = token().to_string();
    for length in 5..text.len() {
        let error = text[..length].parse::<EnrollToken>().unwrap_err();
        assert!(
            matches!(error, EnrollTokenError::Damaged),
            "{length}: {error:?}"
        );
    }
    for at in 5..text.len() {
        for other in "AZaz09-_+/=~"
            .chars()
            .filter(|c| !text[at..].starts_with(*c))
        {
            let mut changed = text.clone();
            changed.replace_range(at..=at, other.encode_utf8(&mut [0; 4]));
            let error = changed.parse::<EnrollToken>().unwrap_err();
            assert!(
                matches!(error, EnrollTokenError::Damaged),
                "{at} {other}: {error:?}"
            );
        }
    }
}

#[test]
fn an_address_is_https_host_and_port() {
    for good in [
        "https://h",
        "https://h.example:1",
        "https://192.0.2.1:65535",
        "https://[2001:db8::1]:8443",
    ] {
        let token = EnrollToken::mint(good, Fingerprint([0; 32])).unwrap();
        assert_eq!(
            token.to_string().parse::<EnrollToken>().unwrap().address,
            good
        );
    }
    let long = format!("https://{}.example", "a".repeat(300));
    for bad in [
        "",
        "h",
        "http://h",
        "HTTPS://h",
        "https://",
        "https://h/",
        "https://h/path",
        "https://u@h",
        "https://h:",
        "https://h:0",
        "https://h:65536",
        "https://h:+1",
        "https://h:x",
        "https://[::1",
        "https://h h",
        "https://h?q",
        "https://[::1]x",
        &long,
    ] {
        let error = EnrollToken::mint(bad, Fingerprint([0; 32])).unwrap_err();
        assert!(
            matches!(error, EnrollTokenError::Address(_)),
            "{bad}: {error:?}"
        );
        // Nor can one be smuggled in by a well-formed token.
        let forged = EnrollToken {
            address: bad.to_owned(),
            ..token()
        }
        .to_string();
        assert!(forged.parse::<EnrollToken>().is_err(), "{bad}");
    }
}
