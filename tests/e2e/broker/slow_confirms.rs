//! A broker that confirms slowly: relays put less in flight, and publish nothing twice.

use support::{
    database::server_url, event_subscriber::EventSubscriber, running::RunningService, slow_confirms::SlowConfirms,
    stack::Stack,
};

const INSERT_CODES: &str = "INSERT INTO outbox (id, message) SELECT id, jsonb_build_object('v', 1, 'kind', 'send-code', \
    'id', id) FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $1::int)) AS new";
const INSERT_EVENTS: &str = "INSERT INTO outbox (id, message) SELECT id, jsonb_build_object('specversion', '1.0', 'type', \
    'user.deleted', 'id', id) FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $1::int)) AS new";

/// Two APIs, whose connections to the broker share this rate of confirms.
async fn start_apis(stack: &Stack, confirms_per_second: u32) -> (SlowConfirms, [RunningService; 2]) {
    let (broker, url) = SlowConfirms::in_front_of(&server_url("AMQP_URL"), confirms_per_second).await;
    let settings = [("AMQP_URL", url.as_str())];
    let apis = [stack.start_api(&settings).await, stack.start_api(&settings).await];
    for api in &apis {
        api.wait_until_all_checks_pass().await;
    }
    (broker, apis)
}

/// Waits until all is published, and asserts that each code was published once, over the first connection of each API.
async fn assert_published_once(stack: &Stack, broker: &SlowConfirms, codes: u32) {
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    assert_eq!(broker.connections(), 2, "an API has replaced its connection");
    stack.wait_for_queue_length(&stack.topology.codes.name, codes).await;
}

/// Without a limit on what is in flight, the last codes wait for their confirms for ten seconds. (A part of G5.)
#[tokio::test(flavor = "multi_thread")]
async fn slow_confirms_cause_no_duplicate() {
    const CODES: u32 = 600;
    const EVENTS: u32 = 100;
    let stack = Stack::prepare(&[]).await;
    let subscriber = EventSubscriber::subscribe(&stack, "#").await;
    stack.database.execute(INSERT_CODES, &[&CODES.cast_signed()]).await;
    stack.database.execute(INSERT_EVENTS, &[&EVENTS.cast_signed()]).await;
    let (broker, _apis) = start_apis(&stack, 50).await;
    assert_published_once(&stack, &broker, CODES).await;
    assert_eq!(subscriber.queue_length().await, EVENTS);
}

/// A confirm may take longer than a lease lasts: it is renewed meanwhile, so that the other relay does not publish the
/// message.
#[tokio::test(flavor = "multi_thread")]
async fn leases_outlast_slow_confirms() {
    const CODES: u32 = 45;
    let stack = Stack::prepare(&[]).await;
    stack.database.execute(INSERT_CODES, &[&CODES.cast_signed()]).await;
    let (broker, _apis) = start_apis(&stack, 2).await;
    assert_published_once(&stack, &broker, CODES).await;
}
