//! The way to RabbitMQ: opens connections, and leaves nothing behind of those that are given up.
//!
//! With the names and declarations in `topology`, this is what both processes must agree on about the broker;
//! `confirms` publishes, `copy` says how a message is published again.

pub mod confirms;
pub mod copy;
pub mod topology;
pub mod url;

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::Mutex,
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

/// For all hosts together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// A message of ours, with all that is said about it, is below 1 KiB.
const SMALL_FRAME: u32 = 16 * 1024;

/// A connection that is never mended: whoever holds it replaces it when anything goes wrong.
pub struct Link {
    pub connection: Connection,
    _socket: Socket,
}

/// A second handle of a connection's socket. lapin reads from the first one in a thread of its own, and
/// while the other side is silent, that thread outlives an attempt that was dropped, and a connection that
/// waits for its goodbye to be answered. What ends it is the end of what it reads.
struct Socket(TcpStream);

impl Drop for Socket {
    fn drop(&mut self) {
        // It fails on one that is closed already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Link {
    pub async fn close(self) {
        let _ = timeout(CLOSE_TIMEOUT, self.connection.close(200, "bye".into())).await;
    }
}

pub async fn connect(url: &SecretString, name: &str) -> Result<Link> {
    connect_to_any(url::parse(url)?, name).await
}

/// For who only publishes messages of ours, and is sent nothing else: lapin keeps room for 64 frames, which at
/// their usual size is 8 MiB.
pub async fn connect_to_publish(url: &SecretString, name: &str) -> Result<Link> {
    let mut hosts = url::parse(url)?;
    for host in &mut hosts {
        host.query.frame_max.get_or_insert(SMALL_FRAME);
    }
    connect_to_any(hosts, name).await
}

async fn connect_to_any(mut hosts: Vec<AMQPUri>, name: &str) -> Result<Link> {
    // Beginning anywhere, clients spread, and a host that is dead delays only those that come upon it.
    let first = RandomState::new().hash_one(name) as usize % hosts.len();
    hosts.rotate_left(first);
    connect_to_one(&hosts, name, CONNECT_TIMEOUT).await
}

/// Tries each once, in turn; each may take its share of the time that is left.
async fn connect_to_one(hosts: &[AMQPUri], name: &str, within: Duration) -> Result<Link> {
    let until = Instant::now() + within;
    let mut last = anyhow!("AMQP_URL names no host");
    for (host, left) in hosts.iter().zip((1..=hosts.len() as u32).rev()) {
        let share = (until - Instant::now()) / left;
        match timeout(share, open(host, name)).await {
            Ok(Ok(link)) => return Ok(link),
            Ok(Err(error)) => last = error.context("cannot connect to AMQP_URL"),
            Err(late) => last = anyhow!(late).context("the broker at AMQP_URL did not answer in time"),
        }
    }
    Err(last)
}

async fn open(host: &AMQPUri, name: &str) -> Result<Link> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let runtime = lapin::runtime::default_runtime()?;
    let addr = (host.authority.host.clone(), host.authority.port);
    // Before lapin starts its thread: no second handle would end that one's waiting for TCP and TLS.
    let mut stream = AsyncTcpStream::connect(&runtime, runtime.to_socket_addrs(addr)).await?;
    let AsyncTcpStream::Plain(plain) = &stream else { return Err(anyhow!("not a socket")) };
    let socket = Socket(plain.get_ref().as_fd().try_clone_to_owned()?.into());
    if host.scheme == AMQPScheme::AMQPS {
        stream = stream.into_tls(&host.authority.host, TLSConfig::default()).await?;
    }
    let stream = Mutex::new(Some(stream));
    let once = async move |_, _| {
        let stream = stream.lock().ok().and_then(|mut stream| stream.take());
        stream.ok_or_else(|| std::io::Error::other("a connection is not mended").into())
    };
    let connection = Connection::connector(host.clone(), runtime, once, properties).await?;
    Ok(Link { connection, _socket: socket })
}

#[cfg(test)]
mod tests;
