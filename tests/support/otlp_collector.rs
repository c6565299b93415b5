//! A collector of traces for tests: it remembers what it is sent, or does not behave.

mod protobuf;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use self::protobuf::{all, fields, hex, number, one, text};

/// How it treats who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectorBehaviour {
    Takes,
    Refuses,
    SaysNothing,
}

pub struct Collector {
    port: u16,
    heard: Arc<Mutex<ReceivedEvent>>,
}

#[derive(Default)]
struct ReceivedEvent {
    connections: usize,
    heads: Vec<String>,
    bodies: Vec<Vec<u8>>,
    spans: Vec<Span>,
}

/// A span as it came; times as they are, ids in hexadecimal.
#[derive(Clone, Debug)]
pub struct Span {
    pub service: String,
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub kind: u64,
    pub attributes: Vec<(String, String)>,
    pub failed: bool,
}

impl Collector {
    pub async fn start(manner: CollectorBehaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, heard) = (listener.local_addr().unwrap().port(), Arc::<Mutex<ReceivedEvent>>::default());
        let remembers = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                remembers.lock().unwrap().connections += 1;
                tokio::spawn(listen(stream, manner, Arc::clone(&remembers)));
            }
        });
        Self { port, heard }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn connections(&self) -> usize {
        self.heard.lock().unwrap().connections
    }

    pub fn heads(&self) -> Vec<String> {
        self.heard.lock().unwrap().heads.clone()
    }

    /// All bytes of all bodies.
    pub fn bytes(&self) -> Vec<u8> {
        self.heard.lock().unwrap().bodies.concat()
    }

    pub fn trace(&self, trace: &str) -> Vec<Span> {
        self.heard.lock().unwrap().spans.iter().filter(|span| span.trace == trace).cloned().collect()
    }

    /// Waits until a trace has so many spans of this name, and returns all of it.
    pub async fn trace_with(&self, trace: &str, name: &str, times: usize) -> Vec<Span> {
        let wait = async {
            while self.trace(trace).iter().filter(|span| span.name == name).count() < times {
                tokio::task::yield_now().await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(30), wait).await;
        ended.unwrap_or_else(|_| panic!("never {times} of {name}: {:#?}", self.trace(trace)));
        self.trace(trace)
    }
}

async fn listen(mut stream: TcpStream, manner: CollectorBehaviour, heard: Arc<Mutex<ReceivedEvent>>) {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes.drain(..end + 4).collect()).unwrap();
            let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
            break (head.clone(), length.parse::<usize>().unwrap());
        }
    };
    while bytes.len() < length {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    {
        let mut heard = heard.lock().unwrap();
        heard.spans.extend(read(&bytes));
        heard.heads.push(head);
        heard.bodies.push(bytes);
    }
    match manner {
        CollectorBehaviour::Takes => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap_or_default()
        }
        CollectorBehaviour::Refuses => stream.write_all(b"HTTP/1.1 503 Busy\r\n\r\n").await.unwrap_or_default(),
        CollectorBehaviour::SaysNothing => std::future::pending().await,
    }
}

/// Name and value of each; numbers as text.
fn attributes(message: &[u8], field: u64) -> Vec<(String, String)> {
    let read = |attribute: &Vec<u8>| {
        let (kind, value) = fields(&one(attribute, 2)).remove(0);
        (text(&one(attribute, 1)), if kind == 1 { text(&value) } else { number(&value).to_string() })
    };
    all(message, field).iter().map(read).collect()
}

fn read(request: &[u8]) -> Vec<Span> {
    let resource = one(request, 1);
    let about = attributes(&one(&resource, 1), 1);
    let service = about.iter().find(|(name, _)| name == "service.name").unwrap().1.clone();
    assert!(about.iter().any(|(name, _)| name == "service.version"), "{about:?}");
    let spans = all(&one(&resource, 2), 2);
    let read = |span: &Vec<u8>| {
        assert!(number(&one(span, 7)) <= number(&one(span, 8)), "it ends after it began");
        Span {
            service: service.clone(),
            trace: hex(&one(span, 1)),
            id: hex(&one(span, 2)),
            parent: hex(&one(span, 4)),
            name: text(&one(span, 5)),
            kind: number(&one(span, 6)),
            attributes: attributes(span, 9),
            failed: number(&one(&one(span, 15), 3)) == 2,
        }
    };
    spans.iter().map(read).collect()
}
