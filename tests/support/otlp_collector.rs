//! An OTLP/HTTP trace collector for tests: records the requests, and can reject them or never respond.

mod protobuf;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use self::protobuf::{all, fields, hex, last, number, text};

/// How the collector responds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectorBehaviour {
    /// With 200.
    Accepts,
    /// With 503.
    Rejects,
    /// Never.
    NeverResponds,
}

/// A collector on a free port of loopback.
pub struct OtlpCollector {
    port: u16,
    requests: Arc<Mutex<RecordedRequests>>,
}

/// Everything the collector received.
#[derive(Default)]
struct RecordedRequests {
    connections: usize,
    /// Request lines with headers.
    heads: Vec<String>,
    bodies: Vec<Vec<u8>>,
    spans: Vec<Span>,
}

/// A received span; ids in hexadecimal.
#[derive(Clone, Debug)]
pub struct Span {
    /// The resource attribute `service.name`.
    pub service: String,
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub kind: u64,
    pub attributes: Vec<(String, String)>,
    pub failed: bool,
}

impl OtlpCollector {
    /// Starts a collector with this behaviour.
    pub async fn start(behaviour: CollectorBehaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::<Mutex<RecordedRequests>>::default();
        let recorder = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                recorder.lock().unwrap().connections += 1;
                tokio::spawn(serve(stream, behaviour, Arc::clone(&recorder)));
            }
        });
        Self { port, requests }
    }

    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        self.requests.lock().unwrap().connections
    }

    /// Request line and headers of all requests.
    pub fn heads(&self) -> Vec<String> {
        self.requests.lock().unwrap().heads.clone()
    }

    /// The bodies of all requests, concatenated.
    pub fn bytes(&self) -> Vec<u8> {
        self.requests.lock().unwrap().bodies.concat()
    }

    /// The spans of a trace so far.
    pub fn trace(&self, trace: &str) -> Vec<Span> {
        self.requests.lock().unwrap().spans.iter().filter(|span| span.trace == trace).cloned().collect()
    }

    /// Waits until a trace has this number of spans of this name, and returns all its spans.
    pub async fn wait_for_spans(&self, trace: &str, name: &str, times: usize) -> Vec<Span> {
        let wait = async {
            while self.trace(trace).iter().filter(|span| span.name == name).count() < times {
                tokio::task::yield_now().await;
            }
        };
        let result = tokio::time::timeout(Duration::from_secs(30), wait).await;
        result.unwrap_or_else(|_| panic!("the trace did not get {times} spans {name}: {:#?}", self.trace(trace)));
        self.trace(trace)
    }
}

/// Reads one request, records it, and responds.
async fn serve(mut stream: TcpStream, behaviour: CollectorBehaviour, requests: Arc<Mutex<RecordedRequests>>) {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
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
        let mut requests = requests.lock().unwrap();
        requests.spans.extend(decode_spans(&bytes));
        requests.heads.push(head);
        requests.bodies.push(bytes);
    }
    match behaviour {
        CollectorBehaviour::Accepts => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap_or_default()
        }
        CollectorBehaviour::Rejects => stream.write_all(b"HTTP/1.1 503 Busy\r\n\r\n").await.unwrap_or_default(),
        CollectorBehaviour::NeverResponds => std::future::pending().await,
    }
}

/// Name and value of each attribute; numbers as text.
fn attributes(message: &[u8], field: u64) -> Vec<(String, String)> {
    let decode = |attribute: &Vec<u8>| {
        let (kind, value) = fields(&last(attribute, 2)).remove(0);
        (text(&last(attribute, 1)), if kind == 1 { text(&value) } else { number(&value).to_string() })
    };
    all(message, field).iter().map(decode).collect()
}

/// The spans of an `ExportTraceServiceRequest`.
fn decode_spans(request: &[u8]) -> Vec<Span> {
    let resource = last(request, 1);
    let resource_attributes = attributes(&last(&resource, 1), 1);
    let service = resource_attributes.iter().find(|(name, _)| name == "service.name").unwrap().1.clone();
    assert!(resource_attributes.iter().any(|(name, _)| name == "service.version"), "{resource_attributes:?}");
    let spans = all(&last(&resource, 2), 2);
    let decode = |span: &Vec<u8>| {
        assert!(number(&last(span, 7)) <= number(&last(span, 8)), "the span ends before it starts");
        Span {
            service: service.clone(),
            trace: hex(&last(span, 1)),
            id: hex(&last(span, 2)),
            parent: hex(&last(span, 4)),
            name: text(&last(span, 5)),
            kind: number(&last(span, 6)),
            attributes: attributes(span, 9),
            failed: number(&last(&last(span, 15), 3)) == 2,
        }
    };
    spans.iter().map(decode).collect()
}
