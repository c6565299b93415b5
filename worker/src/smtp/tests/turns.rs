//! The stream under lettre: nobody speaks out of turn, neither they nor we.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::smtp::lockstep_stream::LockstepStream;

/// Our end, after the greeting, and the server's.
async fn greeted() -> (LockstepStream<DuplexStream>, DuplexStream) {
    let (ours, mut theirs) = duplex(1024);
    theirs.write_all(b"220 here\r\n").await.unwrap();
    let mut turns = LockstepStream::new(ours, ([127, 0, 0, 1], 25).into());
    assert_eq!(line(&mut turns).await.unwrap(), "220 here\r\n");
    (turns, theirs)
}

async fn line(turns: &mut LockstepStream<DuplexStream>) -> Result<String, ErrorKind> {
    let mut line = [0; 100];
    let read = turns.read(&mut line).await.map_err(|error| error.kind())?;
    Ok(String::from_utf8(line[..read].to_vec()).unwrap())
}

const THREE: &str = "MAIL\r\nRCPT\r\nDATA\r\n";

/// Says three commands at once; the server hears them and says this.
async fn three_said(replies: &str) -> (LockstepStream<DuplexStream>, DuplexStream, String) {
    let (mut turns, mut theirs) = greeted().await;
    turns.write_all(THREE.as_bytes()).await.unwrap();
    let answering = async {
        theirs.read_exact(&mut [0; THREE.len()]).await.unwrap();
        theirs.write_all(replies.as_bytes()).await.unwrap();
    };
    let (first, ()) = tokio::join!(line(&mut turns), answering);
    (turns, theirs, first.unwrap())
}

#[tokio::test]
async fn so_many_replies_are_heard_as_there_were_commands() {
    let (mut turns, _theirs, first) = three_said("250 a\r\n250-b\r\n250 c\r\n354 d\r\n250 e\r\n").await;
    assert_eq!(first, "250 a\r\n");
    for expected in ["250-b", "250 c", "354 d"] {
        assert_eq!(line(&mut turns).await.unwrap().trim_end(), expected);
    }
    assert_eq!(line(&mut turns).await, Err(ErrorKind::ConnectionAborted));
}

/// Who has not heard all answers does not know what the next one belongs to.
#[tokio::test]
async fn we_do_not_speak_before_we_have_heard_all_that_is_due() {
    let (mut turns, mut theirs, _) = three_said("250 a\r\n250 b\r\n").await;
    assert_eq!(line(&mut turns).await.unwrap(), "250 b\r\n");
    turns.write_all(b"Subject: hello\r\n\r\n.\r\n").await.unwrap();
    assert_eq!(line(&mut turns).await, Err(ErrorKind::ConnectionAborted));
    drop(turns);
    let mut heard = String::new();
    theirs.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "", "nothing more than the three");
}
