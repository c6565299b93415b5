//! What SMTP says about each line. Pure: lines in, answers out.

mod command;

use std::{borrow::Cow, net::IpAddr};

use self::command::Command;
use super::{super::envelope::Envelope, wire::Line};

pub(super) const MAX_MAIL_BYTES: usize = 1024 * 1024;
const MAX_RECIPIENTS: usize = 100;

pub(super) enum Answer {
    Nothing,
    Say(Cow<'static, str>),
    /// To be kept first; then it may be said.
    Keep(Delivery),
    /// The last words on this connection.
    Leave(&'static str),
}

pub(super) struct Delivery {
    pub(super) envelope: Envelope,
    pub(super) message: Vec<u8>,
}

pub(super) struct Session {
    peer: IpAddr,
    host: Option<String>,
    from: Option<String>,
    to: Vec<String>,
    message: Option<Message>,
}

/// A mail between DATA and its dot.
#[derive(Default)]
struct Message {
    bytes: Vec<u8>,
    /// It is heard to its end, so that its text is not taken for commands; but nothing of it is kept.
    refused: Option<&'static str>,
}

impl Session {
    pub(super) fn new(peer: IpAddr) -> Session {
        Session { peer, host: None, from: None, to: Vec::new(), message: None }
    }

    pub(super) fn is_in_a_mail(&self) -> bool {
        self.message.is_some()
    }

    pub(super) fn hear(&mut self, line: Line<'_>) -> Answer {
        match (line, &mut self.message) {
            (Line::Whole(b"."), Some(_)) => self.end_mail(),
            (line, Some(message)) => {
                message.add(line);
                Answer::Nothing
            }
            (Line::TooLong, None) => say("500 5.5.2 This line is too long."),
            (Line::Whole(line), None) => match Command::parse(line) {
                Ok(command) => self.obey(command),
                Err(refusal) => say(refusal),
            },
        }
    }

    fn obey(&mut self, command: Command) -> Answer {
        match command {
            Command::Hello { host, extended } => self.hello(host, extended),
            Command::Mail { from, size } => self.mail(from, size),
            Command::Rcpt { to } => self.rcpt(to),
            Command::Data => self.data(),
            Command::Rset => {
                self.start_over();
                say("250 2.0.0 Forgotten.")
            }
            Command::Noop => say("250 2.0.0 Still here."),
            Command::Vrfy => say("252 2.1.5 Every address has its mails here."),
            Command::Quit => Answer::Leave("221 2.0.0 Goodbye."),
            // A web page that wants its visitor's browser to fill our inbox begins like this.
            Command::Http => Answer::Leave("421 5.7.0 This is SMTP."),
        }
    }

    fn hello(&mut self, host: String, extended: bool) -> Answer {
        self.start_over();
        self.host = Some(host);
        if !extended {
            return say("250 localhost");
        }
        let extensions =
            ["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"].map(|name| format!("250-{name}\r\n")).concat();
        Answer::Say(format!("250-localhost\r\n{extensions}250 SIZE {MAX_MAIL_BYTES}").into())
    }

    fn mail(&mut self, from: String, size: Option<usize>) -> Answer {
        if self.host.is_none() {
            return say("503 5.5.1 Say EHLO first.");
        }
        if self.from.is_some() {
            return say("503 5.5.1 There is a mail already; RSET forgets it.");
        }
        if size.is_some_and(|size| size > MAX_MAIL_BYTES) {
            return say(TOO_LARGE);
        }
        self.from = Some(from);
        say("250 2.1.0 From whomever.")
    }

    fn rcpt(&mut self, to: String) -> Answer {
        if self.from.is_none() {
            return say("503 5.5.1 Say MAIL first.");
        }
        if self.to.len() == MAX_RECIPIENTS {
            return say("452 4.5.3 A mail has at most 100 recipients.");
        }
        self.to.push(to);
        say("250 2.1.5 To whomever.")
    }

    fn data(&mut self) -> Answer {
        if self.to.is_empty() {
            return say("503 5.5.1 Say MAIL and RCPT first.");
        }
        self.message = Some(Message::default());
        say("354 Go on, and end with a dot.")
    }

    fn end_mail(&mut self) -> Answer {
        let message = self.message.take().unwrap_or_default();
        let envelope = Envelope {
            from: self.from.take().unwrap_or_default(),
            to: std::mem::take(&mut self.to),
            host: self.host.clone().unwrap_or_default(),
            remote_address: self.peer,
        };
        match message.refused {
            Some(refusal) => say(refusal),
            None => Answer::Keep(Delivery { envelope, message: message.bytes }),
        }
    }

    fn start_over(&mut self) {
        self.from = None;
        self.to.clear();
    }
}

impl Message {
    fn add(&mut self, line: Line<'_>) {
        let Line::Whole(line) = line else { return self.refuse("554 5.6.0 A line of this mail is too long.") };
        let line = line.strip_prefix(b".").unwrap_or(line);
        if self.bytes.len() + line.len() + 2 > MAX_MAIL_BYTES {
            return self.refuse(TOO_LARGE);
        }
        if self.refused.is_none() {
            self.bytes.extend_from_slice(line);
            self.bytes.extend_from_slice(b"\r\n");
        }
    }

    fn refuse(&mut self, refusal: &'static str) {
        self.refused.get_or_insert(refusal);
        self.bytes = Vec::new();
    }
}

const TOO_LARGE: &str = "552 5.3.4 A mail has at most 1 MiB.";

fn say(reply: &'static str) -> Answer {
    Answer::Say(reply.into())
}

#[cfg(test)]
mod tests;
