//! The command line of the API: `api outbox` as an operator types it. `outbox_cli` tests what the commands do.

use std::process::Command;

use support::database::Database;

#[tokio::test(flavor = "multi_thread")]
async fn outbox_commands_print_text_and_json() {
    let database = Database::create().await;
    let run = |arguments: &str| {
        let mut command = Command::new(support::process::program("api"));
        command.env_clear().env("DATABASE_URL", &database.url).env("AMQP_URL", "amqp://u:p@127.0.0.1:1");
        command.env("CODE_SECRETS", "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let output = command.args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run("outbox"), "Nothing waits in the outbox.\n");
    let row = "INSERT INTO outbox (id, message, created_at) VALUES ($1, '{}', clock_timestamp() - interval '90 s')";
    database.execute(row, &[&uuid::Uuid::from_u128(1)]).await;
    assert!(run("outbox").starts_with("1 wait, 0 of them in a relay's hand; the oldest for 9"), "{}", run("outbox"));
    let json: serde_json::Value = serde_json::from_str(&run("outbox --json")).unwrap();
    assert_eq!((&json["waiting"], &json["leased"]), (&1.into(), &0.into()));
    assert_eq!(run("outbox reemit"), "0 code(s), 0 welcome(s) and 0 warning(s) were written into the outbox again.\n");
}
