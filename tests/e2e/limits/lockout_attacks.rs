//! Lock-outs as a weapon (I-22): what a stranger does to an account, and how its owner gets in all the same. SECURITY.md
//! has the table of attackers and owners; each of its cells is a test here.

use serde_json::json;

use crate::{
    limits::network_limits::status_and_scope,
    registration::not_me::{not_me_path, status_and_headline, submit_not_me},
};
use support::{
    client::{Answer, Client, PASSWORD, concurrently, count, send},
    fake_smtp::mail::Mail,
    stack::Stack,
};

const ADA: &str = "ada@example.com";
/// The network from which the owner has activated the account.
const HOME: &str = "2001:db8:1:100::7";
/// Networks that the account has never been entered from: near the known one, and elsewhere.
const SAME_48: &str = "2001:db8:1:aaaa::7";
const ELSEWHERE: &str = "203.0.113.9";

const UNLOCK_SUBJECT: &str = "Too many wrong passwords";
const RESET_SUBJECT: &str = "Your password reset code";

/// Codes outlive many password attempts on a slow machine; the costs do not matter here.
const SETTINGS: &[(&str, &str)] = &[("CODE_TTL_SECONDS", "600"), ("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")];

/// Ada's account, activated from [`HOME`].
async fn stack_with_account() -> Stack {
    let stack = Stack::start_with(SETTINGS).await;
    let home = stack.client.from_address(HOME);
    let registration = home.register(ADA).await.registration();
    let code = stack.mail_server.mail_to(ADA).await.code();
    home.wait_for_receipt(&registration, "sent").await;
    assert_eq!(home.activate(ADA, &code).await.status, 200);
    stack.mail_server.nth_mail_to(ADA, 2).await;
    stack
}

/// The owner reports the sign-up mail, so that the mailbox is muted.
async fn mute(stack: &Stack) {
    let link = not_me_path(&stack.mail_server.mail_to(ADA).await);
    assert_eq!(status_and_headline(&submit_not_me(&stack.client, &link, "").await).0, 200);
}

/// Wrong passwords from each of these addresses, until one is refused. Returns how many were compared.
async fn attack(stack: &Stack, addresses: impl IntoIterator<Item = String>, attempts_each: usize) -> usize {
    let mut compared = 0;
    for address in addresses {
        let attacker = stack.client.from_address(&address);
        for _ in 0..attempts_each {
            match attacker.login(ADA, "not her password").await {
                answer if answer.status == 401 => compared += 1,
                refused => {
                    assert_eq!(status_and_scope(&refused), (429, json!("account")));
                    return compared;
                }
            }
        }
    }
    compared
}

/// 13 networks (/64) of one /48, each in a /56 of its own.
fn neighbours() -> impl Iterator<Item = String> {
    (2..15).map(|n| format!("2001:db8:1:{n}00::1"))
}

fn strangers(networks: u8) -> impl Iterator<Item = String> {
    (1..=networks).map(|n| format!("198.51.100.{n}"))
}

/// The first mail to Ada with this subject.
async fn mail_with_subject(stack: &Stack, subject: &str) -> Mail {
    let mut n = 1;
    loop {
        let mail = stack.mail_server.nth_mail_to(ADA, n).await;
        if mail.subject == subject {
            return mail;
        }
        n += 1;
    }
}

fn number_of_mails(stack: &Stack, subject: &str) -> usize {
    stack.mail_server.mails_to(ADA).iter().filter(|mail| mail.subject == subject).count()
}

fn unlock_path(mail: &Mail) -> String {
    let path = mail.text.lines().find_map(|line| line.strip_prefix("http://localhost:8000/unlock/"));
    format!("/unlock/{}", path.unwrap_or_else(|| panic!("no link in {}", mail.text)))
}

/// Presses the button behind the link of the mail; returns the cookie.
async fn unlock(client: &Client, path: &str) -> String {
    assert_eq!(status_and_headline(&client.get(path).await), (200, "Let this browser in?"));
    let opened = send(client.request("POST", path)).await;
    assert_eq!(status_and_headline(&opened), (200, "This browser is let in"));
    opened.header("set-cookie").split(';').next().unwrap().to_owned()
}

async fn login_with_cookie(client: &Client, password: &str, cookie: &str) -> Answer {
    send(client.request("POST", "/v1/users/login").basic_auth(ADA, Some(password)).header("Cookie", cookie)).await
}

