//! Negotiates STARTTLS: the plain-text dialogue up to the start of the TLS handshake.
//!
//! Written here because lettre keeps bytes that it has read ahead of the handshake: an attacker could inject replies in
//! plain text that lettre would later treat as sent over TLS. `LockstepStream` yields one reply and no more.

use std::{io::ErrorKind, time::Duration};

use lettre::transport::smtp::{
    commands::{Ehlo, Starttls},
    extension::ClientId,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::smtp::{
    capabilities::is_capability,
    error::{SmtpError, SmtpErrorKind, Step},
    lockstep_stream::LockstepStream,
};

/// A stream for the plain-text dialogue.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Reads the greeting, sends EHLO and STARTTLS; returns the bare stream, ready for the TLS handshake.
pub(crate) async fn negotiate<S: Stream>(
    mut stream: LockstepStream<S>,
    ehlo_name: &ClientId,
    step_timeout: Duration,
) -> Result<S, SmtpError> {
    let ehlo = timeout(step_timeout, read_greeting_and_send_ehlo(&mut stream, ehlo_name)).await;
    let ehlo_reply = ehlo.unwrap_or(Err(SmtpError::new(Step::Ehlo, SmtpErrorKind::TimedOut)))?;
    if !ehlo_reply.lines().any(|line| is_capability(line.as_bytes(), "STARTTLS")) {
        return Err(SmtpError::new(Step::StartTls, SmtpErrorKind::NotOffered));
    }
    let starttls = timeout(step_timeout, send_command(&mut stream, &Starttls.to_string(), Step::StartTls)).await;
    starttls.unwrap_or(Err(SmtpError::new(Step::StartTls, SmtpErrorKind::TimedOut)))?;
    stream.into_inner().map_err(|error| SmtpError::connection_lost(Step::StartTls, &error))
}

async fn read_greeting_and_send_ehlo<S: Stream>(
    stream: &mut LockstepStream<S>,
    ehlo_name: &ClientId,
) -> Result<String, SmtpError> {
    read_reply(stream, Step::Ehlo).await?;
    send_command(stream, &Ehlo::new(ehlo_name.clone()).to_string(), Step::Ehlo).await
}

/// Sends a command and returns the reply.
async fn send_command<S: Stream>(
    stream: &mut LockstepStream<S>,
    command: &str,
    step: Step,
) -> Result<String, SmtpError> {
    stream.write_all(command.as_bytes()).await.map_err(|error| SmtpError::connection_lost(step, &error))?;
    read_reply(stream, step).await
}

/// Reads one reply, which must be a 2xx. All its lines must have the same code.
async fn read_reply<S: Stream>(stream: &mut LockstepStream<S>, step: Step) -> Result<String, SmtpError> {
    let mut bytes = Vec::new();
    while !is_complete(&bytes) {
        let read = stream.read_buf(&mut bytes).await.map_err(|error| SmtpError::connection_lost(step, &error))?;
        if read == 0 {
            return Err(SmtpError::connection_lost(step, &ErrorKind::UnexpectedEof.into()));
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let code = text.get(..3).filter(|code| text.lines().all(|line| line.starts_with(code)));
    match code.and_then(|code| code.parse().ok()) {
        Some(200..300) => Ok(text),
        Some(code) => Err(SmtpError::new(step, SmtpErrorKind::rejected(code, text.get(4..).unwrap_or_default()))),
        None => Err(SmtpError::connection_lost(step, &ErrorKind::InvalidData.into())),
    }
}

/// Whether the last line has arrived: it has no hyphen after its code.
fn is_complete(reply: &[u8]) -> bool {
    let last_line = reply.strip_suffix(b"\n").and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next());
    last_line.is_some_and(|line| line.get(3) != Some(&b'-'))
}
