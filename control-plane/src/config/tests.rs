#![allow(clippy::unwrap_used)]
use std::fs;

use super::*;

fn settings(toml: &str) -> Settings {
    toml::from_str(toml).unwrap()
}

#[test]
fn what_is_given_outdoes_what_is_below_field_by_field() {
    let given = settings("[public]\nlisten = '127.0.0.1:1'\n[log]\nformat = 'json'");
    let below = settings(
        "data-dir = '/below'\n[public]\nlisten = '127.0.0.1:2'\nurl = 'https://below'\n[log]\nfilter = 'warn'",
    );
    let config = Config::resolve(given.over(below)).unwrap();
    assert_eq!(config.public.listen, "127.0.0.1:1".parse().unwrap());
    assert_eq!(config.public.url.unwrap().to_string(), "https://below");
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.log.filter, "warn");
    assert_eq!(config.data_dir, PathBuf::from("/below"));
    assert_eq!(config.master_key, MasterKeySource::DataDirectory);
}

#[test]
fn the_file_in_the_data_directory_is_read_when_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let given = || Settings {
        data_dir: Some(dir.path().to_owned()),
        ..Settings::default()
    };
    assert_eq!(Config::load(given(), None).unwrap().log.filter, "info");
    fs::write(dir.path().join(DEFAULT_FILE), "[log]\nfilter = 'debug'").unwrap();
    assert_eq!(Config::load(given(), None).unwrap().log.filter, "debug");
    let named = dir.path().join("named.toml");
    let refused = Config::load(given(), Some(&named)).unwrap_err().to_string();
    assert!(
        refused.contains("named.toml") && refused.contains("--config"),
        "{refused}"
    );
}

