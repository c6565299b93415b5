//! Answers that come bit by bit: kept as long as they say something, and no longer than that.

use bytes::Bytes;
use futures_util::stream;
use poem::{Body, Request};

use super::*;

const PIECES: u32 = 12;
const BETWEEN: Duration = Duration::from_secs(10);

/// So many small pieces with a pause before each; whether they count is said by who sends them.
fn pieces(counts: bool) -> impl Endpoint + 'static {
    make(move |request: Request| async move {
        let progress = request.extensions().get::<Progress>().cloned().unwrap();
        let pieces = stream::unfold(0, move |sent| {
            let progress = progress.clone();
            async move {
                tokio::time::sleep(BETWEEN).await;
                if counts {
                    progress.made();
                }
                (sent < PIECES).then(|| (Ok::<_, std::io::Error>(Bytes::from_static(b"piece")), sent + 1))
            }
        });
        Ok::<_, poem::Error>(Body::from_bytes_stream(pieces))
    })
}

#[tokio::test(start_paused = true)]
async fn who_is_told_something_now_and_then_is_kept() {
    let mut open = open(pieces(true));
    open.say(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let heard = open.hear_all().await;
    assert_eq!(heard.matches("piece").count(), PIECES as usize);
    assert!(open.cut().await >= BETWEEN * PIECES, "much longer than a silence");
}

#[tokio::test(start_paused = true)]
async fn pieces_alone_are_no_progress() {
    let mut open = open(pieces(false));
    open.say(GET).await;
    let heard = open.hear_all().await;
    assert!(heard.matches("piece").count() < 4 && !heard.ends_with("0\r\n\r\n"), "{heard:?}");
}
