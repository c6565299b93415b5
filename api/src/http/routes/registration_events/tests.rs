//! What one client is told and when, on a clock that is ours.

use futures_util::StreamExt;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::*;
use crate::{
    domain::network::Network,
    registration::{receipt::RegistrationStatus as Status, receipt_watch::Subscribers},
};

fn receipt(status: Status) -> Receipt {
    let at = OffsetDateTime::UNIX_EPOCH;
    let (sent_at, expires_at) = (None, None);
    let registration = Uuid::nil();
    Receipt {
        registration,
        status,
        requested_at: at,
        sent_at,
        expires_at,
        resend_at: at,
        code_length: 4,
        attempts_left: 3,
    }
}

fn told(watch: &Arc<Subscribers>, status: Status) -> impl Stream<Item = io::Result<Bytes>> + Unpin {
    let network = Network::of(std::net::Ipv4Addr::LOCALHOST.into());
    Box::pin(tell(watch.join(receipt(status), network).unwrap(), Progress::default()))
}

async fn next(stream: &mut (impl Stream<Item = io::Result<Bytes>> + Unpin)) -> Option<String> {
    Some(String::from_utf8(stream.next().await?.unwrap().to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_first_event_comes_at_once_and_then_it_is_said_every_ten_seconds_that_there_is_none() {
    let watch = Arc::new(Subscribers::new(10, Arc::default()));
    let (mut stream, begun) = (told(&watch, Status::Queued), Instant::now());
    let first = next(&mut stream).await.unwrap();
    assert!(first.starts_with("retry: 2000\n\nid: ") && first.contains("\nevent: receipt\ndata: {"), "{first}");
    assert!(first.ends_with("}\n\n") && begun.elapsed().is_zero());
    let mut still = 0;
    while let Some(piece) = next(&mut stream).await {
        let millis = piece.strip_prefix("event: still\ndata: ").and_then(|rest| rest.strip_suffix("\n\n"));
        assert!(millis.unwrap().parse::<u64>().unwrap() > 1_700_000_000_000, "{piece}");
        still += 1;
    }
    assert_eq!((still, begun.elapsed()), (29, LIFETIME), "nobody has a place for ever");
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_has_no_place_for_ever_either() {
    let watch = Arc::new(Subscribers::new(1, Arc::default()));
    let stream = told(&watch, Status::Queued);
    let network = Network::of(std::net::Ipv4Addr::LOCALHOST.into());
    assert!(watch.join(receipt(Status::Queued), network).is_err());
    tokio::time::sleep(LIFETIME + Duration::from_millis(1)).await;
    assert!(watch.join(receipt(Status::Queued), network).is_ok());
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn who_goes_leaves_the_place_at_once() {
    let watch = Arc::new(Subscribers::new(1, Arc::default()));
    drop(told(&watch, Status::Queued));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(watch.join(receipt(Status::Queued), Network::of(std::net::Ipv4Addr::LOCALHOST.into())).is_ok());
}

#[tokio::test]
async fn after_the_last_event_there_is_nothing() {
    for status in [Status::Activated, Status::Closed] {
        let watch = Arc::new(Subscribers::new(10, Arc::default()));
        let mut stream = told(&watch, status);
        assert!(next(&mut stream).await.unwrap().contains("event: receipt"));
        assert_eq!(next(&mut stream).await, None);
    }
}

#[test]
fn equal_receipts_have_equal_ids_and_others_have_others() {
    let of = |status| Event::of(receipt(status)).id;
    assert_eq!(of(Status::Sent), of(Status::Sent));
    assert_ne!(of(Status::Sent), of(Status::Expired));
    assert_eq!(of(Status::Sent).len(), 16);
}
