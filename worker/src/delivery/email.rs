//! Puts the words of a mail into a email. Pure: the time comes in, bytes go out.

use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use i18n::{
    Language,
    mail::{self, Mail},
};
use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::smtp::Email;

/// Who the mails are from: MAIL_FROM.
#[derive(Debug)]
pub(crate) struct Sender(Mailbox);

/// One mail that is to go out.
pub(crate) struct Outgoing<'a> {
    /// The message's own id, which becomes the Message-ID.
    pub(crate) id: Uuid,
    pub(crate) to: &'a str,
    pub(crate) language: Language,
    pub(crate) mail: Mail<'a>,
}

impl Sender {
    pub(crate) fn parse(text: &str) -> Result<Sender, String> {
        let mailbox: Mailbox = text.parse().map_err(|_| "is not like `Name <address@domain>`")?;
        if text.len() > 300 || !is_one_plain_line(text) || !is_plain_address(mailbox.email.as_ref()) {
            return Err("must be one short line with a plain ASCII address".into());
        }
        Ok(Sender(mailbox))
    }

    /// What the service calls itself in its mails.
    fn service(&self) -> &str {
        self.0.name.as_deref().unwrap_or(self.0.email.domain())
    }
}

/// The same message always gives the same Message-ID and the same parts, so that a mail that is
/// sent twice after a fault is the same mail twice.
pub(crate) fn render(
    sender: &Sender,
    public_url: &str,
    outgoing: &Outgoing<'_>,
    now: OffsetDateTime,
) -> anyhow::Result<Email> {
    ensure!(is_one_plain_line(public_url), "PUBLIC_URL has a control character");
    let Outgoing { id, language, mail, .. } = *outgoing;
    check_digits(mail)?;
    let to = recipient(outgoing.to)?;
    let from = sender.0.email.clone();
    let words = mail::words(language, mail, sender.service(), public_url)?;
    let parts = MultiPart::alternative()
        .boundary(id.simple().to_string())
        .singlepart(SinglePart::plain(words.text))
        .singlepart(SinglePart::html(words.html));
    let message = Message::builder()
        .from(sender.0.clone())
        .to(Mailbox::new(None, to.clone()))
        .subject(words.subject)
        .date(date(now)?)
        .message_id(Some(format!("<{id}@{}>", from.domain())))
        // Keeps out-of-office robots from answering (RFC 3834).
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("Content-Language", language.tag()))
        .multipart(parts)
        .context("building the mail")?;
    Ok(Email { from, to, bytes: message.formatted(), is_muted: false })
}

/// The envelope of a code mail that is not to go out.
pub(crate) fn muted(sender: &Sender, to: &str) -> anyhow::Result<Email> {
    Ok(Email { from: sender.0.email.clone(), to: recipient(to)?, bytes: vec![], is_muted: true })
}

fn header(name: &'static str, value: &'static str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// What else would stand on the line of the code, or break it, is not mailed.
fn check_digits(mail: Mail<'_>) -> anyhow::Result<()> {
    let (Mail::Code { digits, .. } | Mail::ResetCode { digits, .. }) = mail else { return Ok(()) };
    let good = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    ensure!(good, "the code is not made of digits");
    Ok(())
}

/// The error does not repeat the address: it is going to be logged.
fn recipient(to: &str) -> anyhow::Result<Address> {
    ensure!(is_plain_address(to), "the recipient is not a plain ASCII address");
    to.parse().ok().context("the recipient is not an address")
}

/// lettre would take quoted local parts and Unicode too, which the API never lets in: what
/// stands in RCPT is email for email what was validated there.
fn is_plain_address(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !br#""<>(),:;\[]"#.contains(&byte))
}

fn is_one_plain_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// lettre panics on a date outside these years.
fn date(now: OffsetDateTime) -> anyhow::Result<SystemTime> {
    ensure!((1970..=9999).contains(&now.year()), "the date {now} cannot stand in a mail");
    Ok(now.into())
}

#[cfg(test)]
mod tests;
