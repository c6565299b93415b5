//! Connections to brokers that are dead, silent or slow: timeouts, and no thread or task is left behind.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Mutex,
};

use super::*;

/// Serialises the tests that count threads, because they count those of the whole process.
static THREAD_COUNT_LOCK: Mutex<()> = Mutex::const_new(());

/// The number of lapin threads in this process, and of tasks in this runtime.
fn threads_and_tasks() -> (usize, usize) {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path().join("comm"));
    let names = tasks.filter_map(|name| std::fs::read_to_string(name).ok());
    (
        names.filter(|name| name.trim() == "lapin-io-loop").count(),
        tokio::runtime::Handle::current().metrics().num_alive_tasks(),
    )
}

/// Waits until no lapin thread is left, and only as many tasks as before.
async fn wait_until_cleaned_up(tasks_before: usize) {
    let waiting = async {
        while threads_and_tasks() != (0, tasks_before) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let ended = timeout(Duration::from_secs(5), waiting).await;
    assert!(ended.is_ok(), "threads and tasks should be {:?}, and are {:?}", (0, tasks_before), threads_and_tasks());
}

/// Starts a broker that accepts connections, sends each reply when its four trigger bytes have arrived, and then is
/// silent.
async fn scripted_broker(replies: Vec<([u8; 4], Vec<u8>)>) -> AMQPUri {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://u:p@{}/%2f?heartbeat=1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut open = vec![];
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut received = vec![];
            for (trigger, reply) in &replies {
                while !received.windows(4).any(|window| window == trigger) {
                    assert_ne!(stream.read_buf(&mut received).await.unwrap(), 0);
                }
                stream.write_all(reply).await.unwrap();
            }
            open.push(stream);
        }
    });
    url::parse(&url.into()).unwrap().remove(0)
}

/// A frame with a method of the AMQP class `connection`.
fn method(number: u8, arguments: &[u8]) -> Vec<u8> {
    let size = u8::try_from(arguments.len()).unwrap() + 4;
    [&[1, 0, 0, 0, 0, 0, size, 0, 10, 0, number], arguments, &[0xce]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn timed_out_attempt_leaves_nothing_behind() {
    let _guard = THREAD_COUNT_LOCK.lock().await;
    let host = scripted_broker(vec![]).await;
    let (_, before) = threads_and_tasks();
    for _ in 0..10 {
        let error =
            connect_in_order(std::slice::from_ref(&host), "test", Duration::from_millis(50)).await.err().unwrap();
        assert_eq!(error.to_string(), "the broker at AMQP_URL did not respond in time");
    }
    wait_until_cleaned_up(before).await;
}

#[tokio::test]
async fn dead_or_silent_host_leaves_time_for_the_others() {
    let _guard = THREAD_COUNT_LOCK.lock().await;
    let silent = scripted_broker(vec![]).await;
    let dead = url::parse(&"amqp://u:p@127.0.0.1:1".to_owned().into()).unwrap().remove(0);
    let started = Instant::now();
    let hosts = [silent.clone(), dead.clone(), silent.clone()];
    let error = connect_in_order(&hosts, "test", Duration::from_secs(3)).await;
    assert_eq!(error.err().unwrap().to_string(), "the broker at AMQP_URL did not respond in time");
    let taken = started.elapsed();
    // A timeout of 3 s for each of the two silent hosts would add up to 6 000 ms.
    assert!((3_000..6_000).contains(&taken.as_millis()), "{taken:?}");
    let error = connect_in_order(&[silent, dead], "test", Duration::from_secs(6)).await.err().unwrap();
    assert_eq!(error.to_string(), "cannot connect to AMQP_URL");
}

#[tokio::test]
async fn amqps_uses_tls_from_the_first_byte() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqps://u:p@{}/%2f", listener.local_addr().unwrap());
    let connecting = tokio::spawn(async move { connect(&url.into(), "test").await.map(drop) });
    let mut hello = [0; 3];
    listener.accept().await.unwrap().0.read_exact(&mut hello).await.unwrap();
    assert_eq!(hello, [0x16, 3, 1]);
    assert!(connecting.await.unwrap().is_err());
}

/// The broker completes the handshake and then sends nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connection_leaves_nothing_behind() {
    let _guard = THREAD_COUNT_LOCK.lock().await;
    let (start_ok, open) = ([0, 10, 0, 11], [0, 10, 0, 40]);
    let start = method(10, b"\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US");
    let (tune, open_ok) = (method(30, &[0, 16, 0, 2, 0, 0, 0, 1]), method(41, &[0]));
    let host = scripted_broker(vec![(*b"AMQP", start), (start_ok, tune), (open, open_ok)]).await;
    let (_, before) = threads_and_tasks();
    for is_closed in [true, false].repeat(5) {
        let link = connect_in_order(std::slice::from_ref(&host), "test", Duration::from_secs(5)).await.unwrap();
        if is_closed {
            link.close().await;
        }
    }
    wait_until_cleaned_up(before).await;
}
