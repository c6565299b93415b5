//! Connections to RabbitMQ. A connection or an attempt that is dropped leaves no thread and no task behind.
//!
//! `topology` declares the exchanges and queues, `confirms` publishes with publisher confirms, and `copy` builds the
//! properties of a message that is published again.

pub mod confirms;
pub mod copy;
pub mod topology;
pub mod url;

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Result, anyhow};
use lapin::{
    AsyncTcpStream, Connection, ConnectionProperties,
    tcp::TLSConfig,
    uri::{AMQPScheme, AMQPUri},
};
use secrecy::SecretString;
use tokio::time::{Instant, timeout};

/// The timeout of a connection attempt, for all hosts together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an orderly close may take before the socket is shut down.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// The frame size of publishing connections, in bytes. A message with its properties is smaller than 1 KiB.
const PUBLISH_FRAME_SIZE: u32 = 16 * 1024;

/// A connection without automatic recovery: the caller replaces it after any error.
pub struct Link {
    pub connection: Arc<Connection>,
    _socket: Socket,
}

/// A second handle of the socket of a connection, which shuts the socket down on drop.
///
/// lapin reads from the socket in a thread of its own. While the broker sends nothing, that thread would outlive a
/// connection attempt that was dropped, and a connection that waits for the response to its close. It ends when the
/// socket is shut down.
struct Socket(TcpStream);

impl Drop for Socket {
    fn drop(&mut self) {
        // Fails if the socket is already closed.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Link {
    /// Closes the connection; waits at most 500 ms for the response of the broker.
    pub async fn close(self) {
        let _ = timeout(CLOSE_TIMEOUT, self.connection.close(200, "bye".into())).await;
    }
}

/// Connects to one of the hosts of `AMQP_URL`. `name` is shown in the management interface of RabbitMQ.
pub async fn connect(url: &SecretString, name: &str) -> Result<Link> {
    connect_to_any(url::parse(url)?, name).await
}

/// Connects with small frames, for connections that only publish small messages: lapin allocates a buffer of 64 frames,
/// which is 8 MiB with the default frame size.
pub async fn connect_to_publish(url: &SecretString, name: &str) -> Result<Link> {
    let mut hosts = url::parse(url)?;
    for host in &mut hosts {
        host.query.frame_max.get_or_insert(PUBLISH_FRAME_SIZE);
    }
    connect_to_any(hosts, name).await
}

async fn connect_to_any(mut hosts: Vec<AMQPUri>, name: &str) -> Result<Link> {
    // Clients start at different hosts, so that they are spread over the cluster, and a dead host delays only some of
    // them.
    let first = RandomState::new().hash_one(name) as usize % hosts.len();
    hosts.rotate_left(first);
    connect_in_order(&hosts, name, CONNECT_TIMEOUT).await
}

/// Tries each host once, in order. Each may take an equal part of the remaining time.
async fn connect_in_order(hosts: &[AMQPUri], name: &str, connect_timeout: Duration) -> Result<Link> {
    let deadline = Instant::now() + connect_timeout;
    let mut last_error = anyhow!("AMQP_URL names no host");
    for (host, remaining_hosts) in hosts.iter().zip((1..=hosts.len() as u32).rev()) {
        let timeout_per_host = (deadline - Instant::now()) / remaining_hosts;
        match timeout(timeout_per_host, open(host, name)).await {
            Ok(Ok(link)) => return Ok(link),
            Ok(Err(error)) => last_error = error.context("cannot connect to AMQP_URL"),
            Err(elapsed) => last_error = anyhow!(elapsed).context("the broker at AMQP_URL did not respond in time"),
        }
    }
    Err(last_error)
}

/// Opens a TCP or TLS connection and hands it to lapin.
async fn open(host: &AMQPUri, name: &str) -> Result<Link> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let runtime = lapin::runtime::default_runtime()?;
    let address = (host.authority.host.clone(), host.authority.port);
    // The socket is connected before lapin starts its thread, because a second handle could not interrupt that thread
    // while it connects.
    let mut stream = AsyncTcpStream::connect(&runtime, runtime.to_socket_addrs(address)).await?;
    let AsyncTcpStream::Plain(plain) = &stream else { return Err(anyhow!("not a socket")) };
    let socket = Socket(plain.get_ref().as_fd().try_clone_to_owned()?.into());
    if host.scheme == AMQPScheme::AMQPS {
        stream = stream.into_tls(&host.authority.host, TLSConfig::default()).await?;
    }
    let stream = Mutex::new(Some(stream));
    let connect_once = async move |_, _| {
        let stream = stream.lock().ok().and_then(|mut stream| stream.take());
        stream.ok_or_else(|| std::io::Error::other("a connection is not recovered").into())
    };
    let connection = Connection::connector(host.clone(), runtime, connect_once, properties).await?;
    Ok(Link { connection: Arc::new(connection), _socket: socket })
}

#[cfg(test)]
mod tests;