#[test]
fn what_is_wrong_in_a_file_is_named() {
    let table = [
        ("port = 1", "port"),
        ("[public]\nlissten = '127.0.0.1:1'", "lissten"),
        ("[public]\nlisten = 'localhost'", "listen"),
        ("[public]\nurl = 'http://a'", "https://host"),
        ("[database]\nurl = 'mysql://a'", "PostgreSQL"),
        ("[accounts]\nsign-up = 'yes'", "closed"),
        ("[smtp]\nurl = 'mail.example'", "smtps://user@host"),
        ("[smtp]\npassword = 'x'", "password"),
        ("[log]\nformat = 'xml'", "xml"),
        ("[master-key]\nvalue = 'x'", "value"),
        ("[agents]\naddress = 'host'", "host:port"),
        ("[egress]\nallow = ['10.0.0.1/8']", "10.0.0.1/8"),
        ("[egress]\nallow-https = true", "allow-https"),
        ("[[sign-in.providers]]\nid = 'a'", "kind"),
        ("[sign-in]\nsecrets = 1", "secrets"),
        ("[public", "line 1"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.toml");
    for (text, named) in table {
        fs::write(&path, text).unwrap();
        let refused = Config::load(Settings::default(), Some(&path)).unwrap_err();
        let message = refused.to_string();
        assert!(message.contains("broken.toml"), "{text}: {message}");
        assert!(message.contains(named), "{text}: {message}");
    }
}

#[test]
fn halves_and_doubles_are_refused() {
    let table = [
        ("[public]\ntls-cert = 'a'", "--tls-key"),
        ("[public]\ntls-key = 'a'", "--tls-cert"),
        ("[master-key]\nfile = 'a'\ncommand = ['b']", "keep one of"),
        ("[master-key]\ncommand = []", "names no program"),
        ("[smtp]\nurl = 'smtps://a'", "--smtp-from"),
        ("[smtp]\nfrom = 'a@b'", "--smtp-url"),
        ("[smtp]\nurl = 'smtps://a@b'\nfrom = 'a@b'", "no password"),
        (
            "[smtp]\nurl = 'smtps://b'\nfrom = 'a@b'\npassword-file = 'p'",
            "no user",
        ),
    ];
    for (text, named) in table {
        let message = Config::resolve(settings(text)).unwrap_err().to_string();
        assert!(message.contains(named), "{text}: {message}");
    }
}

#[test]
fn addresses_of_the_public_listener() {
    let good = [
        ("https://a.example", "https://a.example"),
        ("https://a.example:8443/", "https://a.example:8443"),
        ("https://10.0.0.1:1", "https://10.0.0.1:1"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ];
    for (text, written) in good {
        assert_eq!(text.parse::<PublicUrl>().unwrap().to_string(), written);
    }
    for bad in [
        "a.example",
        "http://a.example",
        "https://",
        "https://a.example/path",
        "https://a.example?x",
        "https://user@a.example",
        "https://a.example:0",
        "https://a.example:99999",
        "https://a b",
    ] {
        assert!(bad.parse::<PublicUrl>().is_err(), "{bad}");
    }
}

#[test]
fn addresses_that_are_not_given_follow_from_where_the_listeners_are() {
    let config = Config::resolve(Settings::default()).unwrap();
    let url = |bound: &str| {
        config
            .public
            .url_at(bound.parse().unwrap(), "box")
            .to_string()
    };
    assert_eq!(url("[::]:8443"), "https://box:8443");
    assert_eq!(url("0.0.0.0:443"), "https://box");
    assert_eq!(url("127.0.0.1:9000"), "https://127.0.0.1:9000");
    assert_eq!(url("[::1]:9000"), "https://[::1]:9000");
    let agents = config
        .agents
        .address_at("[::]:8444".parse().unwrap(), "::1");
    assert_eq!(agents.to_string(), "[::1]:8444");
}

#[test]
fn a_database_password_does_not_print() {
    let table = [
        ("postgres://u:hunter2@h:5432/d", "postgres://u:***@h:5432/d"),
        ("postgres://u:p@hunter2@h/d", "postgres://u:***@h/d"),
        (
            "postgres://h/d?password=hunter2&sslmode=require",
            "postgres://h/d?password=***&sslmode=require",
        ),
        ("postgres://u@h/d", "postgres://u:***@h/d"),
        ("postgres://h/d", "postgres://h/d"),
    ];
    for (text, printed) in table {
        let Ok(url) = text.parse::<DatabaseUrl>() else {
            assert!(text.matches('@').count() > 1, "{text}");
            continue;
        };
        assert_eq!(url.to_string(), printed);
        assert_eq!(format!("{url:?}"), printed);
    }
    let refused = "mysql://u:hunter2@h".parse::<DatabaseUrl>().unwrap_err();
    assert!(!refused.to_string().contains("hunter2"));
}

#[test]
fn a_printed_configuration_reads_as_itself() {
    let full = "data-dir = '/d'\n[public]\nlisten = '127.0.0.1:1'\nurl = 'https://a'\ntls-cert = 'c'\n\
        tls-key = 'k'\n[agents]\nlisten = '127.0.0.1:2'\naddress = 'a:2'\n[accounts]\nsign-up = 'open'\n[smtp]\nurl = 'smtps://u@mail'\nfrom = 'T <t@a>'\npassword-file = 'p'\n[master-key]\ncommand = ['a', 'b']\n\
        [egress]\nallow = ['10.0.0.0/8', '::1/128']\nallow-http = true\nchat-hosts = ['chat.example.org']\n\
        [[sign-in.providers]]\nid = 'acme'\nname = 'A'\nkind = 'oidc'\nissuer = 'https://a'\nclient-id = 'i'\nclient-secret-file = 's'\n\
        sign-up = 'open'\nemail-domains = ['a.b']";
    for text in [full, ""] {
        let config = Config::resolve(settings(text)).unwrap();
        let printed = config.to_toml().unwrap();
        assert_eq!(
            Config::resolve(settings(&printed)).unwrap(),
            config,
            "{printed}"
        );
    }
}

#[test]
fn secrets_are_hidden_in_print() {
    let mut given = settings(
        "[database]\nurl = 'postgres://u:hunter2@h/d'\n[smtp]\nurl = 'smtps://u@mail'\nfrom = 'a@b'\n\
        [[sign-in.providers]]\nid = 'hub'\nkind = 'github'\nclient-id = 'i'",
    );
    let secret = ("HUB".to_owned(), "hunter5".to_owned().into());
    given.sign_in.secrets.extend([secret]);
    given.smtp.password = Some("hunter4".to_owned().into());
    given.master_key.value = Some("hunter3".to_owned().into());
    let config = Config::resolve(given).unwrap();
    for text in [config.to_toml().unwrap(), format!("{config:?}")] {
        assert!(!text.contains("hunter"), "{text}");
    }
    let printed = config.to_toml().unwrap();
    assert!(printed.contains("TOWLINE_SIGN_IN_SECRET_HUB"), "{printed}");
    settings(&printed);
}