/// The owner is refused in this network, and gets in with the link from the mail.
async fn assert_entered_by_one_mail(stack: &Stack, address: &str) {
    let client = stack.client.from_address(address);
    assert_eq!(status_and_scope(&client.login(ADA, PASSWORD).await), (429, json!("account")), "{address}");
    let mail = mail_with_subject(stack, UNLOCK_SUBJECT).await;
    let cookie = unlock(&client, &unlock_path(&mail)).await;
    assert_eq!(login_with_cookie(&client, PASSWORD, &cookie).await.status, 200, "{address}");
}

/// Requests resets from ever new networks until the limits of the mailbox are used up.
async fn use_up_resets(stack: &Stack) {
    for n in 0..10 {
        if stack.client.from_address(&format!("192.0.2.{n}")).request_reset(ADA).await.status == 429 {
            return;
        }
    }
    panic!("resets are not limited");
}

/// The owner resets the password from here, with the code in the nth mail about it.
async fn assert_reset_from(stack: &Stack, client: &Client, n: usize) {
    let receipt = client.request_reset(ADA).await.receipt();
    client.wait_for_reset_receipt(&receipt, "sent").await;
    let mails = stack.mail_server.mails_to(ADA);
    let codes: Vec<_> = mails.iter().filter(|mail| mail.subject == RESET_SUBJECT).map(Mail::code).collect();
    assert_eq!(codes.len(), n);
    assert_eq!(client.reset(&receipt, &codes[n - 1]).await.status, 204);
}

