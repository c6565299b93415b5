use time::macros::datetime;
use uuid::Uuid;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-21 09:05:07 UTC);
const ID: Uuid = Uuid::from_u128(0x0195_0000_0000_7000_8000_0000_0000_0001);
const URL: &str = "https://hall.example.org";
const CODE: Content<'static> = Content::Code { digits: "0427", lifetime_seconds: 60 };

fn sender(text: &str) -> Sender {
    Sender::parse(text).unwrap()
}

fn letter(from: &str, to: &str, content: Content<'_>) -> anyhow::Result<Letter> {
    render(&sender(from), URL, &Outgoing { id: ID, to, content }, NOW)
}

fn mail(from: &str, to: &str, content: Content<'_>) -> String {
    let letter = letter(from, to, content).unwrap();
    String::from_utf8(letter.bytes).unwrap()
}

fn code_mail() -> String {
    mail("Vestibule <no-reply@example.com>", "ann@example.org", CODE)
}

fn head_and_body(mail: &str) -> (&str, &str) {
    mail.split_once("\r\n\r\n").unwrap()
}

#[test]
fn the_head_says_who_when_and_that_a_robot_wrote_it() {
    let mail = code_mail();
    let (head, _) = head_and_body(&mail);
    for line in [
        "From: Vestibule <no-reply@example.com>",
        "To: ann@example.org",
        "Subject: Your sign-up code",
        "Date: Sat, 21 Nov 2026 09:05:07 +0000",
        "Message-ID: <01950000-0000-7000-8000-000000000001@example.com>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
    ] {
        assert!(head.split("\r\n").any(|found| found == line), "{line} is missing in\n{head}");
    }
    assert!(head.contains("multipart/alternative"));
}

#[test]
fn the_envelope_is_the_sender_and_the_recipient() {
    let letter = letter("Vestibule <no-reply@example.com>", "ann@example.org", CODE).unwrap();
    assert_eq!((letter.from.as_ref(), letter.to.as_ref()), ("no-reply@example.com", "ann@example.org"));
}

#[test]
fn the_code_stands_alone_on_one_line_in_readable_text() {
    let mail = code_mail();
    assert_eq!(mail.split("\r\n").filter(|line| *line == "0427").count(), 1);
    let (_, body) = head_and_body(&mail);
    assert!(body.split("text/html").next().unwrap().contains("Content-Transfer-Encoding: 7bit"));
}

#[test]
fn the_code_is_in_both_parts_and_nowhere_in_the_head() {
    let mail = code_mail();
    let (head, body) = head_and_body(&mail);
    assert!(!head.contains("0427"));
    assert_eq!(body.matches("0427").count(), 2);
}

#[test]
fn no_subject_holds_a_digit() {
    for content in [CODE, Content::AlreadyRegistered, Content::Activated] {
        assert!(!subject(&content).contains(|c: char| c.is_ascii_digit()));
    }
}

#[test]
fn it_says_how_long_the_code_lives_and_what_to_do_if_it_was_not_you() {
    let mail = code_mail();
    assert_eq!(mail.matches("1 minute").count(), 2);
    assert_eq!(mail.matches("Was this not you?").count(), 2);
}

#[test]
fn every_mail_names_the_service_and_links_to_the_public_url_only() {
    for content in [CODE, Content::AlreadyRegistered, Content::Activated] {
        let mail = mail("Vestibule <no-reply@example.com>", "ann@example.org", content);
        assert!(mail.contains("Vestibule") && mail.contains(URL));
        assert_eq!(mail.matches("http").count(), mail.matches(URL).count(), "{mail}");
        assert!(!mail.contains("src="), "nothing is loaded from outside");
    }
}

#[test]
fn only_the_code_mail_has_a_line_of_digits() {
    for content in [Content::AlreadyRegistered, Content::Activated] {
        let mail = mail("Vestibule <no-reply@example.com>", "ann@example.org", content);
        let is_code = |line: &str| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit());
        assert!(!mail.split("\r\n").any(is_code));
    }
}

#[test]
fn a_name_is_escaped_in_html_and_plain_in_text() {
    let mail = mail(r#""Ham & <b>Eggs</b>" <no-reply@example.com>"#, "ann@example.org", CODE);
    let (text, html) = mail.split_once("text/html").unwrap();
    assert!(text.contains("welcome to Ham & <b>Eggs</b>!"), "{text}");
    assert!(html.contains("Ham &#38; &#60;b&#62;Eggs") && !html.contains("<b>"), "{html}");
}

#[test]
fn a_mail_is_ascii_with_short_crlf_lines_whatever_the_name() {
    let mail = mail("Käsehäuschen <no-reply@example.com>", "ann@example.org", CODE);
    assert!(mail.is_ascii());
    assert!(mail.split("\r\n").all(|line| line.len() <= 78 && !line.contains('\n')), "{mail}");
    assert!(mail.split("\r\n").any(|line| line == "0427"));
}

#[test]
fn the_same_message_is_the_same_mail() {
    assert_eq!(code_mail(), code_mail());
}

#[test]
fn s_12_line_breaks_and_nul_are_refused_in_every_field() {
    let good = "Vestibule <no-reply@example.com>";
    for bad in ["\r", "\n", "\0", "\r\nBcc: eve@example.org", "\r\n.\r\n"] {
        let to = format!("ann@example.org{bad}");
        assert!(letter(good, &to, CODE).is_err(), "to {to:?}");
        let url = format!("{URL}{bad}");
        assert!(
            render(&sender(good), &url, &Outgoing { id: ID, to: "ann@example.org", content: CODE }, NOW).is_err(),
            "url {url:?}"
        );
        let digits = format!("0427{bad}");
        let content = Content::Code { digits: &digits, lifetime_seconds: 60 };
        assert!(letter(good, "ann@example.org", content).is_err(), "digits {digits:?}");
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
fn odd_recipients_are_refused_and_not_repeated() {
    let good = "Vestibule <no-reply@example.com>";
    for to in ["", "ann", "ann@", "a b@x.io", "\"a b\"@x.io", "a@x.io,b@x.io", "Ann <a@x.io>", "änn@x.io", "a@x.io>"] {
        let error = letter(good, to, CODE).err().unwrap_or_else(|| panic!("{to:?} was taken"));
        assert!(to.is_empty() || !format!("{error:?}").contains(to));
    }
}

#[test]
fn a_sender_needs_an_address_but_no_name() {
    assert!(mail("no-reply@example.com", "ann@example.org", CODE).contains("welcome to example.com!"));
    for bad in ["", "Vestibule", "Vestibule <>", "Vestibule <nobody>", "a@x.io, b@x.io"] {
        assert!(Sender::parse(bad).is_err(), "{bad:?}");
    }
}
