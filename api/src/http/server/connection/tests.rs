//! Timeouts, streaming responses and shutdown of one connection, on tokio's paused clock.

use bytes::Bytes;
use futures_util::stream;
use poem::{
    Body, Request,
    endpoint::{make, make_sync},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::Notify,
    task::JoinHandle,
    time::Instant,
};

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const GET_AND_CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A connection seen from the client. The pipe holds one KiB: a client that does not read blocks the server.
struct TestConnection {
    client: DuplexStream,
    serving: JoinHandle<()>,
    stop: CancellationToken,
    opened_at: Instant,
}

fn open<E: Endpoint + 'static>(endpoint: E) -> TestConnection {
    let (client, server) = tokio::io::duplex(1024);
    let stop = CancellationToken::new();
    let info =
        ConnectionInfo { local: ([127, 0, 0, 1], 1).into(), remote: ([127, 0, 0, 1], 2).into(), scheme: Scheme::HTTP };
    let serving = tokio::spawn(serve(server, info, Arc::new(endpoint), stop.clone()));
    TestConnection { client, serving, stop, opened_at: Instant::now() }
}

fn short_response() -> impl Endpoint + 'static {
    make_sync(|_| "short")
}

fn megabyte_response() -> impl Endpoint + 'static {
    make_sync(|_| vec![b'x'; 1024 * 1024])
}

