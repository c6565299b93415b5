//! The ways in which the mail_server can misbehave.

use std::time::Duration;

/// Where in the dialogue something happens: at the answer to this command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Tls,
    Greeting,
    Ehlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    Dot,
}

/// Behaviours for a recipient take effect at RCPT, DATA or the dot (at MAIL nobody knows yet whom the
/// mail is for); those for a connection anywhere.
#[derive(Clone, Copy, Debug)]
pub enum Behaviour {
    /// Another reply than the good one; a code of 4xx or 5xx refuses.
    Reply { at: Stage, code: u16 },
    /// These bytes instead of the good reply, but meaning as much if they begin with 2 or 3.
    Raw { at: Stage, bytes: &'static [u8] },
    /// No reply, until the client goes.
    Silence(Stage),
    /// The connection is closed instead of a reply. At the dot the mail is swallowed.
    Cut(Stage),
    /// The good reply, so much later. A mail counts as accepted whether or not the client waited.
    Slow(Stage, Duration),
    /// The good reply, one byte after each pause.
    Drip(Stage, Duration),
    /// A reply without an end, on one endless line.
    Endless(Stage),
    /// A reply without an end, line by line.
    EndlessLines(Stage),
    /// The good reply and another one nobody has asked for, in one packet.
    Twice(Stage),
    /// 250 to the mail, then the connection is closed.
    AcceptThenCut,
    /// 250 to the mail, then 421 and the connection is closed, as servers do to idle clients.
    AcceptThen421,
}

impl Behaviour {
    pub fn stage(self) -> Stage {
        match self {
            Behaviour::Reply { at, .. }
            | Behaviour::Raw { at, .. }
            | Behaviour::Silence(at)
            | Behaviour::Cut(at)
            | Behaviour::Slow(at, _)
            | Behaviour::Drip(at, _)
            | Behaviour::Endless(at)
            | Behaviour::EndlessLines(at)
            | Behaviour::Twice(at) => at,
            Behaviour::AcceptThenCut | Behaviour::AcceptThen421 => Stage::Dot,
        }
    }
}