async fn s_32(is_muted: bool) {
    let stack = stack_with_account().await;
    if is_muted {
        mute(&stack).await;
    }
    assert_eq!(attack(&stack, neighbours(), 4).await, 50, "the /48 gets fifty attempts");
    use_up_resets(&stack).await;
    let home = stack.client.from_address(HOME);
    assert_eq!(home.login(ADA, PASSWORD).await.status, 200, "a known network, although it is in the attacker's /48");
    let own = home.request_reset(ADA).await;
    assert_eq!(own.status, 202, "a known network has resets of its own");
    home.wait_for_reset_receipt(&own.receipt(), "sent").await;
    if is_muted {
        assert_eq!(number_of_mails(&stack, RESET_SUBJECT), 1, "one a day, whether strangers request it or not");
    }
    assert_eq!(
        status_and_scope(&stack.client.from_address(SAME_48).login(ADA, PASSWORD).await),
        (429, json!("account"))
    );
    assert_entered_by_one_mail(&stack, ELSEWHERE).await;
    assert_eq!(number_of_mails(&stack, UNLOCK_SUBJECT), 1, "one link a day");
    if is_muted {
        // The code of that mail is of no use without the receipt, which the stranger has. But its link ends the mute.
        let link = not_me_path(&mail_with_subject(&stack, RESET_SUBJECT).await);
        assert_eq!(status_and_headline(&submit_not_me(&stack.client, &link, "wish=unmute").await).0, 200);
        assert_reset_from(&stack, &home, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_32_neighbours_lock_no_owner_out() {
    s_32(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_32_neighbours_lock_no_muted_owner_out() {
    s_32(true).await;
}

/// The attacker is in the owner's own network, and has asked for codes there, which makes no network known.
#[tokio::test(flavor = "multi_thread")]
async fn s_33_stranger_in_the_own_network_locks_no_owner_out() {
    let stack = stack_with_account().await;
    let attackers = stack.client.from_address("2001:db8:1:100::bad");
    assert_eq!(attackers.register_with(ADA, "an attacker's password").await.status, 202);
    assert_eq!(attack(&stack, ["2001:db8:1:100::bad".to_owned()], 21).await, 20, "a known network has twenty attempts");
    assert_eq!(stack.client.from_address(ELSEWHERE).login(ADA, PASSWORD).await.status, 200, "no other network is hurt");
    assert_entered_by_one_mail(&stack, HOME).await;
}

/// Asking for a code from a network does not exempt it from the account-wide lockout.
#[tokio::test(flavor = "multi_thread")]
async fn s_33_requesting_a_code_makes_no_network_known() {
    let stack = stack_with_account().await;
    let stranger = stack.client.from_address("198.51.100.99");
    assert_eq!(stranger.register_with(ADA, "an attacker's password").await.status, 202);
    assert_eq!(attack(&stack, ["198.51.100.99".to_owned()], 6).await, 5);
}

/// The attacker is elsewhere, in many networks.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_elsewhere_lock_no_owner_out() {
    let stack = stack_with_account().await;
    assert_eq!(attack(&stack, strangers(13), 4).await, 50);
    let home = stack.client.from_address(HOME);
    assert_eq!(home.login(ADA, PASSWORD).await.status, 200);
    assert_entered_by_one_mail(&stack, SAME_48).await;
}

/// The surroundings of an IPv6 network: 5 attempts for a /64, 20 for its /56.
#[tokio::test(flavor = "multi_thread")]
async fn ipv6_surroundings_are_limited() {
    let stack = stack_with_account().await;
    assert_eq!(attack(&stack, ["2001:db8:9:1::1".to_owned(), "2001:db8:9:1::2".to_owned()], 4).await, 5, "one /64");
    let of_one_56 = (0x200..0x20a).map(|n| format!("2001:db8:9:{n:x}::1"));
    assert_eq!(attack(&stack, of_one_56, 4).await, 20);
    assert_eq!(attack(&stack, ["2001:db8:9:300::1".to_owned()], 1).await, 1, "another /56 of the same /48");
}

/// After 100 consecutive failures, only known networks and unlocked browsers may try; a success starts anew.
#[tokio::test(flavor = "multi_thread")]
async fn hundred_consecutive_failures_leave_known_networks_and_the_link() {
    let stack = stack_with_account().await;
    for hour in 0..2 {
        assert_eq!(attack(&stack, strangers(13), 4).await, 50, "{hour}");
        stack.database.age(3_600).await;
    }
    assert_eq!(attack(&stack, [ELSEWHERE.to_owned()], 1).await, 0);
    assert_entered_by_one_mail(&stack, ELSEWHERE).await;
    // The success in the unlocked browser.
    assert_eq!(attack(&stack, ["198.51.100.200".to_owned()], 1).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unlock_link_lets_one_browser_in_to_one_account() {
    let stack = stack_with_account().await;
    attack(&stack, strangers(13), 4).await;
    let client = stack.client.from_address(ELSEWHERE);
    assert_eq!(client.login(ADA, PASSWORD).await.status, 429);
    let mail = mail_with_subject(&stack, UNLOCK_SUBJECT).await;
    let (path, not_me) = (unlock_path(&mail), not_me_path(&mail));
    let cookie = unlock(&client, &path).await;
    assert!(cookie.starts_with("vestibule-unlock="), "{cookie}");
    let again = send(stack.client.request("POST", &path)).await;
    assert_eq!((status_and_headline(&again), again.header("set-cookie")), ((200, "This link has ended"), ""));
    assert_eq!(status_and_headline(&client.get("/unlock/AAAA").await), (404, "This link is not valid"));
    assert_eq!(status_and_headline(&submit_not_me(&client, &not_me, "").await).0, 200, "the mail can be reported");

    for _ in 0..20 {
        assert_eq!(login_with_cookie(&client, "not her password", &cookie).await.status, 401);
    }
    assert_eq!(status_and_scope(&login_with_cookie(&client, PASSWORD, &cookie).await), (429, json!("account")));
    let sessions = "SELECT count(*) FROM sessions";
    assert_eq!(stack.database.count(sessions).await, 0);
    stack.database.age(86_400).await;
    let other = "bob@example.com";
    for n in 0..10 {
        let attacker = stack.client.from_address(&format!("198.51.101.{n}"));
        for _ in 0..5 {
            assert_eq!(attacker.login(other, "not his password").await.status, 401);
        }
    }
    let with_cookie =
        send(client.request("POST", "/v1/users/login").basic_auth(other, Some(PASSWORD)).header("Cookie", &cookie));
    assert_eq!(with_cookie.await.status, 429, "the cookie is for one account");
}

/// I-15: five wrong passwords for an unknown address lead to the same responses and to the same mail.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_address_locks_and_unlocks_alike() {
    let stack = stack_with_account().await;
    let unknown = "unknown@example.com";
    let mut seen = Vec::new();
    for email in [ADA, unknown] {
        let client = stack.client.from_address("198.51.100.50");
        let mut answers = Vec::new();
        for _ in 0..6 {
            let answer = client.login(email, "not the password").await;
            answers.push((
                answer.problem(),
                answer.json()["detail"].as_str().unwrap().split(" Try again").next().unwrap().to_owned(),
            ));
        }
        seen.push(answers);
    }
    assert_eq!(seen[0], seen[1]);
    let mail = stack.mail_server.mail_to(unknown).await;
    let own = mail_with_subject(&stack, UNLOCK_SUBJECT).await;
    assert_eq!(mail.subject, own.subject);
    let cookie = unlock(&stack.client, &unlock_path(&mail)).await;
    let request = stack.client.from_address("198.51.100.50").request("POST", "/v1/users/login");
    assert_eq!(send(request.basic_auth(unknown, Some(PASSWORD)).header("Cookie", cookie)).await.status, 401);
}

/// Attempts that are still being verified are no failures.
#[tokio::test(flavor = "multi_thread")]
async fn s_42_concurrent_right_passwords_are_not_refused() {
    let stack = stack_with_account().await;
    for address in [ELSEWHERE, HOME] {
        let client = stack.client.from_address(address);
        let answers = concurrently(24, |_| {
            let client = client.clone();
            async move { client.login(ADA, PASSWORD).await }
        });
        let counts = count(&answers.await);
        assert_eq!(counts.get(&429), None, "{address}: {counts:?}");
        assert!(counts[&200] > 0 && counts.keys().all(|status| [200, 503].contains(status)), "{address}: {counts:?}");
    }
    assert_eq!(stack.database.count("SELECT count(*) FROM lockouts").await, 0);
}

/// A reset forgets all known networks but its own: one of them may be the attacker's.
#[tokio::test(flavor = "multi_thread")]
async fn reset_forgets_other_known_networks() {
    let stack = stack_with_account().await;
    let known = "SELECT count(*) FROM known_networks";
    assert_eq!(stack.client.from_address(ELSEWHERE).login(ADA, PASSWORD).await.status, 200);
    assert_eq!(stack.database.count(known).await, 2);
    let home = stack.client.from_address(HOME);
    let receipt = home.request_reset(ADA).await.receipt();
    let code = mail_with_subject(&stack, RESET_SUBJECT).await.code();
    home.wait_for_reset_receipt(&receipt, "sent").await;
    assert_eq!(home.reset(&receipt, &code).await.status, 204);
    assert_eq!(stack.database.count(known).await, 1);
    assert_eq!(stack.client.login(ADA, support::forgot_password::NEW).await.status, 200);
    assert_eq!(stack.database.count(known).await, 2);
    stack.database.age(90 * 86_400).await;
    assert_eq!(
        stack.database.count("SELECT count(*) FROM known_networks WHERE last_at > now() - interval '90 days'").await,
        0
    );
}

/// The old password, which may be the attacker's, is right when it is read and replaced before it has been verified.
#[tokio::test(flavor = "multi_thread")]
async fn replaced_password_makes_no_network_known() {
    let stack = stack_with_account().await;
    let session = stack.client.from_address(HOME).token(ADA).await;
    // The transaction that reserves an attempt ends with what a reset does.
    let sql = "CREATE FUNCTION reset_password() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            UPDATE users SET password_hash = left(password_hash, 60);
            DELETE FROM known_networks;
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER reset_password AFTER INSERT ON lockouts DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION reset_password();";
    let hash = "SELECT password_hash FROM users";
    let verified: String = stack.database.client().query_one(hash, &[]).await.unwrap().get(0);
    stack.database.client().batch_execute(sql).await.unwrap();
    let body = json!({ "password": PASSWORD, "new_password": PASSWORD });
    for expected in [(409, "already-active"), (422, "invalid-input")] {
        stack.database.execute("UPDATE users SET password_hash = $1", &[&verified]).await;
        let client = stack.client.from_address(ELSEWHERE);
        let answer = match expected.0 {
            409 => client.resend(ADA).await,
            _ => send(client.request("POST", "/v1/users/me/password").bearer_auth(&session).json(&body)).await,
        };
        assert_eq!(answer.problem(), (expected.0, expected.1.to_owned()));
        assert_ne!(stack.database.client().query_one(hash, &[]).await.unwrap().get::<_, String>(0), verified);
        assert_eq!(stack.database.count("SELECT count(*) FROM known_networks").await, 0, "{expected:?}");
        assert_eq!(stack.database.count("SELECT count(*) FROM lockouts").await, 0, "the attempt is settled");
    }
}
