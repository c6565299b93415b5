//! SMTP over TCP: pipelining, fragmentation, smuggling, limits, timeouts and shutdown.

use std::time::Duration;

use tokio::{
    io::AsyncReadExt,
    time::{Instant, timeout},
};

use super::{SmtpClient, TempFolder, TestInbox};

/// Everything that a client sends before the text of a message.
const UNTIL_DATA: &str = "EHLO me\r\nMAIL FROM:<a@x.io>\r\nRCPT TO:<b@x.io>\r\nDATA\r\n";

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    let mut client = SmtpClient::connect(&inbox).await;
    let invalid_mail = "RSET\r\nMAIL FROM:<a@x.io>\r\nRCPT TO:<nobody>\r\nDATA\r\n";
    client.send(&format!("EHLO me\r\n{invalid_mail}RSET\r\nNOOP\r\n")).await;
    assert_eq!(client.reply_codes(7).await, [250, 250, 250, 501, 503, 250, 250]);
    client.send(UNTIL_DATA).await;
    assert_eq!(client.reply_codes(4).await, [250, 250, 250, 354]);
    client.send("Subject: one\r\n\r\n.\r\nMAIL FROM:<c@x.io>\r\nRCPT TO:<d@x.io>\r\nDATA\r\n").await;
    assert_eq!(client.reply_codes(4).await, [250, 250, 250, 354]);
    client.send("Subject: two\r\n\r\n.\r\nQUIT\r\n").await;
    assert_eq!(client.reply_codes(2).await, [250, 221]);
    assert_eq!(client.receive().await, "");
    assert_eq!(inbox.subjects().await, ["one", "two"]);
    inbox.stop().await;
}

#[tokio::test]
async fn mail_may_arrive_byte_by_byte() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    let mut client = SmtpClient::connect(&inbox).await;
    client.send(UNTIL_DATA).await;
    client.reply_codes(4).await;
    for byte in "Subject: slow\r\n\r\n..\r\n.\r\n".chars() {
        client.send(&byte.to_string()).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.reply_codes(1).await, [250]);
    assert_eq!(inbox.json("/email").await[0]["text"], ".\n");
    inbox.stop().await;
}

#[tokio::test]
async fn only_crlf_dot_crlf_ends_a_message() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    for ending in ["\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r\n", "\0\r\n.\0\r\n"] {
        let mut client = SmtpClient::connect(&inbox).await;
        client.send(UNTIL_DATA).await;
        client.reply_codes(4).await;
        client
            .send(&format!("Subject: whole\r\n\r\nx{ending}MAIL FROM:<eve@x.io>\r\nRCPT TO:<b@x.io>\r\nDATA\r\n"))
            .await;
        client.send("Subject: smuggled\r\n\r\n.\r\nQUIT\r\n").await;
        assert_eq!(client.reply_codes(2).await, [250, 221], "{ending:?}");
    }
    assert_eq!(inbox.subjects().await, ["whole"; 7]);
    inbox.stop().await;
}

#[tokio::test]
async fn connection_lost_within_a_mail_stores_nothing() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    let mut client = SmtpClient::connect(&inbox).await;
    client.send(UNTIL_DATA).await;
    client.reply_codes(4).await;
    client.send("Subject: never\r\n\r\nhalf\r\n.").await;
    drop(client);
    inbox.send("after it").await;
    assert_eq!(inbox.subjects().await, ["after it"]);
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1);
    inbox.stop().await;
}

#[tokio::test]
async fn too_large_mail_is_rejected_without_closing_the_connection() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    let mut client = SmtpClient::connect(&inbox).await;
    client.send(UNTIL_DATA).await;
    client.reply_codes(4).await;
    client.send(&"0123456789abcde\r\n".repeat(70_000)).await;
    client.send(".\r\n").await;
    assert_eq!(client.reply_codes(1).await, [552]);
    client.send("NOOP\r\n").await;
    assert_eq!(client.reply_codes(1).await, [250]);
    assert!(folder.eml_files().is_empty());
    inbox.stop().await;
}

#[tokio::test]
async fn connection_above_the_limit_waits() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    let mut clients = Vec::new();
    for _ in 0..32 {
        clients.push(SmtpClient::connect(&inbox).await);
    }
    let mut waiting = Box::pin(SmtpClient::connect(&inbox));
    assert!(timeout(Duration::from_millis(100), &mut waiting).await.is_err());
    clients.pop();
    waiting.as_mut().await;
    drop(waiting);
    inbox.stop().await;
}

#[tokio::test]
async fn shutdown_waits_for_a_mail_in_progress() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    let (mut idle, mut busy) = (SmtpClient::connect(&inbox).await, SmtpClient::connect(&inbox).await);
    busy.send(UNTIL_DATA).await;
    busy.reply_codes(4).await;
    inbox.stop.cancel();
    assert_eq!(idle.reply_codes(1).await, [421]);
    busy.send("Subject: last\r\n\r\n.\r\n").await;
    assert_eq!(busy.reply_codes(2).await, [250, 421]);
    inbox.stop().await;
    assert_eq!(folder.eml_files().len(), 1);
}

#[tokio::test]
async fn unfinished_mail_does_not_block_the_shutdown() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    let mut client = SmtpClient::connect(&inbox).await;
    client.send(UNTIL_DATA).await;
    client.reply_codes(4).await;
    client.send("Subject: never\r\n").await;
    inbox.stop().await;
    assert!(folder.eml_files().is_empty());
}

#[tokio::test(start_paused = true)]
async fn idle_connection_is_closed_after_five_minutes() {
    let folder = TempFolder::new();
    let inbox = TestInbox::start(&folder.0).await;
    let SmtpClient(mut stream) = SmtpClient::connect(&inbox).await;
    let started = Instant::now();
    let mut last_reply = String::new();
    stream.read_to_string(&mut last_reply).await.unwrap();
    assert!(last_reply.starts_with("421 4.4.2"), "{last_reply}");
    assert_eq!(started.elapsed().as_secs(), 300);
    inbox.stop().await;
}
