//! The lockstep stream: neither the server nor the client can send out of turn.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::smtp::lockstep_stream::LockstepStream;

/// The client's stream after the greeting, and the server's end.
async fn after_greeting() -> (LockstepStream<DuplexStream>, DuplexStream) {
    let (client_end, mut server_end) = duplex(1024);
    server_end.write_all(b"220 here\r\n").await.unwrap();
    let mut stream = LockstepStream::new(client_end, ([127, 0, 0, 1], 25).into());
    assert_eq!(read_line(&mut stream).await.unwrap(), "220 here\r\n");
    (stream, server_end)
}

async fn read_line(stream: &mut LockstepStream<DuplexStream>) -> Result<String, ErrorKind> {
    let mut line = [0; 100];
    let read = stream.read(&mut line).await.map_err(|error| error.kind())?;
    Ok(String::from_utf8(line[..read].to_vec()).unwrap())
}

const THREE_COMMANDS: &str = "MAIL\r\nRCPT\r\nDATA\r\n";

/// Sends three commands at once; the server reads them and sends these replies.
async fn send_three_commands(replies: &str) -> (LockstepStream<DuplexStream>, DuplexStream, String) {
    let (mut stream, mut server_end) = after_greeting().await;
    stream.write_all(THREE_COMMANDS.as_bytes()).await.unwrap();
    let answering = async {
        server_end.read_exact(&mut [0; THREE_COMMANDS.len()]).await.unwrap();
        server_end.write_all(replies.as_bytes()).await.unwrap();
    };
    let (first, ()) = tokio::join!(read_line(&mut stream), answering);
    (stream, server_end, first.unwrap())
}

#[tokio::test]
async fn as_many_replies_are_read_as_commands_sent() {
    let (mut stream, _server_end, first) = send_three_commands("250 a\r\n250-b\r\n250 c\r\n354 d\r\n250 e\r\n").await;
    assert_eq!(first, "250 a\r\n");
    for expected in ["250-b", "250 c", "354 d"] {
        assert_eq!(read_line(&mut stream).await.unwrap().trim_end(), expected);
    }
    assert_eq!(read_line(&mut stream).await, Err(ErrorKind::ConnectionAborted));
}

/// Otherwise the client could not know to which command the next reply belongs.
#[tokio::test]
async fn client_cannot_send_before_reading_all_replies() {
    let (mut stream, mut server_end, _) = send_three_commands("250 a\r\n250 b\r\n").await;
    assert_eq!(read_line(&mut stream).await.unwrap(), "250 b\r\n");
    stream.write_all(b"Subject: hello\r\n\r\n.\r\n").await.unwrap();
    assert_eq!(read_line(&mut stream).await, Err(ErrorKind::ConnectionAborted));
    drop(stream);
    let mut received = String::new();
    server_end.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "", "nothing after the three commands");
}
