//! Brokers that are dead, silent or slow, and what is left of the connections to them.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Mutex,
};

use super::*;

/// The threads that the tests count are those of the whole process.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The threads of lapin, and the tasks of this runtime.
fn at_work() -> (usize, usize) {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path().join("comm"));
    let names = tasks.filter_map(|name| std::fs::read_to_string(name).ok());
    (
        names.filter(|name| name.trim() == "lapin-io-loop").count(),
        tokio::runtime::Handle::current().metrics().num_alive_tasks(),
    )
}

async fn nothing_is_left_but(before: usize) {
    let waiting = async {
        while at_work() != (0, before) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let ended = timeout(Duration::from_secs(5), waiting).await;
    assert!(ended.is_ok(), "threads and tasks should be {:?}, and are {:?}", (0, before), at_work());
}

/// Accepts connections, answers these words with those, and says nothing more, whatever it hears.
async fn broker_that_says(answers: Vec<([u8; 4], Vec<u8>)>) -> AMQPUri {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://u:p@{}/%2f?heartbeat=1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut open = vec![];
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = vec![];
            for (words, answer) in &answers {
                while !heard.windows(4).any(|heard| heard == words) {
                    assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0);
                }
                stream.write_all(answer).await.unwrap();
            }
            open.push(stream);
        }
    });
    url::parse(&url.into()).unwrap().remove(0)
}

/// A frame with a method of the class `connection`.
fn method(number: u8, arguments: &[u8]) -> Vec<u8> {
    let size = u8::try_from(arguments.len()).unwrap() + 4;
    [&[1, 0, 0, 0, 0, 0, size, 0, 10, 0, number], arguments, &[0xce]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_at_a_broker_that_never_speaks_leaves_nothing_behind() {
    let _alone = ALONE.lock().await;
    let host = broker_that_says(vec![]).await;
    let (_, before) = at_work();
    for _ in 0..10 {
        let error = connect_to_one(std::slice::from_ref(&host), "test", Duration::from_millis(50)).await.err().unwrap();
        assert_eq!(error.to_string(), "the broker at AMQP_URL did not answer in time");
    }
    nothing_is_left_but(before).await;
}

#[tokio::test]
async fn a_host_that_is_dead_or_silent_leaves_the_others_their_time() {
    let _alone = ALONE.lock().await;
    let silent = broker_that_says(vec![]).await;
    let dead = url::parse(&"amqp://u:p@127.0.0.1:1".to_owned().into()).unwrap().remove(0);
    let begun = Instant::now();
    let hosts = [silent.clone(), dead.clone(), silent.clone()];
    let error = connect_to_one(&hosts, "test", Duration::from_secs(3)).await;
    assert_eq!(error.err().unwrap().to_string(), "the broker at AMQP_URL did not answer in time");
    let taken = begun.elapsed();
    // With a limit for each of the silent ones, it would be 6 000.
    assert!((3_000..6_000).contains(&taken.as_millis()), "{taken:?}");
    let error = connect_to_one(&[silent, dead], "test", Duration::from_secs(6)).await.err().unwrap();
    assert_eq!(error.to_string(), "cannot connect to AMQP_URL");
}

#[tokio::test]
async fn amqps_is_tls_from_the_first_byte() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqps://u:p@{}/%2f", listener.local_addr().unwrap());
    let connecting = tokio::spawn(async move { connect(&url.into(), "test").await.map(drop) });
    let mut hello = [0; 3];
    listener.accept().await.unwrap().0.read_exact(&mut hello).await.unwrap();
    assert_eq!(hello, [0x16, 3, 1]);
    assert!(connecting.await.unwrap().is_err());
}

/// It shakes hands, and then the network swallows everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_falls_silent_leaves_nothing_behind() {
    let _alone = ALONE.lock().await;
    let (start_ok, open) = ([0, 10, 0, 11], [0, 10, 0, 40]);
    let start = method(10, b"\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US");
    let (tune, open_ok) = (method(30, &[0, 16, 0, 2, 0, 0, 0, 1]), method(41, &[0]));
    let host = broker_that_says(vec![(*b"AMQP", start), (start_ok, tune), (open, open_ok)]).await;
    let (_, before) = at_work();
    for closed in [true, false].repeat(5) {
        let link = connect_to_one(std::slice::from_ref(&host), "test", Duration::from_secs(5)).await.unwrap();
        if closed {
            link.close().await;
        }
    }
    nothing_is_left_but(before).await;
}
