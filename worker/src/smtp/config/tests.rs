//! Parsing of `SMTP_URL`.

use super::*;

fn parsed(url: &str) -> SmtpConfig {
    SmtpConfig::parse(url).unwrap_or_else(|error| panic!("{url} {error}"))
}

#[test]
fn scheme_decides_the_port_and_the_tls_mode() {
    let cases = [
        ("smtp://mail.example.com", 25, "plain"),
        ("smtp://mail.example.com/", 25, "plain"),
        ("smtp://mail.example.com?tls=required", 25, "STARTTLS"),
        ("smtp://mail.example.com:587?tls=required", 587, "STARTTLS"),
        ("smtps://mail.example.com", 465, "TLS"),
        ("smtps://mail.example.com:2465?tls=required", 2465, "TLS"),
    ];
    for (url, port, security) in cases {
        let config = parsed(url);
        assert_eq!((config.host.as_str(), config.port), ("mail.example.com", port), "{url}");
        assert_eq!(format!("{:?}", config.security), security, "{url}");
    }
}

#[test]
fn host_may_be_an_ip_address() {
    assert_eq!(parsed("smtp://127.0.0.1:1025").host, "127.0.0.1");
    assert_eq!(parsed("smtp://[::1]:1025").host, "::1");
    parsed("smtps://[::1]");
}

#[test]
fn credentials_are_percent_decoded() {
    let config = parsed("smtp://worker%40example.com:p%40ss%3Aw%2Frd@mail.example.com");
    let expected = Credentials::new("worker@example.com".into(), "p@ss:w/rd".into());
    assert!(config.credentials == Some(expected));
    assert!(parsed("smtp://mail.example.com").credentials.is_none());
}

#[test]
fn invalid_url_is_rejected_without_repeating_it() {
    for url in [
        "",
        "canary",
        "mail.canary.example:25",
        "http://user:canary@mail.example.com",
        "smtp://",
        "smtp://user:canary@",
        "smtp://user:canary@mail.example.com:99999",
        "smtp://user:can/ary@mail.example.com",
        "smtp://user:can#ary@mail.example.com",
        "smtp://user:can?ary@mail.example.com",
        "smtp://canary@mail.example.com",
        "smtp://:canary@mail.example.com",
        "smtp://user:canary%FF@mail.example.com",
        "smtp://user:canary%00@mail.example.com",
        "smtp://mail.example.com/canary",
        "smtp://mail.example.com#canary",
        "smtp://mail.example.com?tls=canary",
        "smtp://mail.example.com?canary=1",
        "smtp://mail.example.com?ca=/canary.pem",
        "smtps://mail.example.com?ca=",
        "smtps://mail.example.com?ca=/canary.pem",
        "smtps://user:canary@mail example.com",
        "smtps://user:canary@-",
    ] {
        let error = SmtpConfig::parse(url).err().unwrap_or_else(|| panic!("{url} was accepted"));
        for piece in ["canary", "ary@", "can/", "can#", "can?", ".example"] {
            assert!(!error.contains(piece), "{url}: {error}");
        }
    }
}

#[test]
fn debug_output_has_no_credentials() {
    let shown = format!("{:?}", parsed("smtp://canary:canary@mail.example.com"));
    assert!(!shown.contains("canary") && shown.contains("mail.example.com"), "{shown}");
}
