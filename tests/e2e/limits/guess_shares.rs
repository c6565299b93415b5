//! Limits on wrong codes that are a share of the activations: of the instance, and of one network.

use serde_json::json;

use support::{
    client::{concurrently, count},
    database::Database,
    stack::Stack,
};

use crate::limits::{
    code_guesses::different_code,
    network_limits::{NETWORK_A, status_and_scope},
};

/// Cheap hashes, and codes that stay valid for as long as a test takes on a slow machine.
const SETTINGS: [(&str, &str); 3] = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1"), ("CODE_TTL_SECONDS", "600")];

/// The same with codes of six digits, so that the limit of the instance is far away.
const SIX_DIGITS: [(&str, &str); 4] = [SETTINGS[0], SETTINGS[1], SETTINGS[2], ("CODE_LENGTH", "6")];

/// The subject that activations of the instance are counted under.
const INSTANCE: &[u8] = b"";

/// Adds wrong guesses at codes of this length, each by a network of its own.
pub(crate) async fn insert_wrong_guesses(database: &Database, length: i16, guesses: i32) {
    let insert = "INSERT INTO code_attempts (id, network, at, length, codes, wrong) \
        SELECT gen_random_uuid(), uuid_send(gen_random_uuid()), clock_timestamp(), $1, 1, true \
        FROM generate_series(1, $2::integer)";
    database.execute(insert, &[&length, &guesses]).await;
}

async fn insert_activations(database: &Database, subject: &[u8], activations: i32) {
    let insert = "INSERT INTO activations_by_hour (subject, hour, slot, activations) \
        VALUES ($1, date_trunc('hour', clock_timestamp()), 999, $2)";
    database.execute(insert, &[&subject, &activations]).await;
}

/// The address of the n-th user.
fn email(n: usize) -> String {
    format!("u{n}@example.com")
}

/// Signs up this number of users, and returns their codes.
async fn sign_up_users(stack: &Stack, users: usize) -> Vec<String> {
    let mut codes = vec![];
    for n in 0..users {
        codes.push(stack.sign_up(&email(n)).await.1);
    }
    codes
}

/// Users of one network who enter their codes at the same moment: a code that is being compared is not a wrong code.
#[tokio::test(flavor = "multi_thread")]
async fn right_codes_at_once_are_never_wrong_codes() {
    let stack = Stack::start_with(&SETTINGS).await;
    let codes = sign_up_users(&stack, 32).await;
    let network_a = stack.client.from_address(NETWORK_A);
    let answers = concurrently(codes.len(), |n| {
        let (network_a, code) = (network_a.clone(), codes[n].clone());
        async move { network_a.activate(&email(n), &code).await }
    });
    assert_eq!(count(&answers.await), [(200, 32)].into());
    assert_eq!(stack.database.count("SELECT count(*) FROM code_attempts").await, 0);
    // One network cannot make an instance accept many wrong codes.
    // They are counted every few seconds.
    let activations = "SELECT COALESCE(sum(activations), 0) FROM activations_by_hour WHERE (subject = '') = ";
    stack.database.wait_for_count(&format!("{activations} false"), 32).await;
    assert_eq!(stack.database.count(&format!("{activations} true")).await, 30);
}

/// The limit of an instance with 400 activations is 24 wrong codes a day, so the 26th is rejected.
#[tokio::test(flavor = "multi_thread")]
async fn instance_limit_follows_activations() {
    let stack = Stack::start_with(&SETTINGS).await;
    let codes = sign_up_users(&stack, 4).await;
    let activate = async |n: usize, code: &str| stack.client.activate(&email(n), code).await;
    insert_wrong_guesses(&stack.database, 4, 21).await;
    assert_eq!(activate(0, &codes[0]).await.problem(), (410, "code-expired".into()));
    insert_activations(&stack.database, INSTANCE, 400).await;
    // The totals are cached for a moment.
    let accepted = async {
        while activate(0, &codes[0]).await.status == 410 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), accepted).await.unwrap();
    insert_wrong_guesses(&stack.database, 4, 3).await;
    assert_eq!(activate(1, &different_code(&codes[1])).await.problem(), (422, "wrong-code".into()));
    assert_eq!(activate(2, &codes[2]).await.problem(), (410, "code-expired".into()));
    // Activations count by the full hour, and no longer than wrong codes.
    stack.database.execute("UPDATE activations_by_hour SET hour = hour - interval '24 hours'", &[]).await;
    stack
        .database
        .execute("DELETE FROM code_attempts WHERE ctid = (SELECT ctid FROM code_attempts LIMIT 1)", &[])
        .await;
    let six = stack.start_api(&[]).await.client.register(&email(5)).await;
    assert_eq!(six.json()["code_length"], 6);
}

