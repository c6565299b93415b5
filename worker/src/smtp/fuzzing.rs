//! Fuzz target of the SMTP client (`fuzz/`); a test runs its seeds.
//!
//! Whatever a mail server sends, in whatever chunks, the client neither panics nor waits forever nor reports an email
//! as accepted that was not. The target panics if that does not hold.

mod dialogue;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use lettre::transport::smtp::extension::ClientId;

use self::dialogue::{Dialogue, FakePeer, SharedDialogue};
use crate::smtp::{
    Email, client::SmtpClient, config::SmtpConfig, connect, error::SmtpError, lockstep_stream::LockstepStream, starttls,
};

/// Runs the client against a scripted mail server. The first byte selects the size of the chunks in which the server
/// sends, and whether there is a login or STARTTLS. The rest is what the server sends; `|` separates its turns.
pub fn replies(bytes: &[u8]) {
    let [mode, script @ ..] = bytes else { return };
    let turns = script.split(|byte| *byte == b'|').map(<[u8]>::to_vec);
    let chunk_bytes = 1 + usize::from(mode >> 2);
    let dialogue = Arc::new(Mutex::new(Dialogue::new(turns, chunk_bytes)));
    // With paused time, a client that would wait forever runs into its timeout at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let Ok(runtime) = runtime else { panic!("no runtime") };
    if mode % 4 == 0 {
        let negotiated = runtime.block_on(negotiate_starttls(Arc::clone(&dialogue)));
        let agreed = || dialogue.lock().is_ok_and(|dialogue| dialogue.agrees_to_starttls());
        assert!(negotiated.is_err() || agreed(), "{}", escaped(bytes));
    } else {
        let url = if mode % 4 == 1 { "smtp://ada:secret@localhost" } else { "smtp://localhost" };
        let sent = runtime.block_on(deliver(url, Arc::clone(&dialogue)));
        let dialogue = dialogue.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(sent.is_err() || dialogue.accepts_the_email(), "{}", escaped(bytes));
        let email_was_sent = dialogue.received.windows(EMAIL.len()).any(|window| window == EMAIL);
        assert!(!email_was_sent || dialogue.requests_the_email(), "{}", escaped(bytes));
    }
}

const EMAIL: &[u8] = b"Subject: hello";

async fn negotiate_starttls(dialogue: SharedDialogue) -> Result<(), SmtpError> {
    let step_timeout = config("smtp://localhost").timeouts.step;
    starttls::negotiate(LockstepStream::new(FakePeer(dialogue), PEER), &ehlo_name(), step_timeout).await.map(drop)
}

async fn deliver(url: &str, dialogue: SharedDialogue) -> Result<(), SmtpError> {
    let config = Arc::new(config(url));
    let stream = LockstepStream::new(FakePeer(dialogue), PEER);
    let connection = connect::start_session(&config, stream, &ehlo_name()).await?;
    let (Ok(from), Ok(to)) = ("no-reply@example.com".parse(), "ada@example.com".parse()) else { panic!("addresses") };
    let email = Email { from, to, bytes: EMAIL.to_vec(), is_muted: false };
    SmtpClient::new(config).deliver_over(connection, &email).await
}

const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 25);

fn ehlo_name() -> ClientId {
    ClientId::Domain("localhost".into())
}

fn config(url: &str) -> SmtpConfig {
    SmtpConfig::parse(url).unwrap_or_else(|problem| panic!("{problem}"))
}

fn escaped(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn fuzzer_seeds_violate_no_guarantee() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus-seeds/replies");
        for seed in std::fs::read_dir(seeds).unwrap() {
            super::replies(&std::fs::read(seed.unwrap().path()).unwrap());
        }
    }
}
