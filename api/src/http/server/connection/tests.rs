//! Clients that keep a connection without using it, on a clock that is ours: nobody waits.

mod end;
mod streams;

use poem::endpoint::{make, make_sync};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::Notify,
    task::JoinHandle,
    time::Instant,
};

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The client's end. What is not read stops the server after a kibibyte.
struct Open {
    client: DuplexStream,
    serving: JoinHandle<()>,
    stop: CancellationToken,
    begun: Instant,
}

fn open<E: Endpoint + 'static>(endpoint: E) -> Open {
    let (client, server) = tokio::io::duplex(1024);
    let stop = CancellationToken::new();
    let peer = Peer { local: ([127, 0, 0, 1], 1).into(), remote: ([127, 0, 0, 1], 2).into(), scheme: Scheme::HTTP };
    let serving = tokio::spawn(serve(server, peer, Arc::new(endpoint), stop.clone()));
    Open { client, serving, stop, begun: Instant::now() }
}

fn short() -> impl Endpoint + 'static {
    make_sync(|_| "short")
}

fn megabyte() -> impl Endpoint + 'static {
    make_sync(|_| vec![b'x'; 1024 * 1024])
}

impl Open {
    async fn say(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
    }

    async fn hear_until(&mut self, end: &str) {
        let mut heard = vec![];
        while !heard.ends_with(end.as_bytes()) {
            assert!(self.client.read_buf(&mut heard).await.unwrap() > 0, "{heard:?}");
        }
    }

    /// Everything until the server closes.
    async fn hear_all(&mut self) -> String {
        let mut heard = vec![];
        self.client.read_to_end(&mut heard).await.unwrap();
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// Waits until the server has given up, and tells when that was.
    async fn cut(self) -> Duration {
        self.serving.await.unwrap();
        self.begun.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_cut() {
    assert_eq!(open(short()).cut().await, HEAD_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn half_a_head_is_cut() {
    for half in [&GET[..1], &GET[..20], &GET[..GET.len() - 1], &HTTP2[..10]] {
        let mut open = open(short());
        open.say(half).await;
        assert!(open.cut().await <= HEAD_TIMEOUT + LAST_WORDS, "{half:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_byte_now_and_then_keeps_nothing_open() {
    for first in [&b""[..], GET] {
        let mut open = open(short());
        open.say(first).await;
        for byte in std::iter::repeat(b"GET / HTTP/1.1\r\nX-Header: ".iter().chain(&[b'x'; 200])).flatten() {
            if open.client.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(open.cut().await <= HEAD_TIMEOUT + 2 * LAST_WORDS);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_for_the_next_request_but_not_for_long() {
    let mut open = open(short());
    for _ in 0..20 {
        open.say(GET).await;
        open.hear_until("short").await;
        tokio::time::sleep(HEAD_TIMEOUT - Duration::from_secs(1)).await;
    }
    let since = Instant::now();
    assert_eq!(open.hear_all().await, "");
    open.cut().await;
    assert!(since.elapsed() <= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn who_never_reads_the_answer_is_cut() {
    let mut open = open(megabyte());
    open.say(GET).await;
    assert!(open.cut().await <= SILENCE + LAST_WORDS);
}

#[tokio::test(start_paused = true)]
async fn who_reads_a_byte_now_and_then_is_cut() {
    let mut open = open(megabyte());
    open.say(GET).await;
    let mut byte = [0];
    while open.client.read(&mut byte).await.unwrap() > 0 && !open.serving.is_finished() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(open.cut().await <= SILENCE + 2 * LAST_WORDS);
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_but_steadily_gets_everything() {
    let mut open = open(megabyte());
    open.say(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let (mut heard, mut part) = (0, vec![0; 1024]);
    loop {
        match open.client.read(&mut part).await.unwrap() {
            0 => break,
            bytes => heard += bytes,
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert!(heard > 1024 * 1024, "{heard}");
    assert!(open.cut().await > 4 * SILENCE);
}

#[tokio::test(start_paused = true)]
async fn who_answers_pings_and_asks_for_nothing_is_cut() {
    let mut open = open(short());
    open.say(HTTP2).await;
    let mut frame = [0; 9];
    while open.client.read_exact(&mut frame).await.is_ok() {
        let mut payload = vec![0; usize::from(frame[1]) * 256 + usize::from(frame[2])];
        open.client.read_exact(&mut payload).await.unwrap();
        let (ping, acknowledged) = (frame[3] == 6, frame[4] == 1);
        if ping && !acknowledged {
            frame[4] = 1;
            let _ = open.client.write_all(&[&frame[..], &payload].concat()).await;
        }
    }
    assert!(open.cut().await <= HEAD_TIMEOUT + LAST_WORDS);
}

#[tokio::test(start_paused = true)]
async fn a_head_has_at_most_sixteen_kibibytes() {
    let mut open = open(short());
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(17 * 1024));
    let _ = open.client.write_all(long.as_bytes()).await;
    let heard = open.hear_all().await;
    assert!(heard.starts_with("HTTP/1.1 431 "), "{heard}");
}
