//! What the fuzzer in fuzz/ throws at us as a mail server, and a test its seeds: whatever it says, in whatever pieces,
//! we neither panic nor wait for ever nor take a email for accepted that is not. Panics where that is broken.

mod speech;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use lettre::transport::smtp::extension::ClientId;

use self::speech::{Peer, Shared, Speech};
use crate::smtp::{Email, Server, Slot, SmtpError, connect, lockstep_stream::LockstepStream, starttls};

/// The first byte says how it is done: in which pieces the server speaks, and whether there is a login or STARTTLS. The
/// rest is what the server says, its turns parted by `|`.
pub fn replies(bytes: &[u8]) {
    let [how, script @ ..] = bytes else { return };
    let turns = script.split(|byte| *byte == b'|').map(<[u8]>::to_vec);
    let piece = 1 + usize::from(how >> 2);
    let speech = Arc::new(Mutex::new(Speech::new(turns, piece)));
    // With the clock standing still, whoever would wait for ever gives up at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let Ok(runtime) = runtime else { panic!("no runtime") };
    if how % 4 == 0 {
        let asked = runtime.block_on(ask_for_tls(Arc::clone(&speech)));
        assert!(asked.is_err() || speech.lock().is_ok_and(|speech| speech.agrees_to_tls()), "{}", shown(bytes));
    } else {
        let url = if how % 4 == 1 { "smtp://ada:secret@localhost" } else { "smtp://localhost" };
        let sent = runtime.block_on(deliver(url, Arc::clone(&speech)));
        let speech = speech.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(sent.is_err() || speech.takes_the_letter(), "{}", shown(bytes));
        let letter_was_said = speech.heard.windows(LETTER.len()).any(|window| window == LETTER);
        assert!(!letter_was_said || speech.asks_for_the_letter(), "{}", shown(bytes));
    }
}

const LETTER: &[u8] = b"Subject: hello";

async fn ask_for_tls(speech: Shared) -> Result<(), SmtpError> {
    let limit = server("smtp://localhost").timeouts.step;
    starttls::ask(LockstepStream::new(Peer(speech), PEER), &hello(), limit).await.map(drop)
}

async fn deliver(url: &str, speech: Shared) -> Result<(), SmtpError> {
    let server = Arc::new(server(url));
    let connection = connect::greet(&server, LockstepStream::new(Peer(speech), PEER), &hello()).await?;
    let (Ok(from), Ok(to)) = ("no-reply@example.com".parse(), "ada@example.com".parse()) else { panic!("addresses") };
    Slot::new(server).hand_over(connection, &Email { from, to, bytes: LETTER.to_vec(), is_muted: false }).await
}

const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 25);

fn hello() -> ClientId {
    ClientId::Domain("localhost".into())
}

fn server(url: &str) -> Server {
    Server::parse(url).unwrap_or_else(|why| panic!("{why}"))
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_seeds_of_the_fuzzer_hold() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus-seeds/replies");
        for seed in std::fs::read_dir(seeds).unwrap() {
            super::replies(&std::fs::read(seed.unwrap().path()).unwrap());
        }
    }
}