impl TestConnection {
    async fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
    }

    async fn read_until(&mut self, end: &str) {
        let mut received = vec![];
        while !received.ends_with(end.as_bytes()) {
            assert!(self.client.read_buf(&mut received).await.unwrap() > 0, "{received:?}");
        }
    }

    /// Everything until the server closes the connection.
    async fn read_to_end(&mut self) -> String {
        let mut received = vec![];
        self.client.read_to_end(&mut received).await.unwrap();
        String::from_utf8_lossy(&received).into_owned()
    }

    /// Waits until the server has closed the connection, and returns how long it was open.
    async fn closed(self) -> Duration {
        self.serving.await.unwrap();
        self.opened_at.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn silent_client_is_closed_after_head_timeout() {
    assert_eq!(open(short_response()).closed().await, HEAD_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn incomplete_head_is_closed() {
    for half in [&GET[..1], &GET[..20], &GET[..GET.len() - 1], &HTTP2[..10]] {
        let mut connection = open(short_response());
        connection.send(half).await;
        assert!(connection.closed().await <= HEAD_TIMEOUT + CLOSE_TIMEOUT, "{half:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_byte_per_second_keeps_no_connection_open() {
    for first in [&b""[..], GET] {
        let mut connection = open(short_response());
        connection.send(first).await;
        for byte in std::iter::repeat(b"GET / HTTP/1.1\r\nX-Header: ".iter().chain(&[b'x'; 200])).flatten() {
            if connection.client.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(connection.closed().await <= HEAD_TIMEOUT + 2 * CLOSE_TIMEOUT);
    }
}

#[tokio::test(start_paused = true)]
async fn keep_alive_lasts_until_head_timeout() {
    let mut connection = open(short_response());
    for _ in 0..20 {
        connection.send(GET).await;
        connection.read_until("short").await;
        tokio::time::sleep(HEAD_TIMEOUT - Duration::from_secs(1)).await;
    }
    let since = Instant::now();
    assert_eq!(connection.read_to_end().await, "");
    connection.closed().await;
    assert!(since.elapsed() <= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn client_that_never_reads_is_closed() {
    let mut connection = open(megabyte_response());
    connection.send(GET).await;
    assert!(connection.closed().await <= IDLE_TIMEOUT + CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn client_that_reads_one_byte_per_second_is_closed() {
    let mut connection = open(megabyte_response());
    connection.send(GET).await;
    let mut byte = [0];
    while connection.client.read(&mut byte).await.unwrap() > 0 && !connection.serving.is_finished() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(connection.closed().await <= IDLE_TIMEOUT + 2 * CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn slow_but_steady_reader_receives_the_whole_response() {
    let mut connection = open(megabyte_response());
    connection.send(GET_AND_CLOSE).await;
    let mut received = 0;
    let mut chunk = vec![0; 1024];
    loop {
        match connection.client.read(&mut chunk).await.unwrap() {
            0 => break,
            bytes => received += bytes,
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert!(received > 1024 * 1024, "{received}");
    assert!(connection.closed().await > 4 * IDLE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn answered_pings_do_not_keep_a_connection_open() {
    let mut connection = open(short_response());
    connection.send(HTTP2).await;
    let mut frame = [0; 9];
    while connection.client.read_exact(&mut frame).await.is_ok() {
        let mut payload = vec![0; usize::from(frame[1]) * 256 + usize::from(frame[2])];
        connection.client.read_exact(&mut payload).await.unwrap();
        let is_ping = frame[3] == 6;
        let is_acknowledged = frame[4] == 1;
        if is_ping && !is_acknowledged {
            frame[4] = 1;
            let _ = connection.client.write_all(&[&frame[..], &payload].concat()).await;
        }
    }
    assert!(connection.closed().await <= HEAD_TIMEOUT + CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn head_over_sixteen_kib_is_rejected() {
    let mut connection = open(short_response());
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(17 * 1024));
    let _ = connection.client.write_all(long.as_bytes()).await;
    let response = connection.read_to_end().await;
    assert!(response.starts_with("HTTP/1.1 431 "), "{response}");
}

// Streaming responses.

const CHUNKS: u32 = 12;
const CHUNK_INTERVAL: Duration = Duration::from_secs(10);

/// Streams `CHUNKS` small chunks, one per `CHUNK_INTERVAL`, and records each as progress if `records_progress`.
fn streaming_response(records_progress: bool) -> impl Endpoint + 'static {
    make(move |request: Request| async move {
        let progress = request.extensions().get::<Progress>().cloned().unwrap();
        let chunks = stream::unfold(0, move |sent| {
            let progress = progress.clone();
            async move {
                tokio::time::sleep(CHUNK_INTERVAL).await;
                if records_progress {
                    progress.record();
                }
                (sent < CHUNKS).then(|| (Ok::<_, std::io::Error>(Bytes::from_static(b"piece")), sent + 1))
            }
        });
        Ok::<_, poem::Error>(Body::from_bytes_stream(chunks))
    })
}

#[tokio::test(start_paused = true)]
async fn stream_that_records_progress_is_kept_open() {
    let mut connection = open(streaming_response(true));
    connection.send(GET_AND_CLOSE).await;
    let response = connection.read_to_end().await;
    assert_eq!(response.matches("piece").count(), CHUNKS as usize);
    assert!(connection.closed().await >= CHUNK_INTERVAL * CHUNKS, "much longer than the idle timeout");
}

#[tokio::test(start_paused = true)]
async fn small_chunks_alone_are_no_progress() {
    let mut connection = open(streaming_response(false));
    connection.send(GET).await;
    let response = connection.read_to_end().await;
    assert!(response.matches("piece").count() < 4 && !response.ends_with("0\r\n\r\n"), "{response:?}");
}

// Shutdown.

/// A connection without a request so far, and one that is kept alive after a response.
async fn idle_connections() -> [TestConnection; 2] {
    let silent = open(short_response());
    let mut kept_alive = open(short_response());
    kept_alive.send(GET).await;
    kept_alive.read_until("short").await;
    [silent, kept_alive]
}

#[tokio::test(start_paused = true)]
async fn stop_closes_idle_connections_after_the_grace_period() {
    for connection in idle_connections().await {
        let since = Instant::now();
        connection.stop.cancel();
        connection.closed().await;
        assert_eq!(since.elapsed(), STOP_GRACE);
    }
}

/// The client sent these requests before it could know of the stop.
#[tokio::test(start_paused = true)]
async fn request_during_the_grace_period_is_served_with_connection_close() {
    for mut connection in idle_connections().await {
        connection.stop.cancel();
        tokio::time::sleep(STOP_GRACE / 2).await;
        connection.send(GET).await;
        let response = connection.read_to_end().await;
        assert!(response.starts_with("HTTP/1.1 200 ") && response.contains("connection: close"), "{response}");
        connection.closed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn stop_closes_incomplete_heads() {
    let mut connection = open(short_response());
    connection.send(b"GET / HT").await;
    connection.stop.cancel();
    assert!(connection.closed().await <= STOP_GRACE + CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn stop_waits_for_requests_in_flight() {
    let started = Arc::new(Notify::new());
    let finish = Arc::new(Notify::new());
    let mut connection = open({
        let (started, finish) = (Arc::clone(&started), Arc::clone(&finish));
        make(move |_| {
            let (started, finish) = (Arc::clone(&started), Arc::clone(&finish));
            async move {
                started.notify_one();
                finish.notified().await;
                Ok::<_, poem::Error>("in the end")
            }
        })
    });
    connection.send(GET).await;
    started.notified().await;
    connection.stop.cancel();
    tokio::time::sleep(5 * CLOSE_TIMEOUT).await;
    finish.notify_one();
    let response = connection.read_to_end().await;
    assert!(response.starts_with("HTTP/1.1 200 ") && response.ends_with("in the end"), "{response}");
    connection.closed().await;
}
