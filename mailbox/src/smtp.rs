//! SMTP server: accepts connections, runs one session on each, and stores every received mail.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod line_stream;
mod session;

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    line_stream::LineStream,
    session::{Action, ReceivedMail, Session},
};
use super::Inbox;

/// Further connections wait in the accept backlog.
const MAX_CONNECTIONS: usize = 32;

/// How long a client may send no line, or not read a reply.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// How long a client may take to finish its mail after the server was asked to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Accepts connections until `stop` is cancelled, then waits for the open ones to end.
pub(super) async fn serve(inbox: Inbox, listener: TcpListener, stop: CancellationToken) -> Result<()> {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let next = async { (Arc::clone(&permits).acquire_owned().await, listener.accept().await) };
        let (permit, accepted) = tokio::select! { next = next => next, () = stop.cancelled() => break };
        let Ok((stream, peer)) = accepted else {
            // The usual cause is a lack of file descriptors: accepting again immediately would be a busy loop.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (inbox, stop) = (inbox.clone(), stop.clone());
        connections.spawn(async move {
            let _permit = permit;
            serve_connection(inbox, stream, peer.ip(), stop).await;
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

async fn serve_connection(inbox: Inbox, stream: TcpStream, peer: IpAddr, stop: CancellationToken) {
    let drain_timeout = async {
        stop.cancelled().await;
        sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        ended = run_session(&inbox, stream, peer, &stop) => if let Err(error) = ended {
            tracing::debug!(%error, "smtp connection failed");
        },
        () = drain_timeout => {}
    }
}

/// Runs one SMTP session. A mail is only in memory until its final dot, so a connection that breaks earlier stores
/// nothing.
async fn run_session(inbox: &Inbox, stream: TcpStream, peer: IpAddr, stop: &CancellationToken) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = LineStream::new(stream, IDLE_TIMEOUT);
    let mut session = Session::new(peer);
    lines.write_reply("220 localhost ESMTP Vestibule development inbox").await?;
    loop {
        let line = tokio::select! {
            line = timeout(IDLE_TIMEOUT, lines.read_line()) => line,
            () = stop.cancelled(), if !session.is_receiving_message() => {
                return lines.write_reply("421 4.3.2 The server is shutting down; try again later.").await;
            }
        };
        let Ok(line) = line else {
            return lines.write_reply("421 4.4.2 Idle timeout: no command for five minutes.").await;
        };
        let Some(line) = line? else { return Ok(()) };
        match session.handle_line(line) {
            Action::Continue => {}
            Action::Reply(reply) => lines.write_reply(&reply).await?,
            Action::Store(mail) => lines.write_reply(store(inbox, mail).await).await?,
            Action::ReplyAndClose(reply) => return lines.write_reply(reply).await,
        }
    }
}

/// Stores the mail and returns the reply: 250 promises delivery, so it is sent after the file is written.
async fn store(inbox: &Inbox, ReceivedMail { envelope, message }: ReceivedMail) -> &'static str {
    match inbox.store(envelope, message).await {
        Ok(()) => "250 2.0.0 The mail is stored in the inbox.",
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "cannot store a mail");
            "451 4.3.0 The mail could not be written to disk; see the log."
        }
    }
}
