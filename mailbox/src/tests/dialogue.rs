//! SMTP on the wire: what arrives in pieces, at once, not at all, or while we stop.

use std::time::Duration;

use tokio::{
    io::AsyncReadExt,
    time::{Instant, timeout},
};

use super::{House, Line, Place};

const BEFORE_TEXT: &str = "EHLO me\r\nMAIL FROM:<a@x.io>\r\nRCPT TO:<b@x.io>\r\nDATA\r\n";

#[tokio::test]
async fn commands_may_come_all_at_once() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    let mut line = Line::open(&house).await;
    let no_mail = "RSET\r\nMAIL FROM:<a@x.io>\r\nRCPT TO:<nobody>\r\nDATA\r\n";
    line.say(&format!("EHLO me\r\n{no_mail}RSET\r\nNOOP\r\n")).await;
    assert_eq!(line.codes(7).await, [250, 250, 250, 501, 503, 250, 250]);
    line.say(BEFORE_TEXT).await;
    assert_eq!(line.codes(4).await, [250, 250, 250, 354]);
    line.say("Subject: one\r\n\r\n.\r\nMAIL FROM:<c@x.io>\r\nRCPT TO:<d@x.io>\r\nDATA\r\n").await;
    assert_eq!(line.codes(4).await, [250, 250, 250, 354]);
    line.say("Subject: two\r\n\r\n.\r\nQUIT\r\n").await;
    assert_eq!(line.codes(2).await, [250, 221]);
    assert_eq!(line.hear().await, "");
    assert_eq!(house.subjects().await, ["one", "two"]);
    house.stop().await;
}

#[tokio::test]
async fn a_mail_may_come_byte_by_byte() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    let mut line = Line::open(&house).await;
    line.say(BEFORE_TEXT).await;
    line.codes(4).await;
    for byte in "Subject: slow\r\n\r\n..\r\n.\r\n".chars() {
        line.say(&byte.to_string()).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(line.codes(1).await, [250]);
    assert_eq!(house.json("/email").await[0]["text"], ".\n");
    house.stop().await;
}

#[tokio::test]
async fn only_crlf_dot_crlf_ends_a_mail() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    for trick in ["\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r\n", "\0\r\n.\0\r\n"] {
        let mut line = Line::open(&house).await;
        line.say(BEFORE_TEXT).await;
        line.codes(4).await;
        line.say(&format!("Subject: whole\r\n\r\nx{trick}MAIL FROM:<eve@x.io>\r\nRCPT TO:<b@x.io>\r\nDATA\r\n")).await;
        line.say("Subject: smuggled\r\n\r\n.\r\nQUIT\r\n").await;
        assert_eq!(line.codes(2).await, [250, 221], "{trick:?}");
    }
    assert_eq!(house.subjects().await, ["whole"; 7]);
    house.stop().await;
}

#[tokio::test]
async fn a_connection_that_goes_in_the_middle_of_a_mail_leaves_nothing() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    let mut line = Line::open(&house).await;
    line.say(BEFORE_TEXT).await;
    line.codes(4).await;
    line.say("Subject: never\r\n\r\nhalf\r\n.").await;
    drop(line);
    house.send("after it").await;
    assert_eq!(house.subjects().await, ["after it"]);
    assert_eq!(std::fs::read_dir(&place.0).unwrap().count(), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_mail_that_is_too_large_is_refused_and_the_connection_goes_on() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    let mut line = Line::open(&house).await;
    line.say(BEFORE_TEXT).await;
    line.codes(4).await;
    line.say(&"0123456789abcde\r\n".repeat(70_000)).await;
    line.say(".\r\n").await;
    assert_eq!(line.codes(1).await, [552]);
    line.say("NOOP\r\n").await;
    assert_eq!(line.codes(1).await, [250]);
    assert!(place.eml_files().is_empty());
    house.stop().await;
}

#[tokio::test]
async fn connections_wait_for_a_place() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    let mut lines = Vec::new();
    for _ in 0..32 {
        lines.push(Line::open(&house).await);
    }
    let mut one_more = Box::pin(Line::open(&house));
    assert!(timeout(Duration::from_millis(100), &mut one_more).await.is_err());
    lines.pop();
    one_more.as_mut().await;
    drop(one_more);
    house.stop().await;
}

#[tokio::test]
async fn a_mail_on_its_way_may_arrive_while_we_stop() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    let (mut idle, mut busy) = (Line::open(&house).await, Line::open(&house).await);
    busy.say(BEFORE_TEXT).await;
    busy.codes(4).await;
    house.stop.cancel();
    assert_eq!(idle.codes(1).await, [421]);
    busy.say("Subject: last\r\n\r\n.\r\n").await;
    assert_eq!(busy.codes(2).await, [250, 421]);
    house.stop().await;
    assert_eq!(place.eml_files().len(), 1);
}

#[tokio::test]
async fn a_mail_that_does_not_arrive_keeps_nobody_from_stopping() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    let mut line = Line::open(&house).await;
    line.say(BEFORE_TEXT).await;
    line.codes(4).await;
    line.say("Subject: never\r\n").await;
    house.stop().await;
    assert!(place.eml_files().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed() {
    let place = Place::new();
    let house = House::open(&place.0).await;
    let Line(mut stream) = Line::open(&house).await;
    let begun = Instant::now();
    let mut last_words = String::new();
    stream.read_to_string(&mut last_words).await.unwrap();
    assert!(last_words.starts_with("421 4.4.2"), "{last_words}");
    assert_eq!(begun.elapsed().as_secs(), 300);
    house.stop().await;
}
