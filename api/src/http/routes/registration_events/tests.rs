//! Content and timing of the event stream, on tokio's paused clock.

use futures_util::StreamExt;
use shared::telemetry::metrics::Gauge;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::*;
use crate::{domain::network::Network, domain::receipt::RegistrationStatus, registration::subscribers::Subscribers};

fn receipt(status: RegistrationStatus) -> Receipt {
    Receipt {
        registration: Uuid::nil(),
        status,
        requested_at: OffsetDateTime::UNIX_EPOCH,
        sent_at: None,
        expires_at: None,
        resend_at: OffsetDateTime::UNIX_EPOCH,
        code_length: 4,
        attempts_left: 3,
    }
}

fn client_network() -> Network {
    Network::of(std::net::Ipv4Addr::LOCALHOST.into())
}

fn subscribe(
    subscribers: &Arc<Subscribers>,
    status: RegistrationStatus,
) -> impl Stream<Item = io::Result<Bytes>> + Unpin {
    let subscription = subscribers.join(receipt(status), client_network()).unwrap();
    Box::pin(event_stream(subscription, Progress::default()))
}

async fn next(stream: &mut (impl Stream<Item = io::Result<Bytes>> + Unpin)) -> Option<String> {
    Some(String::from_utf8(stream.next().await?.unwrap().to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn stream_sends_receipt_then_keep_alives_until_its_lifetime_ends() {
    let subscribers = Arc::new(Subscribers::new(10, Gauge::default()));
    let mut stream = subscribe(&subscribers, RegistrationStatus::Queued);
    let begun = Instant::now();
    let first = next(&mut stream).await.unwrap();
    assert!(first.starts_with("retry: 2000\n\nid: ") && first.contains("\nevent: receipt\ndata: {"), "{first}");
    assert!(first.ends_with("}\n\n") && begun.elapsed().is_zero());
    let mut keep_alives = 0;
    while let Some(event) = next(&mut stream).await {
        let millis = event.strip_prefix("event: still\ndata: ").and_then(|rest| rest.strip_suffix("\n\n"));
        assert!(millis.unwrap().parse::<u64>().unwrap() > 1_700_000_000_000, "{event}");
        keep_alives += 1;
    }
    assert_eq!((keep_alives, begun.elapsed()), (29, LIFETIME));
}

#[tokio::test(start_paused = true)]
async fn client_that_reads_nothing_is_unsubscribed_after_the_lifetime() {
    let subscribers = Arc::new(Subscribers::new(1, Gauge::default()));
    let stream = subscribe(&subscribers, RegistrationStatus::Queued);
    assert!(subscribers.join(receipt(RegistrationStatus::Queued), client_network()).is_err());
    tokio::time::sleep(LIFETIME + Duration::from_millis(1)).await;
    assert!(subscribers.join(receipt(RegistrationStatus::Queued), client_network()).is_ok());
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn disconnect_frees_the_subscription_immediately() {
    let subscribers = Arc::new(Subscribers::new(1, Gauge::default()));
    drop(subscribe(&subscribers, RegistrationStatus::Queued));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(subscribers.join(receipt(RegistrationStatus::Queued), client_network()).is_ok());
}

#[tokio::test]
async fn stream_ends_after_the_last_receipt() {
    for status in [RegistrationStatus::Activated, RegistrationStatus::Closed] {
        let subscribers = Arc::new(Subscribers::new(10, Gauge::default()));
        let mut stream = subscribe(&subscribers, status);
        assert!(next(&mut stream).await.unwrap().contains("event: receipt"));
        assert_eq!(next(&mut stream).await, None);
    }
}

#[test]
fn event_id_depends_on_the_receipt_only() {
    let id = |status| ReceiptEvent::new(receipt(status)).id;
    assert_eq!(id(RegistrationStatus::Sent), id(RegistrationStatus::Sent));
    assert_ne!(id(RegistrationStatus::Sent), id(RegistrationStatus::Expired));
    assert_eq!(id(RegistrationStatus::Sent).len(), 16);
}
