//! A mail from its words to the mailbox: what is rendered is what is read.

use time::macros::datetime;
use uuid::Uuid;

use super::{patient, sink::Sink};
use crate::{
    mail::{Content, Outgoing, Sender, render},
    smtp::Sent,
};

#[tokio::test]
async fn the_code_that_was_rendered_is_the_code_that_is_read() {
    let sink = Sink::start().await;
    let id = Uuid::from_u128(7);
    // The second name is not ASCII, so that mail goes quoted-printable.
    for (n, from) in ["Vestibule <no-reply@example.com>", "Käsehaus <no-reply@example.com>"].into_iter().enumerate() {
        let content = Content::Code { digits: "0042", lifetime_seconds: 60 };
        let outgoing = Outgoing { id, to: "ann@example.org", content };
        let now = datetime!(2026-11-21 09:05:07 UTC);
        let letter = render(&Sender::parse(from).unwrap(), "http://localhost:8000", &outgoing, now).unwrap();
        assert_eq!(patient(&sink).send(&letter).await, Sent::Accepted);

        let mail = sink.nth_mail_to("ann@example.org", n + 1).await;
        assert_eq!((mail.code().as_str(), mail.subject.as_str()), ("0042", "Your sign-up code"));
        assert_eq!(mail.message_id, format!("<{id}@example.com>"));
        assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
        assert!(mail.html.contains("0042</p>") && mail.text.contains("http://localhost:8000\n"), "{}", mail.text);
        let service = from.split(' ').next().unwrap();
        assert!(mail.text.contains(&format!("welcome to {service}!")), "{}", mail.text);
    }
}
