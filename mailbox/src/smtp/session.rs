//! State machine of an SMTP session. Pure: it takes the lines of the client and returns what the server must do.

mod command;

use std::{borrow::Cow, net::IpAddr};

use self::command::Command;
use super::{super::envelope::Envelope, line_stream::Line};

/// Announced to clients by the SIZE extension.
pub(super) const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
const MAX_RECIPIENTS: usize = 100;

/// What the server must do after a line.
pub(super) enum Action {
    /// Nothing: the line belongs to a message.
    Continue,
    Reply(Cow<'static, str>),
    /// Store the mail, then reply with the result.
    Store(ReceivedMail),
    /// Send this reply, then close the connection.
    ReplyAndClose(&'static str),
}

/// A complete mail that passed all checks of the session.
pub(super) struct ReceivedMail {
    pub(super) envelope: Envelope,
    pub(super) message: Vec<u8>,
}

/// The state of one SMTP connection.
pub(super) struct Session {
    peer: IpAddr,
    /// Set by EHLO or HELO.
    host: Option<String>,
    /// Set by MAIL.
    from: Option<String>,
    /// Extended by RCPT.
    to: Vec<String>,
    /// Set between DATA and the final dot.
    message: Option<Message>,
}

/// A message between DATA and its final dot.
#[derive(Default)]
struct Message {
    bytes: Vec<u8>,
    /// The reply to a rejected message. Its lines are read to the final dot, so that they are not taken for commands,
    /// but are discarded.
    rejection: Option<&'static str>,
}

impl Session {
    /// A session before its first command.
    pub(super) fn new(peer: IpAddr) -> Session {
        Session { peer, host: None, from: None, to: Vec::new(), message: None }
    }

    /// Whether the next line is part of a message and not a command.
    pub(super) fn is_receiving_message(&self) -> bool {
        self.message.is_some()
    }

    /// Processes one line of the client.
    pub(super) fn handle_line(&mut self, line: Line<'_>) -> Action {
        match (line, &mut self.message) {
            (Line::Complete(b"."), Some(_)) => self.end_message(),
            (line, Some(message)) => {
                message.push_line(line);
                Action::Continue
            }
            (Line::TooLong, None) => reply("500 5.5.2 The line is too long (limit 4096 bytes)."),
            (Line::Complete(line), None) => match Command::parse(line) {
                Ok(command) => self.execute(command),
                Err(error) => reply(error),
            },
        }
    }

    fn execute(&mut self, command: Command) -> Action {
        match command {
            Command::Hello { host, extended } => self.hello(host, extended),
            Command::Mail { from, size } => self.mail(from, size),
            Command::Rcpt { to } => self.rcpt(to),
            Command::Data => self.data(),
            Command::Rset => {
                self.reset();
                reply("250 2.0.0 OK, the mail transaction is reset.")
            }
            Command::Noop => reply("250 2.0.0 OK"),
            Command::Vrfy => reply("252 2.1.5 Addresses are not verified; every recipient is accepted."),
            Command::Quit => Action::ReplyAndClose("221 2.0.0 Goodbye."),
            // A web page can make its visitor's browser send an HTTP request to this port, to inject SMTP commands.
            Command::Http => Action::ReplyAndClose("421 5.7.0 This is an SMTP server; HTTP is not supported."),
        }
    }

    fn hello(&mut self, host: String, extended: bool) -> Action {
        self.reset();
        self.host = Some(host);
        if !extended {
            return reply("250 localhost");
        }
        let extensions =
            ["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"].map(|name| format!("250-{name}\r\n")).concat();
        Action::Reply(format!("250-localhost\r\n{extensions}250 SIZE {MAX_MESSAGE_BYTES}").into())
    }

    fn mail(&mut self, from: String, size: Option<usize>) -> Action {
        if self.host.is_none() {
            return reply("503 5.5.1 Bad sequence of commands: send EHLO first.");
        }
        if self.from.is_some() {
            return reply("503 5.5.1 A mail transaction is already open; send RSET to cancel it.");
        }
        if size.is_some_and(|size| size > MAX_MESSAGE_BYTES) {
            return reply(TOO_LARGE);
        }
        self.from = Some(from);
        reply("250 2.1.0 Sender OK")
    }

    fn rcpt(&mut self, to: String) -> Action {
        if self.from.is_none() {
            return reply("503 5.5.1 Bad sequence of commands: send MAIL first.");
        }
        if self.to.len() == MAX_RECIPIENTS {
            return reply("452 4.5.3 Too many recipients (limit 100).");
        }
        self.to.push(to);
        reply("250 2.1.5 Recipient OK")
    }

    fn data(&mut self) -> Action {
        if self.to.is_empty() {
            return reply("503 5.5.1 Bad sequence of commands: send MAIL and RCPT first.");
        }
        self.message = Some(Message::default());
        reply("354 Send the message; end it with a line that contains only a dot.")
    }

    fn end_message(&mut self) -> Action {
        let message = self.message.take().unwrap_or_default();
        let envelope = Envelope {
            from: self.from.take().unwrap_or_default(),
            to: std::mem::take(&mut self.to),
            host: self.host.clone().unwrap_or_default(),
            remote_address: self.peer,
        };
        match message.rejection {
            Some(rejection) => reply(rejection),
            None => Action::Store(ReceivedMail { envelope, message: message.bytes }),
        }
    }

    fn reset(&mut self) {
        self.from = None;
        self.to.clear();
    }
}

impl Message {
    /// Appends a line after removing its dot-stuffing, or rejects the message.
    fn push_line(&mut self, line: Line<'_>) {
        let Line::Complete(line) = line else {
            return self.reject("554 5.6.0 A line of the message is too long (limit 4096 bytes).");
        };
        let line = line.strip_prefix(b".").unwrap_or(line);
        if self.bytes.len() + line.len() + 2 > MAX_MESSAGE_BYTES {
            return self.reject(TOO_LARGE);
        }
        if self.rejection.is_none() {
            self.bytes.extend_from_slice(line);
            self.bytes.extend_from_slice(b"\r\n");
        }
    }

    /// Rejects the message with the first reason that applies, and frees what was received.
    fn reject(&mut self, rejection: &'static str) {
        self.rejection.get_or_insert(rejection);
        self.bytes = Vec::new();
    }
}

const TOO_LARGE: &str = "552 5.3.4 The message is too large (limit 1 MiB).";

fn reply(text: &'static str) -> Action {
    Action::Reply(text.into())
}

#[cfg(test)]
mod tests;
