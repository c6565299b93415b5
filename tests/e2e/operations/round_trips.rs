//! Database round trips of each request: pipelined statements count as one, however they are split into packets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use shared::codes::CodeSecrets;

use crate::limits::code_guesses::different_code;
use support::{
    client::{PASSWORD, send},
    running::RunningService,
    stack::Stack,
};

/// How late the proxy forwards each answer. Pipelined statements are all sent within this time.
const ANSWER_DELAY: Duration = Duration::from_millis(150);

/// The empty query by which the pool verifies a connection that was idle for a while: under load there is none.
const LIVENESS_CHECK: &[u8; 6] = b"Q\0\0\0\x05\0";

/// A proxy to Postgres that delays every answer and counts round trips: one ends when the client waits for an answer.
struct RoundTripMeter {
    round_trips: Arc<AtomicU32>,
    url: String,
}

impl RoundTripMeter {
    async fn before(url: &str) -> Self {
        let target = url.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url.replacen(&target, &listener.local_addr().unwrap().to_string(), 1);
        let round_trips = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&round_trips);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&target).await else { continue };
                tokio::spawn(forward(near, far, Arc::clone(&counted)));
            }
        });
        Self { round_trips, url }
    }

    /// The round trips since the last call.
    fn take(&self) -> u32 {
        self.round_trips.swap(0, SeqCst)
    }
}

