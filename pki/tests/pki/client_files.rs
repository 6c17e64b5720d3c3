//! What a client of an engine is given is judged before it is kept.

use chrono::{DateTime, TimeDelta, Utc};
use towline_pki::docker::{
    ClientFile, ClientFiles, ClientName, DockerAuthority, HostName, HostNames, IssuedPair,
};

fn moment() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn authority(name: &str) -> DockerAuthority {
    let host: HostName = name.parse().unwrap();
    DockerAuthority::generate(&host, moment()).unwrap()
}

fn client(authority: &DockerAuthority) -> IssuedPair {
    let name: ClientName = "ann@laptop".parse().unwrap();
    authority.issue_client(&name, moment()).unwrap()
}

#[test]
fn files_that_fit_are_taken() {
    let (ours, theirs) = (authority("build-1"), authority("build-2"));
    let (ann, ca) = (client(&ours), ours.certificate());
    // Both authorities of a host that changes from one to the other are as good.
    for ca in [ca.clone(), format!("{}{ca}", theirs.certificate())] {
        let files = ClientFiles::read(&ca, &ann.certificate, &ann.key, moment()).unwrap();
        assert_eq!(files.certificate.not_after, ann.not_after);
        assert!(files.certificate.subject.contains("ann@laptop"));
        assert_eq!(files.authority.fingerprint, ours.fingerprint());
        assert!(!format!("{files:?}").contains("PRIVATE"));
    }
}

/// Authority, certificate, key and the day, and what is said of which.
type Case<'a> = ([&'a str; 3], i32, ClientFile, &'a str);

#[test]
fn files_that_do_not_fit_are_named() {
    use ClientFile::{Authority, Certificate, Key};
    let (ours, theirs) = (authority("build-1"), authority("build-2"));
    let (ann, foreign, ca) = (client(&ours), client(&theirs), ours.certificate());
    let names = HostNames::of(["build-1".parse().unwrap()]).unwrap();
    let server = ours.issue_server(&names, moment()).unwrap();
    let many = ca.repeat(9);
    let (cert, key) = (ann.certificate.as_str(), ann.key.as_str());
    let (other, other_key) = (foreign.certificate.as_str(), foreign.key.as_str());
    let table: [Case<'_>; 9] = [
        (["", cert, key], 1, Authority, "ca.pem cannot be read"),
        ([&many, cert, key], 1, Authority, "ca.pem has 9"),
        ([&ca, key, key], 1, Certificate, "cert.pem cannot be read"),
        ([&ca, cert, cert], 1, Key, "key.pem cannot be read"),
        ([&ca, cert, other_key], 1, Key, "not the key of cert.pem"),
        ([&ca, other, other_key], 1, Certificate, "was not issued by"),
        (
            [&ca, &server.certificate, &server.key],
            1,
            Certificate,
            "is not for clients",
        ),
        ([&ca, cert, key], 91, Certificate, "cert.pem has expired"),
        ([&ca, cert, key], -1, Certificate, "counts from"),
    ];
    for ([ca, certificate, key], days, file, words) in table {
        let at = moment() + TimeDelta::days(days.into());
        let refused = ClientFiles::read(ca, certificate, key, at).unwrap_err();
        assert!(refused.to_string().contains(words), "{words}: {refused}");
        assert_eq!(refused.file(), file, "{words}");
        assert!(!refused.to_string().contains("PRIVATE KEY"), "{words}");
    }
}
