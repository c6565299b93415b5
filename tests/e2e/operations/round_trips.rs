//! How often a request has to wait for Postgres: what is asked together counts once, however it is cut into packets.

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

use crate::limits::code_guesses::other_than;
use support::{
    client::{PASSWORD, send},
    running::RunningService,
    stack::Stack,
};

/// Nothing of what belongs together is sent later than this after its beginning.
const ANSWER_DELAY: Duration = Duration::from_millis(150);

/// The empty query that a connection gets which was idle for a while: under load there is none.
const LIVENESS: &[u8; 6] = b"Q\0\0\0\x05\0";

/// A way to Postgres on which every answer is late, so that a turn of the client ends only when it waits.
struct Meter {
    turns: Arc<AtomicU32>,
    url: String,
}

impl Meter {
    async fn before(url: &str) -> Self {
        let target = url.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url.replacen(&target, &listener.local_addr().unwrap().to_string(), 1);
        let turns = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&turns);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&target).await else { continue };
                tokio::spawn(carry(near, far, Arc::clone(&counted)));
            }
        });
        Self { turns, url }
    }

    /// The turns that were taken since it was asked last.
    fn taken(&self) -> u32 {
        self.turns.swap(0, SeqCst)
    }
}

async fn carry(near: TcpStream, far: TcpStream, turns: Arc<AtomicU32>) {
    let ((mut near_read, mut near_write), (mut far_read, mut far_write)) = (near.into_split(), far.into_split());
    let answered = Arc::new(AtomicBool::new(true));
    let server_spoke = Arc::clone(&answered);
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = near_read.read(&mut buffer).await {
            if buffer[..read] != *LIVENESS {
                turns.fetch_add(u32::from(server_spoke.swap(false, SeqCst)), SeqCst);
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

/// An API whose connections have prepared all there is.
async fn metered() -> (Stack, Meter, RunningService) {
    // Without a broker the relay asks for nothing.
    let stack = Stack::without_broker().await;
    let meter = Meter::before(&stack.database.url).await;
    let api =
        stack.start_api(&[("DATABASE_URL", &meter.url), ("CODE_LENGTH", "4"), ("HOUSEKEEPING_SECONDS", "3600")]).await;
    // The first request of a connection prepares it; of later ones each is handed out again at once.
    for n in 0..2 {
        assert_eq!(api.client.register(&format!("warm{n}@example.com")).await.status, 202);
    }
    meter.taken();
    (stack, meter, api)
}

fn ring(stack: &Stack) -> CodeSecrets {
    CodeSecrets::parse(&stack.variables(&[])["CODE_SECRETS"]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_waits_three_times_for_postgres_an_activation_six_and_a_login_four_times() {
    let (stack, meter, api) = metered().await;
    let (client, ring) = (&api.client, ring(&stack));
    assert_eq!(client.register("ada@example.com").await.status, 202);
    assert_eq!(meter.taken(), 3, "look; lock and read; write and commit");
    let sent = "UPDATE codes SET sent_at = clock_timestamp(), expires_at = clock_timestamp() + interval '1 h'";
    stack.database.execute(sent, &[]).await;
    let sql =
        "SELECT c.id FROM codes c JOIN registrations r ON r.id = c.registration_id WHERE email = 'ada@example.com'";
    let id: uuid::Uuid = stack.database.client().query_one(sql, &[]).await.unwrap().get(0);
    let code = secrecy::ExposeSecret::expose_secret(&ring.newest().digits(id, 4)).to_owned();
    meter.taken();

    let link = format!("/not-me/{}", shared::not_me_link::token(ring.newest(), id));
    assert_eq!(client.get(&link).await.status, 200);
    assert_eq!(meter.taken(), 2, "whose link it is; whether they are muted");
    assert_eq!(client.get("/not-me/forged").await.status, 404);
    assert_eq!(meter.taken(), 0, "nobody is asked about a link that is none");

    let wrong = if code == "0000" { "0001" } else { "0000" };
    assert_eq!(client.activate("ada@example.com", wrong).await.problem().0, 422);
    assert_eq!(meter.taken(), 4, "a wrong code: its password is reserved, its try is counted");
    assert_eq!(client.activate("ada@example.com", &code).await.status, 200);
    assert_eq!(meter.taken(), 6, "the right one makes a user as well");
    let answer = client.activate_with("ada@example.com", "not her password", &json!({ "code": "0000" })).await;
    assert_eq!(answer.problem().0, 401);
    assert_eq!(meter.taken(), 2, "a wrong password");
    assert_eq!(client.register_with("ada@example.com", PASSWORD).await.status, 202);
    assert_eq!(meter.taken(), 3, "an address that has an account is no different");

    assert_eq!(crate::registration::not_me::press(client, &link, "").await.status, 200);
    assert_eq!(meter.taken(), 3, "whose link it is; lock and read; write and commit");
    assert_eq!(client.register_with("ada@example.com", PASSWORD).await.status, 202);
    assert_eq!(meter.taken(), 3, "nor is one that is muted");

    let token = client.token("ada@example.com").await;
    assert_eq!(meter.taken(), 4, "the password is reserved; the session is begun");
    assert_eq!(client.bearer("GET", "/v1/users/me", &token).await.status, 200);
    assert_eq!(meter.taken(), 1, "a token is looked up");
    assert_eq!(client.bearer("POST", "/v1/users/logout", &token).await.status, 204);
    assert_eq!(meter.taken(), 1, "and ended");
    let token = client.token("ada@example.com").await;
    meter.taken();
    assert_eq!(client.bearer("DELETE", "/v1/users/me", &token).await.status, 204);
    assert_eq!(meter.taken(), 3, "whose it is; lock and read; delete and commit");
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_waits_three_times_for_postgres_a_reset_and_a_change_five_times() {
    let (stack, meter, api) = metered().await;
    let (client, ring) = (&api.client, ring(&stack));
    let hash = "INSERT INTO users (id, email, password_hash, activated_at, updated_at) \
        SELECT gen_random_uuid(), 'ada@example.com', password_hash, now(), now() FROM registrations LIMIT 1";
    stack.database.execute(hash, &[]).await;
    for email in ["ada@example.com", "unknown@example.com"] {
        assert_eq!(client.forgot(email).await.status, 202);
        assert_eq!(meter.taken(), 3, "look; lock and read; write and commit: {email}");
    }
    let asked = client.forgot("ada@example.com").await.receipt();
    let sql = "UPDATE resets SET sent_at = clock_timestamp(), expires_at = deadline WHERE id = $1::text::uuid RETURNING code_id";
    let id: uuid::Uuid = stack.database.client().query_one(sql, &[&asked]).await.unwrap().get(0);
    let code = secrecy::ExposeSecret::expose_secret(&ring.newest().digits(id, 8)).to_owned();
    meter.taken();
    assert_eq!(client.reset(&asked, &other_than(&code)).await.problem().0, 422);
    assert_eq!(meter.taken(), 3, "whose it is; lock and read; its try is counted");
    assert_eq!(client.reset_to(&asked, &code, PASSWORD).await.status, 204);
    assert_eq!(meter.taken(), 5, "the right one changes the password as well");
    let token = client.token("ada@example.com").await;
    meter.taken();
    let body = json!({ "password": PASSWORD, "new_password": PASSWORD });
    let change = client.request("POST", "/v1/users/me/password").bearer_auth(&token).json(&body);
    assert_eq!(send(change).await.status, 204);
    assert_eq!(meter.taken(), 5, "whose it is; the password is reserved; the new one is written");
}
