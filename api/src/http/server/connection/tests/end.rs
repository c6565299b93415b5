//! Told to stop: what is being asked at that moment is heard, what is in hand is answered.

use super::*;

#[tokio::test(start_paused = true)]
async fn at_the_end_what_is_idle_is_closed_soon() {
    let (silent, mut kept) = (open(short()), open(short()));
    kept.say(GET).await;
    kept.hear_until("short").await;
    for open in [silent, kept] {
        let since = Instant::now();
        open.stop.cancel();
        open.cut().await;
        assert_eq!(since.elapsed(), LAST_CALL);
    }
}

/// Its bytes were on their way when nobody could know.
#[tokio::test(start_paused = true)]
async fn at_the_end_who_was_about_to_ask_is_answered_and_told_that_it_was_the_last_time() {
    let (silent, mut kept) = (open(short()), open(short()));
    kept.say(GET).await;
    kept.hear_until("short").await;
    for mut open in [silent, kept] {
        open.stop.cancel();
        tokio::time::sleep(LAST_CALL / 2).await;
        open.say(GET).await;
        let heard = open.hear_all().await;
        assert!(heard.starts_with("HTTP/1.1 200 ") && heard.contains("connection: close"), "{heard}");
        open.cut().await;
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_end_half_a_head_has_a_moment() {
    let mut open = open(short());
    open.say(b"GET / HT").await;
    open.stop.cancel();
    assert!(open.cut().await <= LAST_CALL + LAST_WORDS);
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