/// Forwards both directions of one connection.
async fn forward(near: TcpStream, far: TcpStream, round_trips: Arc<AtomicU32>) {
    let ((mut near_read, mut near_write), (mut far_read, mut far_write)) = (near.into_split(), far.into_split());
    let answered = Arc::new(AtomicBool::new(true));
    let server_answered = Arc::clone(&answered);
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = near_read.read(&mut buffer).await {
            if buffer[..read] != *LIVENESS_CHECK {
                round_trips.fetch_add(u32::from(server_answered.swap(false, SeqCst)), SeqCst);
            }
            far_write.write_all(&buffer[..read]).await.unwrap();
        }
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = far_read.read(&mut buffer).await {
        tokio::time::sleep(ANSWER_DELAY).await;
        answered.store(true, SeqCst);
        if near_write.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// No other statement than those of requests.
const NO_CLEANUP: (&str, &str) = ("HOUSEKEEPING_SECONDS", "3600");
const NO_RESCUER: (&str, &str) = ("RESCUE_AFTER_SECONDS", "86400");

/// An API behind a round-trip meter. Its database connection has prepared all statements.
async fn metered() -> (Stack, RoundTripMeter, RunningService) {
    // Without a broker the relay sends no queries.
    let stack = Stack::without_broker().await;
    let meter = RoundTripMeter::before(&stack.database.service_url).await;
    let api = stack.start_api(&[("DATABASE_URL", &meter.url), ("CODE_LENGTH", "4"), NO_CLEANUP, NO_RESCUER]).await;
    // The first request of a connection prepares the statements. Later requests reuse that connection at once.
    for n in 0..2 {
        assert_eq!(api.client.register(&format!("warm{n}@example.com")).await.status, 202);
    }
    meter.take();
    (stack, meter, api)
}

fn code_secrets(stack: &Stack) -> CodeSecrets {
    CodeSecrets::parse(&stack.variables(&[])["CODE_SECRETS"]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_up_and_login_need_few_round_trips() {
    let (stack, meter, api) = metered().await;
    let client = &api.client;
    let secrets = code_secrets(&stack);
    assert_eq!(client.register("ada@example.com").await.status, 202);
    assert_eq!(meter.take(), 3, "pre-check; lock and read; write and commit");
    let sent = "UPDATE codes SET sent_at = clock_timestamp(), expires_at = clock_timestamp() + interval '1 h'";
    stack.database.execute(sent, &[]).await;
    let sql =
        "SELECT c.id FROM codes c JOIN registrations r ON r.id = c.registration_id WHERE email = 'ada@example.com'";
    let id: uuid::Uuid = stack.database.client().query_one(sql, &[]).await.unwrap().get(0);
    let code = secrecy::ExposeSecret::expose_secret(&secrets.newest().digits(id, 4)).to_owned();
    meter.take();

    let link = format!("/not-me/{}", shared::mail_link::MailLink::NotMe.token(secrets.newest(), id));
    assert_eq!(client.get(&link).await.status, 200);
    assert_eq!(meter.take(), 2, "find the registration of the link; check whether its mail is suppressed");
    assert_eq!(client.get("/not-me/forged").await.status, 404);
    assert_eq!(meter.take(), 0, "a forged link needs no query");

    let wrong = if code == "0000" { "0001" } else { "0000" };
    assert_eq!(client.activate("ada@example.com", wrong).await.problem().0, 422);
    assert_eq!(meter.take(), 5, "a wrong code: reserve the password attempt, count the code attempt, settle it");
    assert_eq!(client.activate("ada@example.com", &code).await.status, 200);
    stack.database.wait_for_count("SELECT count(*) FROM activations_by_hour WHERE subject = ''", 1).await;
    assert_eq!(
        meter.take(),
        7,
        "the right code creates the user as well, and once in some seconds activations are counted"
    );
    // The connection of that count may be in use for a moment yet; another one has to prepare its statements.
    while meter.take() != 2 {
        assert_eq!(client.get(&link).await.status, 200);
    }
    let answer = client.activate_with("ada@example.com", "not her password", &json!({ "code": "0000" })).await;
    assert_eq!(answer.problem().0, 401);
    assert_eq!(meter.take(), 4, "a wrong password: reserve the attempt, count the failure");
    assert_eq!(client.register_with("ada@example.com", PASSWORD).await.status, 202);
    assert_eq!(meter.take(), 3, "the same for an address that has an account");

    assert_eq!(crate::registration::not_me::submit_not_me(client, &link, "").await.status, 200);
    assert_eq!(meter.take(), 3, "find the registration of the link; lock and read; write and commit");
    assert_eq!(client.register_with("ada@example.com", PASSWORD).await.status, 202);
    assert_eq!(meter.take(), 3, "the same for an address whose mail is suppressed");

    let token = client.token("ada@example.com").await;
    assert_eq!(meter.take(), 4, "reserve the password attempt; create the session");
    assert_eq!(client.bearer("GET", "/v1/users/me", &token).await.status, 200);
    assert_eq!(meter.take(), 1, "look up the token");
    assert_eq!(client.bearer("POST", "/v1/users/logout", &token).await.status, 204);
    assert_eq!(meter.take(), 1, "delete the session");
    assert_eq!(client.delete_account("ada@example.com").await.status, 204);
    assert_eq!(meter.take(), 4, "reserve the password attempt; lock and read; delete and commit");
}

#[tokio::test(flavor = "multi_thread")]
async fn password_reset_and_change_need_few_round_trips() {
    let (stack, meter, api) = metered().await;
    let client = &api.client;
    let secrets = code_secrets(&stack);
    let hash = "INSERT INTO users (id, email, password_hash, activated_at, updated_at) \
        SELECT gen_random_uuid(), 'ada@example.com', password_hash, now(), now() FROM registrations LIMIT 1";
    stack.database.execute(hash, &[]).await;
    for email in ["ada@example.com", "unknown@example.com"] {
        assert_eq!(client.request_reset(email).await.status, 202);
        assert_eq!(meter.take(), 3, "pre-check; lock and read; write and commit: {email}");
    }
    let receipt = client.request_reset("ada@example.com").await.receipt();
    let sql = "UPDATE resets SET sent_at = clock_timestamp(), expires_at = deadline WHERE id = $1::text::uuid RETURNING code_id";
    let id: uuid::Uuid = stack.database.client().query_one(sql, &[&receipt]).await.unwrap().get(0);
    let code = secrecy::ExposeSecret::expose_secret(&secrets.newest().digits(id, 8)).to_owned();
    meter.take();
    assert_eq!(client.reset(&receipt, &different_code(&code)).await.problem().0, 422);
    assert_eq!(meter.take(), 4, "find the reset; lock and read; count the code attempt; settle it");
    assert_eq!(client.reset_to(&receipt, &code, PASSWORD).await.status, 204);
    assert_eq!(meter.take(), 5, "the right code changes the password as well");
    let token = client.token("ada@example.com").await;
    meter.take();
    let body = json!({ "password": PASSWORD, "new_password": "another horse battery" });
    let change = client.request("POST", "/v1/users/me/password").bearer_auth(&token).json(&body);
    assert_eq!(send(change).await.status, 204);
    assert_eq!(meter.take(), 5, "look up the token; reserve the password attempt; write the new password");
}
