//! The ways in which the fake SMTP server can misbehave.

use std::time::Duration;

/// A step of the SMTP dialogue: the reply to this command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The TLS handshake.
    Tls,
    Greeting,
    Ehlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// The final dot of the mail.
    Dot,
}

/// What happens at one step. Behaviours for a recipient work at RCPT, DATA and the dot (at MAIL the recipient is not
/// known yet), those for a connection at every step. "Success reply" is what a working server would send.
#[derive(Clone, Copy, Debug)]
pub enum Behaviour {
    /// A reply with this code (4xx or 5xx) instead of the success reply; the command is rejected.
    Reply { at: Stage, code: u16 },
    /// These bytes instead of the success reply; the command succeeds if they begin with 2 or 3.
    Raw { at: Stage, bytes: &'static [u8] },
    /// No reply, until the client closes the connection.
    Silence(Stage),
    /// The connection is closed instead of a reply. At the dot the mail is not accepted.
    Cut(Stage),
    /// The success reply, delayed. The mail counts as accepted even if the client did not wait.
    Slow(Stage, Duration),
    /// The success reply, with a pause after each byte.
    Drip(Stage, Duration),
    /// An endless reply on one line.
    Endless(Stage),
    /// An endless reply of many lines.
    EndlessLines(Stage),
    /// The success reply and an unsolicited second one in one packet.
    Twice(Stage),
    /// 250 to the mail, then the connection is closed.
    AcceptThenCut,
    /// 250 to the mail, then 421 and the connection is closed, as servers do with idle clients.
    AcceptThen421,
}

impl Behaviour {
    /// The step at which it happens.
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
