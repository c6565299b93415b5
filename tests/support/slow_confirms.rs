//! A proxy in front of RabbitMQ that lets through only so many publisher confirms per second: a broker on slow disks.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep_until},
};

use crate::proxy;

/// A running proxy. All its connections share the rate.
pub struct SlowConfirms {
    connections: Arc<AtomicUsize>,
}

impl SlowConfirms {
    /// Starts a proxy in front of the broker of this URL. Returns it and the URL to use instead.
    pub async fn in_front_of(amqp_url: &str, confirms_per_second: u32) -> (Self, String) {
        let (host, target) = proxy::host_and_target(amqp_url);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = amqp_url.replacen(&host, &listener.local_addr().unwrap().to_string(), 1);
        let pace = Arc::new(Pace::new(confirms_per_second));
        let connections = Arc::new(AtomicUsize::new(0));
        tokio::spawn(accept(listener, target, pace, Arc::clone(&connections)));
        (Self { connections }, url)
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// When the next confirm is let through.
struct Pace {
    interval: Duration,
    next: Mutex<Instant>,
}

/// How much of its time a pace makes up for, because timers are late. What was not used before that is lost.
const MAX_CATCH_UP: Duration = Duration::from_millis(50);

impl Pace {
    fn new(per_second: u32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second, next: Mutex::new(Instant::now()) }
    }

    /// The time of a confirm. Each is given out once.
    fn take(&self) -> Instant {
        let mut next = self.next.lock().unwrap();
        let taken = (*next).max(Instant::now() - MAX_CATCH_UP);
        *next = taken + self.interval;
        taken
    }
}

async fn accept(listener: TcpListener, target: String, pace: Arc<Pace>, connections: Arc<AtomicUsize>) {
    while let Ok((client, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::Relaxed);
        let (target, pace) = (target.clone(), Arc::clone(&pace));
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(target).await else { return };
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let (mut from_client, to_client) = client.into_split();
            let (from_server, mut to_server) = server.into_split();
            tokio::select! {
                _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                _ = forward(from_server, to_client, &pace) => {}
            }
        });
    }
}

/// Forwards frames to the client: confirms one by one at the given pace, all others at once.
async fn forward(
    mut server: impl AsyncReadExt + Unpin,
    mut client: impl AsyncWriteExt + Unpin,
    pace: &Pace,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut channels: HashMap<u16, Confirmed> = HashMap::new();
    let mut waiting = VecDeque::new();
    let mut next_confirm = None;
    loop {
        if !waiting.is_empty() {
            next_confirm.get_or_insert_with(|| pace.take());
        }
        tokio::select! {
            read = server.read_buf(&mut buffer) => {
                if read? == 0 {
                    return Ok(());
                }
                while let Some(frame) = take_frame(&mut buffer) {
                    match Confirm::parse(&frame) {
                        Some(confirm) => waiting.extend(channels.entry(confirm.channel).or_default().split(&confirm)),
                        None => client.write_all(&frame).await?,
                    }
                }
            }
            () = sleep_until(next_confirm.unwrap_or_else(Instant::now)), if next_confirm.is_some() => {
                next_confirm = None;
                if let Some(frame) = waiting.pop_front() {
                    client.write_all(&frame).await?;
                }
            }
        }
    }
}

/// Removes the first frame from the buffer, if it is complete: type, channel, size, payload, and an end mark.
fn take_frame(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let payload = u32::from_be_bytes(buffer.get(3..7)?.try_into().unwrap());
    let length = usize::try_from(payload).unwrap() + 8;
    (buffer.len() >= length).then(|| buffer.drain(..length).collect())
}

/// The frame of a `basic.ack` or `basic.nack`.
struct Confirm<'a> {
    frame: &'a [u8],
    channel: u16,
    tag: u64,
    /// Whether it also confirms all messages before.
    multiple: bool,
}

const METHOD_FRAME: u8 = 1;
const BASIC_ACK: [u8; 4] = [0, 60, 0, 80];
const BASIC_NACK: [u8; 4] = [0, 60, 0, 120];
/// The positions of the delivery tag and of the flags after it.
const TAG: std::ops::Range<usize> = 11..19;
const FLAGS: usize = 19;
const MULTIPLE: u8 = 1;

impl<'a> Confirm<'a> {
    fn parse(frame: &'a [u8]) -> Option<Self> {
        let is_confirm = frame[0] == METHOD_FRAME && matches!(frame[7..11].try_into(), Ok(BASIC_ACK | BASIC_NACK));
        is_confirm.then(|| Self {
            frame,
            channel: u16::from_be_bytes([frame[1], frame[2]]),
            tag: u64::from_be_bytes(frame[TAG].try_into().unwrap()),
            multiple: frame[FLAGS] & MULTIPLE != 0,
        })
    }
}

/// What was confirmed on a channel.
#[derive(Default)]
struct Confirmed {
    /// All tags up to this one.
    up_to: u64,
    tags: HashSet<u64>,
}

impl Confirmed {
    /// A frame for each message that this confirms and that was not confirmed before.
    fn split(&mut self, confirm: &Confirm) -> Vec<Vec<u8>> {
        let first = if confirm.multiple { self.up_to + 1 } else { confirm.tag };
        let new = (first..=confirm.tag).filter(|tag| self.tags.insert(*tag)).collect::<Vec<_>>();
        if confirm.multiple {
            self.up_to = self.up_to.max(confirm.tag);
        }
        let single = |tag: u64| {
            let mut frame = confirm.frame.to_vec();
            frame[TAG].copy_from_slice(&tag.to_be_bytes());
            frame[FLAGS] &= !MULTIPLE;
            frame
        };
        new.into_iter().map(single).collect()
    }
}
