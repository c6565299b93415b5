//! Told to stop: what is idle goes at once, what is in hand has a moment.

use super::*;

#[tokio::test(start_paused = true)]
async fn at_the_end_what_is_idle_is_closed_at_once() {
    let (silent, mut kept) = (open(short()), open(short()));
    kept.say(GET).await;
    kept.hear_until("short").await;
    for open in [silent, kept] {
        open.stop.cancel();
        assert_eq!(open.cut().await, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_end_half_a_head_has_a_moment() {
    let mut open = open(short());
    open.say(b"GET / HT").await;
    open.stop.cancel();
    assert!(open.cut().await <= 2 * LAST_WORDS);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_what_is_in_hand_is_answered() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, goes_on) = (Arc::clone(&begun), Arc::clone(&go_on));
    let mut open = open(make(move |_| {
        let (begins, goes_on) = (Arc::clone(&begins), Arc::clone(&goes_on));
        async move {
            begins.notify_one();
            goes_on.notified().await;
            Ok::<_, poem::Error>("in the end")
        }
    }));
    open.say(GET).await;
    begun.notified().await;
    open.stop.cancel();
    tokio::time::sleep(5 * LAST_WORDS).await;
    go_on.notify_one();
    let heard = open.hear_all().await;
    assert!(heard.starts_with("HTTP/1.1 200 ") && heard.ends_with("in the end"), "{heard}");
    open.cut().await;
}
