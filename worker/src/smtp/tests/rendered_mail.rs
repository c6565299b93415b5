//! A rendered mail arrives unchanged: from the template to the mailbox.

use i18n::{Language, lifetime::Lifetime, mail::Mail};
use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

use support::fake_smtp::FakeSmtpServer;

use super::client;
use crate::{
    delivery::email::{OutgoingMail, Sender, render},
    smtp::SendOutcome,
};

const NOT_ME: &str = "http://localhost:8000/not-me/AZUAAAAAcACAAAAAAAAAAf-2rJp0fX7n0r8bQ3Lx_9k";
const NOW: OffsetDateTime = datetime!(2026-11-21 09:05:07 UTC);

#[tokio::test]
async fn rendered_code_arrives_unchanged() {
    let mail_server = FakeSmtpServer::start().await;
    let id = Uuid::from_u128(7);
    // The second name is not ASCII, so that its mail is quoted-printable.
    for (n, from) in ["Vestibule <no-reply@example.com>", "Käsehaus <no-reply@example.com>"].into_iter().enumerate() {
        let mail = Mail::Code { digits: "0042", lifetime: Lifetime::of_seconds(60), not_me: NOT_ME };
        let outgoing = OutgoingMail { id, to: "ann@example.org", language: Language::English, mail };
        let email = render(&Sender::parse(from).unwrap(), "http://localhost:8000", &outgoing, NOW).unwrap();
        assert_eq!(client(&mail_server).send(&email).await, SendOutcome::Accepted);

        let mail = mail_server.nth_mail_to("ann@example.org", n + 1).await;
        assert_eq!((mail.code().as_str(), mail.subject.as_str()), ("0042", "Your sign-up code"));
        assert_eq!(mail.message_id, format!("<{id}@example.com>"));
        assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
        assert!(mail.text.lines().any(|line| line == NOT_ME) && mail.html.contains(NOT_ME), "{}", mail.text);
        assert!(mail.html.contains("0042</p>") && mail.text.contains("http://localhost:8000\n"), "{}", mail.text);
        let service = from.split(' ').next().unwrap();
        assert!(mail.text.contains(&format!("sign-up code for {service} is:")), "{}", mail.text);
    }
}

#[tokio::test]
async fn french_mail_arrives_unchanged() {
    let mail_server = FakeSmtpServer::start().await;
    let mail = Mail::Code { digits: "0042", lifetime: Lifetime::of_seconds(90), not_me: NOT_ME };
    let outgoing = OutgoingMail { id: Uuid::from_u128(7), to: "ann@example.org", language: Language::French, mail };
    let sender = Sender::parse("Käsehaus <no-reply@example.com>").unwrap();
    let email = render(&sender, "http://localhost:8000", &outgoing, NOW).unwrap();
    assert_eq!(client(&mail_server).send(&email).await, SendOutcome::Accepted);

    let mail = mail_server.mail_to("ann@example.org").await;
    assert_eq!((mail.code().as_str(), mail.subject.as_str()), ("0042", "Votre code d’inscription"));
    assert!(mail.header("Subject").is_ascii() && mail.raw.is_ascii());
    assert_eq!(mail.header("Content-Language"), "fr");
    assert!(mail.text.contains("Votre code d’inscription pour Käsehaus est\u{a0}:"), "{}", mail.text);
    assert!(mail.text.contains("valable 1\u{a0}minute et 30\u{a0}secondes à partir"), "{}", mail.text);
    assert!(mail.html.contains("<html lang=\"fr\">") && mail.html.contains("0042</p>"), "{}", mail.html);
}
