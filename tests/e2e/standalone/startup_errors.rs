//! When `cargo run` does not start: one clear sentence, and nothing damaged.

use std::{fs, net::TcpListener};

use support::standalone::{Home, contents};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_one_on_the_same_data_is_refused_and_the_first_goes_on() {
    let home = Home::new();
    let first = home.start(&[]);
    let said = home.refusal(&[], &[]);
    assert!(said.contains("another vestibule process uses") && said.contains("--data"), "{said}");
    first.sign_up_and_activate("ada@example.com").await;
    let elsewhere = home.path("elsewhere");
    let mut command = home.command(&[]);
    let second = support::standalone::Vestibule::start(command.arg("--data").arg(&elsewhere));
    second.sign_up_and_activate("ada@example.com").await;
}

#[test]
fn a_busy_port_is_named_and_nothing_is_made() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for name in ["API_ADDR", "OPS_ADDR", "INBOX_ADDR"] {
        let said = home.refusal(&[(name, &addr)], &[]);
        assert!(said.contains(&addr) && said.contains(name) && said.contains("in use"), "{said}");
    }
    let port = taken.local_addr().unwrap().port().to_string();
    let said = home.refusal(&[], &["--port", &port]);
    assert!(said.contains("--port"), "{said}");
    assert!(!home.path("data").exists());
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let home = Home::new();
    fs::write(home.path("file"), "").unwrap();
    let said = home.refusal(&[], &["--data", "file/data"]);
    assert!(said.contains("file/data") && said.contains("--data DIR"), "{said}");
    let said = home.refusal(&[], &["--data", "/proc/nowhere"]);
    assert!(said.contains("/proc/nowhere"), "{said}");
}

#[test]
fn what_is_embedded_does_not_pass_for_production() {
    let said = Home::new().refusal(&[("ENVIRONMENT", "production")], &[]);
    assert!(said.contains("DATABASE_URL is not set") && said.contains("power cut"), "{said}");
}

#[test]
fn a_bad_setting_is_named() {
    let home = Home::new();
    for (name, value) in [("CODE_LENGTH", "3"), ("API_ADDR", "8000"), ("DATABASE_URL", "nowhere"), ("LOG_FORMAT", "x")]
    {
        let said = home.refusal(&[(name, value)], &[]);
        assert!(said.contains(name), "{name}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_data_is_refused_and_left_as_it_is() {
    let home = Home::new();
    let running = home.start(&[]);
    running.sign_up_and_activate("ada@example.com").await;
    running.stop();
    let (data, kept) = (home.path("data"), home.path("kept"));
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
        assert!(copied.success());
    };
    copy(&data, &kept);

    let damages: [(&str, &str, &[u8]); 5] = [
        ("postgres/pgdata/global/pg_control", "Nothing was changed", b""),
        ("postgres/pgdata/global/pg_control", "Nothing was changed", &[7; 8192]),
        ("postgres/pgdata/PG_VERSION", "Nothing was changed", b"17\n"),
        ("postgres/.oliphaunt.json", "Nothing was changed", b"?"),
        ("secrets", "secrets is damaged", b"first:c2hvcnQ=\n"),
    ];
    for (file, sentence, damage) in damages {
        fs::write(data.join(file), damage).unwrap();
        let before = contents(&data);
        let said = home.refusal(&[], &[]);
        assert!(said.contains(sentence), "{file}: {said}");
        let after = contents(&data);
        let in_one_only =
            before.iter().filter(|one| !after.contains(one)).chain(after.iter().filter(|one| !before.contains(one)));
        let changed: Vec<_> = in_one_only.map(|(path, _)| path).filter(|path| !is_passing(path)).collect();
        assert!(changed.is_empty(), "{file}: {changed:?}");
        fs::remove_dir_all(&data).unwrap();
        copy(&kept, &data);
    }
    fs::remove_file(data.join("secrets")).unwrap();
    let said = home.refusal(&[], &[]);
    assert!(said.contains("secrets is missing") && !data.join("secrets").exists(), "{said}");

    fs::copy(kept.join("secrets"), data.join("secrets")).unwrap();
    let again = home.start(&[]).client.activate("ada@example.com", "0000").await;
    assert_eq!(again.problem(), (409, "already-active".into()));
}

/// What Postgres writes, and removes, whenever it tries to start.
fn is_passing(path: &std::path::Path) -> bool {
    path.ends_with("postmaster.pid")
}
