//! Renders a mail as a MIME message (RFC 5322). Pure: the time is an argument, the result is bytes.

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

const MAX_SENDER_BYTES: usize = 300;

/// The sender of all mails: `MAIL_FROM`.
#[derive(Debug)]
pub(crate) struct Sender(Mailbox);

/// A mail to render.
pub(crate) struct OutgoingMail<'a> {
    /// The id of the AMQP message, which becomes the Message-ID.
    pub(crate) id: Uuid,
    pub(crate) to: &'a str,
    pub(crate) language: Language,
    pub(crate) mail: Mail<'a>,
}

impl Sender {
    /// Parses `Name <address@domain>`; the error completes a sentence that begins with the setting's name.
    pub(crate) fn parse(text: &str) -> Result<Sender, String> {
        let mailbox: Mailbox = text.parse().map_err(|_| "is not like `Name <address@domain>`")?;
        if text.len() > MAX_SENDER_BYTES || !is_one_plain_line(text) || !is_plain_address(mailbox.email.as_ref()) {
            return Err(format!(
                "must be one line of at most {MAX_SENDER_BYTES} bytes with a plain ASCII email address"
            ));
        }
        Ok(Sender(mailbox))
    }

    /// Whether the address is in a domain that is reserved for examples.
    pub(crate) fn is_example(&self) -> bool {
        let domain = self.0.email.domain().to_lowercase();
        ["example", "example.com", "example.net", "example.org"]
            .iter()
            .any(|example| domain == *example || domain.ends_with(&format!(".{example}")))
    }

    /// The name of the service in its mails: the sender's name, else the domain.
    fn service_name(&self) -> &str {
        self.0.name.as_deref().unwrap_or(self.0.email.domain())
    }
}

/// Renders a mail. The same message always yields the same Message-ID and the same parts, so that a mail that is sent
/// twice after a failure is recognizable as the same mail.
pub(crate) fn render(
    sender: &Sender,
    public_url: &str,
    outgoing: &OutgoingMail<'_>,
    now: OffsetDateTime,
) -> anyhow::Result<Email> {
    ensure!(is_one_plain_line(public_url), "PUBLIC_URL contains a control character: remove it");
    let OutgoingMail { id, language, mail, .. } = *outgoing;
    check_digits(mail)?;
    let to = recipient(outgoing.to)?;
    let from = sender.0.email.clone();
    let content = mail::render(language, mail, sender.service_name(), public_url)?;
    let parts = MultiPart::alternative()
        .boundary(id.simple().to_string())
        .singlepart(SinglePart::plain(content.text))
        .singlepart(SinglePart::html(content.html));
    let message = Message::builder()
        .from(sender.0.clone())
        .to(Mailbox::new(None, to.clone()))
        .subject(content.subject)
        .date(date(now)?)
        .message_id(Some(format!("<{id}@{}>", from.domain())))
        // Prevents automatic replies such as out-of-office mails (RFC 3834).
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("Content-Language", language.tag()))
        .multipart(parts)
        .context("cannot build the mail")?;
    Ok(Email { from, to, bytes: message.formatted(), is_muted: false })
}

/// Returns a code mail to an email address whose mails are suppressed (muted): an envelope without content, never sent
/// completely.
pub(crate) fn muted_email(sender: &Sender, to: &str) -> anyhow::Result<Email> {
    Ok(Email { from: sender.0.email.clone(), to: recipient(to)?, bytes: vec![], is_muted: true })
}

fn header(name: &'static str, value: &'static str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// Rejects a code that contains anything but digits: other characters could alter or break the line of the code.
fn check_digits(mail: Mail<'_>) -> anyhow::Result<()> {
    let Some(digits) = mail.digits() else { return Ok(()) };
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    ensure!(valid, "the code contains other characters than digits");
    Ok(())
}

/// Parses the recipient's email address. The error does not contain the email address, because it is logged.
fn recipient(to: &str) -> anyhow::Result<Address> {
    ensure!(is_plain_address(to), "the recipient is not a plain ASCII email address");
    to.parse().ok().context("the recipient is not a valid email address")
}

/// Whether the text has only characters of a plain ASCII address. lettre also accepts quoted local parts and Unicode,
/// which the API rejects: the email address in RCPT is character for character the one that the API validated.
fn is_plain_address(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !br#""<>(),:;\[]"#.contains(&byte))
}

fn is_one_plain_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Converts the date; lettre panics on a date outside of these years.
fn date(now: OffsetDateTime) -> anyhow::Result<SystemTime> {
    ensure!((1970..=9999).contains(&now.year()), "the year of {now} is not between 1970 and 9999");
    Ok(now.into())
}

#[cfg(test)]
mod tests;