/// All users of a mobile network may have the same address. After 400 activations, 30 wrong codes are no attack.
#[tokio::test(flavor = "multi_thread")]
async fn busy_network_is_not_blocked_by_thirty_wrong_codes() {
    let stack = Stack::start_with(&SIX_DIGITS).await;
    let network_a = stack.client.from_address(NETWORK_A);
    let codes = sign_up_users(&stack, 4).await;
    assert_eq!(network_a.activate(&email(0), &different_code(&codes[0])).await.problem().0, 422);
    let row = stack.database.client().query_one("SELECT network FROM code_attempts", &[]).await.unwrap();
    let network: Vec<u8> = row.get(0);
    insert_activations(&stack.database, &network, 400).await;
    let repeat = "INSERT INTO code_attempts (id, network, at, length, codes, wrong) \
        SELECT gen_random_uuid(), $1, clock_timestamp(), 6, 1, true FROM generate_series(1, $2::integer)";
    stack.database.execute(repeat, &[&network, &29_i32]).await;
    assert_eq!(network_a.activate(&email(1), &codes[1]).await.status, 200);
    stack.database.execute(repeat, &[&network, &9_i32]).await;
    assert_eq!(network_a.activate(&email(2), &different_code(&codes[2])).await.problem().0, 422, "the fortieth");
    assert_eq!(status_and_scope(&network_a.activate(&email(3), &codes[3]).await), (429, json!("network")));
}

#[tokio::test(flavor = "multi_thread")]
async fn setting_changes_or_ends_the_limit_of_a_network() {
    let stack = Stack::start_with(&SIX_DIGITS).await;
    let codes = sign_up_users(&stack, 5).await;
    let wrong = async |setting: &str, users: std::ops::Range<usize>| {
        let api = stack.start_api(&[("WRONG_CODES_PER_NETWORK_PER_DAY", setting)]).await;
        let network_a = api.client.from_address(NETWORK_A);
        let mut statuses = vec![];
        for n in users.clone().flat_map(|n| [n; 3]) {
            statuses.push(network_a.activate(&email(n), &different_code(&codes[n])).await.status);
        }
        statuses
    };
    assert_eq!(wrong("2", 0..1).await, [422, 422, 429]);
    assert_eq!(wrong("0", 1..5).await, [422; 12]);
}

/// Guesses of a failed process count as wrong. Until that is certain they take places, but nothing is rejected as wrong.
#[tokio::test(flavor = "multi_thread")]
async fn unsettled_guesses_count_as_wrong_after_thirty_seconds() {
    let stack = Stack::start_with(&SETTINGS).await;
    let (registration, code) = stack.sign_up(&email(0)).await;
    insert_wrong_guesses(&stack.database, 4, 21).await;
    stack.database.execute("UPDATE code_attempts SET wrong = false", &[]).await;
    assert_eq!(stack.client.activate(&email(0), &code).await.problem(), (503, "overloaded".into()));
    assert_eq!(stack.client.receipt(&registration).await["attempts_left"], 3, "the rejected request costs no attempt");
    let length = async |n| stack.start_api(&[]).await.client.register(&email(n)).await.json()["code_length"].take();
    assert_eq!(length(1).await, 4);
    stack.database.execute("UPDATE code_attempts SET at = at - interval '30 s'", &[]).await;
    assert_eq!(stack.client.activate(&email(0), &code).await.problem(), (410, "code-expired".into()));
    assert_eq!(length(2).await, 6);
}

/// S-02: no number of parallel guesses, at many addresses from many networks over two APIs, exceeds the limit of the
/// instance.
#[tokio::test(flavor = "multi_thread")]
async fn s_02_parallel_guesses_stay_within_the_instance_limit() {
    let stack = Stack::start_with(&SETTINGS).await;
    let other = stack.start_api(&[]).await;
    let codes = sign_up_users(&stack, 70).await;
    let answers = concurrently(210, |n| {
        let (client, user) = (if n % 2 == 0 { &stack.client } else { &other.client }.clone(), n / 3);
        let guess = different_code(&codes[user]);
        async move { client.activate(&email(user), &guess).await }
    });
    let counts = count(&answers.await);
    // 503: unsettled guesses have taken the last places, or the machine is busy.
    assert!(counts.keys().all(|status| [410, 422, 503].contains(status)), "{counts:?}");
    assert!((1..=21).contains(&counts[&422]), "{counts:?}");
    let counted = stack.database.count("SELECT count(*) FROM code_attempts").await;
    assert_eq!(usize::try_from(counted), Ok(counts[&422]));
}
