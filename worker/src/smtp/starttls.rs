//! The plain-text prologue of STARTTLS, up to where the TLS handshake begins.
//!
//! Our own, because lettre keeps what it has read ahead of the handshake and would take it, injected
//! by anybody on the way, for words of the server inside TLS. `Turns` gives one reply and no more.

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
    error::{Failure, Fault, Step},
    lockstep_stream::Turns,
};

/// What the dialogue goes over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

pub(crate) async fn ask<S: Stream>(mut stream: Turns<S>, hello: &ClientId, limit: Duration) -> Result<S, Failure> {
    let offers = timeout(limit, greet(&mut stream, hello)).await;
    let offers = offers.unwrap_or(Err(Failure::new(Step::Hello, Fault::Silent)))?;
    if !offers.lines().any(|line| is_offer(line.as_bytes(), "STARTTLS")) {
        return Err(Failure::new(Step::StartTls, Fault::NotOffered));
    }
    let agreed = timeout(limit, exchange(&mut stream, &Starttls.to_string(), Step::StartTls)).await;
    agreed.unwrap_or(Err(Failure::new(Step::StartTls, Fault::Silent)))?;
    stream.into_inner().map_err(|error| Failure::lost(Step::StartTls, &error))
}

async fn greet<S: Stream>(stream: &mut Turns<S>, hello: &ClientId) -> Result<String, Failure> {
    reply(stream, Step::Hello).await?;
    exchange(stream, &Ehlo::new(hello.clone()).to_string(), Step::Hello).await
}

async fn exchange<S: Stream>(stream: &mut Turns<S>, command: &str, step: Step) -> Result<String, Failure> {
    stream.write_all(command.as_bytes()).await.map_err(|error| Failure::lost(step, &error))?;
    reply(stream, step).await
}

/// Reads one reply, which must be a positive one, all of it: all its lines have one code.
async fn reply<S: Stream>(stream: &mut Turns<S>, step: Step) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    while !is_whole(&bytes) {
        let read = stream.read_buf(&mut bytes).await.map_err(|error| Failure::lost(step, &error))?;
        if read == 0 {
            return Err(Failure::lost(step, &ErrorKind::UnexpectedEof.into()));
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let code = text.get(..3).filter(|code| text.lines().all(|line| line.starts_with(code)));
    match code.and_then(|code| code.parse().ok()) {
        Some(200..300) => Ok(text),
        Some(code) => Err(Failure::new(step, Fault::refused(code, text.get(4..).unwrap_or_default()))),
        None => Err(Failure::lost(step, &ErrorKind::InvalidData.into())),
    }
}

/// The last line of a reply has no hyphen after its code.
fn is_whole(reply: &[u8]) -> bool {
    let last = reply.strip_suffix(b"\n").and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next());
    last.is_some_and(|line| line.get(3) != Some(&b'-'))
}
