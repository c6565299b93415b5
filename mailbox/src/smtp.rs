//! Takes in mail by SMTP: who may connect, for how long, and when a mail is ours.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod session;
mod wire;

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    session::{Answer, Delivery, Session},
    wire::Wire,
};
use super::Inbox;

const MAX_CONNECTIONS: usize = 32;

/// How long a connection may say nothing, or not hear us.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// How long a mail that is on its way may still take once we are told to stop.
const GRACE: Duration = Duration::from_secs(2);

pub(super) async fn receive(inbox: Inbox, listener: TcpListener, stop: CancellationToken) -> Result<()> {
    let (places, connections) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), TaskTracker::new());
    loop {
        let next = async { (Arc::clone(&places).acquire_owned().await, listener.accept().await) };
        let (place, accepted) = tokio::select! { next = next => next, () = stop.cancelled() => break };
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors, most likely: accepting again at once would only spin.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (inbox, stop) = (inbox.clone(), stop.clone());
        connections.spawn(async move {
            let _place = place;
            serve(inbox, stream, peer.ip(), stop).await;
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

async fn serve(inbox: Inbox, stream: TcpStream, peer: IpAddr, stop: CancellationToken) {
    let overdue = async {
        stop.cancelled().await;
        sleep(GRACE).await;
    };
    tokio::select! {
        ended = converse(&inbox, stream, peer, &stop) => if let Err(error) = ended {
            tracing::debug!(%error, "a mail connection broke");
        },
        () = overdue => {}
    }
}

/// A connection that breaks before the dot leaves nothing behind: until then the mail is in memory only.
async fn converse(inbox: &Inbox, stream: TcpStream, peer: IpAddr, stop: &CancellationToken) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut wire, mut session) = (Wire::new(stream, IDLE), Session::new(peer));
    wire.say("220 localhost ESMTP the inbox of Vestibule").await?;
    loop {
        let line = tokio::select! {
            line = timeout(IDLE, wire.line()) => line,
            () = stop.cancelled(), if !session.is_in_a_mail() => {
                return wire.say("421 4.3.2 This server is stopping; come again.").await;
            }
        };
        let Ok(line) = line else {
            return wire.say("421 4.4.2 Nothing was said for five minutes.").await;
        };
        let Some(line) = line? else { return Ok(()) };
        match session.hear(line) {
            Answer::Nothing => {}
            Answer::Say(reply) => wire.say(&reply).await?,
            Answer::Keep(delivery) => wire.say(keep(inbox, delivery).await).await?,
            Answer::Leave(reply) => return wire.say(reply).await,
        }
    }
}

/// The 250 is a promise, so it comes after the file.
async fn keep(inbox: &Inbox, Delivery { envelope, message }: Delivery) -> &'static str {
    match inbox.keep(envelope, message).await {
        Ok(()) => "250 2.0.0 The mail is in the inbox.",
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "a mail could not be kept");
            "451 4.3.0 The mail could not be written to its file; the log says why."
        }
    }
}
