//! Rendered mails: headers, MIME parts and encoding; header injection.

use i18n::lifetime::Lifetime;
use time::macros::datetime;
use uuid::Uuid;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-21 09:05:07 UTC);
const ID: Uuid = Uuid::from_u128(0x0195_0000_0000_7000_8000_0000_0000_0001);
const URL: &str = "https://example.org";
const NOT_ME: &str = "https://example.org/not-me/AZUAAAAAcACAAAAAAAAAAf-2rJp0fX7n0r8bQ3Lx_9k";

fn code(digits: &str) -> Mail<'_> {
    Mail::Code { digits, lifetime: Lifetime::of_seconds(60), not_me: NOT_ME }
}

fn sender(text: &str) -> Sender {
    Sender::parse(text).unwrap()
}

fn email_in(language: Language, from: &str, to: &str, mail: Mail<'_>) -> anyhow::Result<Email> {
    render(&sender(from), URL, &OutgoingMail { id: ID, to, language, mail }, NOW)
}

fn email(from: &str, to: &str, mail: Mail<'_>) -> anyhow::Result<Email> {
    email_in(Language::English, from, to, mail)
}

fn rendered(from: &str, to: &str, content: Mail<'_>) -> String {
    let email = email(from, to, content).unwrap();
    String::from_utf8(email.bytes).unwrap()
}

fn rendered_in(language: Language, content: Mail<'_>) -> String {
    let email = email_in(language, "Vestibule <no-reply@example.com>", "ann@example.org", content).unwrap();
    String::from_utf8(email.bytes).unwrap()
}

fn rendered_code_mail() -> String {
    rendered("Vestibule <no-reply@example.com>", "ann@example.org", code("0427"))
}

fn split_header_and_body(mail: &str) -> (&str, &str) {
    mail.split_once("\r\n\r\n").unwrap()
}

#[test]
fn headers_name_sender_date_and_auto_submission() {
    let mail = rendered_code_mail();
    let (header, _) = split_header_and_body(&mail);
    for line in [
        "From: Vestibule <no-reply@example.com>",
        "To: ann@example.org",
        "Subject: Your sign-up code",
        "Date: Sat, 21 Nov 2026 09:05:07 +0000",
        "Message-ID: <01950000-0000-7000-8000-000000000001@example.com>",
        "Auto-Submitted: auto-generated",
        "Content-Language: en",
        "MIME-Version: 1.0",
    ] {
        assert!(header.split("\r\n").any(|found| found == line), "{line} is missing in\n{header}");
    }
    assert!(header.contains("multipart/alternative"));
}

#[test]
fn envelope_has_the_sender_and_the_recipient() {
    let email = email("Vestibule <no-reply@example.com>", "ann@example.org", code("0427")).unwrap();
    assert_eq!((email.from.as_ref(), email.to.as_ref()), ("no-reply@example.com", "ann@example.org"));
}

#[test]
fn plain_text_has_the_code_alone_on_a_line() {
    let mail = rendered_code_mail();
    assert_eq!(mail.split("\r\n").filter(|line| *line == "0427").count(), 1);
    let (_, body) = split_header_and_body(&mail);
    assert!(body.split("text/html").next().unwrap().contains("Content-Transfer-Encoding: 7bit"));
}

#[test]
fn code_is_in_both_parts_and_no_header() {
    let mail = rendered_code_mail();
    let (header, body) = split_header_and_body(&mail);
    assert!(!header.contains("0427"));
    assert_eq!(body.matches("0427").count(), 2);
}

#[test]
fn mail_is_ascii_with_short_crlf_lines() {
    let mail = rendered("Käsehäuschen <no-reply@example.com>", "ann@example.org", code("0427"));
    assert!(mail.is_ascii());
    assert!(mail.split("\r\n").all(|line| line.len() <= 78 && !line.contains('\n')), "{mail}");
    assert!(mail.split("\r\n").any(|line| line == "0427"));
}

#[test]
fn same_message_renders_the_same_mail() {
    for language in Language::ALL {
        assert_eq!(rendered_in(*language, code("0427")), rendered_in(*language, code("0427")));
    }
}

#[test]
fn every_language_renders_ascii_with_a_readable_code() {
    for language in Language::ALL {
        for content in Mail::EXAMPLES {
            let mail = rendered_in(*language, *content);
            assert!(mail.is_ascii() && mail.split("\r\n").all(|line| line.len() <= 78), "{mail}");
            let (header, body) = split_header_and_body(&mail);
            assert!(header.contains(&format!("\r\nContent-Language: {}\r\n", language.tag())), "{header}");
            assert_eq!(body.matches("charset=utf-8").count(), 2, "{body}");
            let lines = body.split("\r\n").filter(|line| *line == "0427").count();
            assert_eq!(lines, usize::from(content.digits().is_some()), "{body}");
        }
    }
}

#[test]
fn s_12_line_breaks_and_nul_are_rejected_in_every_field() {
    let valid_sender = "Vestibule <no-reply@example.com>";
    for bad in ["\r", "\n", "\0", "\r\nBcc: eve@example.org", "\r\n.\r\n"] {
        let to = format!("ann@example.org{bad}");
        assert!(email(valid_sender, &to, code("0427")).is_err(), "to {to:?}");
        let url = format!("{URL}{bad}");
        let outgoing = OutgoingMail { id: ID, to: "ann@example.org", language: Language::French, mail: code("0427") };
        assert!(render(&sender(valid_sender), &url, &outgoing, NOW).is_err(), "url {url:?}");
        let digits = format!("0427{bad}");
        assert!(email(valid_sender, "ann@example.org", code(&digits)).is_err(), "digits {digits:?}");
        for from in [
            format!("Vesti{bad}bule <a@example.com>"),
            format!("\"Vesti{bad}bule\" <a@example.com>"),
            format!("<a@example.com>{bad}"),
        ] {
            assert!(Sender::parse(&from).is_err(), "from {from:?}");
        }
    }
}

#[test]
fn invalid_recipients_are_rejected_without_repeating_them() {
    let valid_sender = "Vestibule <no-reply@example.com>";
    for to in ["", "ann", "ann@", "a b@x.io", "\"a b\"@x.io", "a@x.io,b@x.io", "Ann <a@x.io>", "änn@x.io", "a@x.io>"] {
        let error = email(valid_sender, to, code("0427")).err().unwrap_or_else(|| panic!("{to:?} was accepted"));
        assert!(to.is_empty() || !format!("{error:?}").contains(to));
    }
}

#[test]
fn sender_needs_an_address_but_no_name() {
    assert!(
        rendered("no-reply@example.com", "ann@example.org", code("0427")).contains("sign-up code for example.com is:")
    );
    for bad in ["", "Vestibule", "Vestibule <>", "Vestibule <no-domain>", "a@x.io, b@x.io"] {
        assert!(Sender::parse(bad).is_err(), "{bad:?}");
    }
}
