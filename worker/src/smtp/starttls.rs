//! The plain-text prologue of STARTTLS, up to where the TLS handshake begins.
//!
//! Our own, because lettre keeps what it has read ahead of the handshake and would take it, injected
//! by anybody on the way, for words of the server inside TLS. `LockstepStream` gives one reply and no more.

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
    capabilities::is_offer,
    error::{SmtpError, SmtpErrorKind, Step},
    lockstep_stream::LockstepStream,
};

/// What the dialogue goes over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

pub(crate) async fn ask<S: Stream>(
    mut stream: LockstepStream<S>,
    hello: &ClientId,
    limit: Duration,
) -> Result<S, SmtpError> {
    let offers = timeout(limit, greet(&mut stream, hello)).await;
    let offers = offers.unwrap_or(Err(SmtpError::new(Step::Hello, SmtpErrorKind::Silent)))?;
    if !offers.lines().any(|line| is_offer(line.as_bytes(), "STARTTLS")) {
        return Err(SmtpError::new(Step::StartTls, SmtpErrorKind::NotOffered));
    }
    let agreed = timeout(limit, exchange(&mut stream, &Starttls.to_string(), Step::StartTls)).await;
    agreed.unwrap_or(Err(SmtpError::new(Step::StartTls, SmtpErrorKind::Silent)))?;
    stream.into_inner().map_err(|error| SmtpError::lost(Step::StartTls, &error))
}

async fn greet<S: Stream>(stream: &mut LockstepStream<S>, hello: &ClientId) -> Result<String, SmtpError> {
    reply(stream, Step::Hello).await?;
    exchange(stream, &Ehlo::new(hello.clone()).to_string(), Step::Hello).await
}

async fn exchange<S: Stream>(stream: &mut LockstepStream<S>, command: &str, step: Step) -> Result<String, SmtpError> {
    stream.write_all(command.as_bytes()).await.map_err(|error| SmtpError::lost(step, &error))?;
    reply(stream, step).await
}

/// Reads one reply, which must be a positive one, all of it: all its lines have one code.
async fn reply<S: Stream>(stream: &mut LockstepStream<S>, step: Step) -> Result<String, SmtpError> {
    let mut bytes = Vec::new();
    while !is_whole(&bytes) {
        let read = stream.read_buf(&mut bytes).await.map_err(|error| SmtpError::lost(step, &error))?;
        if read == 0 {
            return Err(SmtpError::lost(step, &ErrorKind::UnexpectedEof.into()));
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let code = text.get(..3).filter(|code| text.lines().all(|line| line.starts_with(code)));
    match code.and_then(|code| code.parse().ok()) {
        Some(200..300) => Ok(text),
        Some(code) => Err(SmtpError::new(step, SmtpErrorKind::refused(code, text.get(4..).unwrap_or_default()))),
        None => Err(SmtpError::lost(step, &ErrorKind::InvalidData.into())),
    }
}

/// The last line of a reply has no hyphen after its code.
fn is_whole(reply: &[u8]) -> bool {
    let last = reply.strip_suffix(b"\n").and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next());
    last.is_some_and(|line| line.get(3) != Some(&b'-'))
}
