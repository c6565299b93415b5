//! Start-up errors of the one-process binary: one line that names the problem, and no damaged data.

use std::{fs, net::TcpListener};

use support::standalone::{StandaloneFolder, contents};

#[tokio::test(flavor = "multi_thread")]
async fn second_process_on_same_data_is_rejected() {
    let home = StandaloneFolder::new();
    let first = home.start(&[]);
    let stderr = home.start_error(&[], &[]);
    assert!(stderr.contains("another vestibule process uses") && stderr.contains("--data"), "{stderr}");
    first.sign_up_and_activate("ada@example.com").await;
    let other_folder = home.path("elsewhere");
    let mut command = home.command(&[]);
    let second = support::standalone::StandaloneProcess::start(command.arg("--data").arg(&other_folder));
    second.sign_up_and_activate("ada@example.com").await;
}

#[test]
fn occupied_port_is_named_and_no_data_created() {
    let home = StandaloneFolder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for name in ["API_ADDR", "OPS_ADDR", "INBOX_ADDR"] {
        let stderr = home.start_error(&[(name, &addr)], &[]);
        assert!(stderr.contains(&addr) && stderr.contains(name) && stderr.contains("in use"), "{stderr}");
    }
    let port = taken.local_addr().unwrap().port().to_string();
    let stderr = home.start_error(&[], &["--port", &port]);
    assert!(stderr.contains("--port"), "{stderr}");
    assert!(!home.path("data").exists());
}

#[test]
fn unusable_data_folder_is_named() {
    let home = StandaloneFolder::new();
    fs::write(home.path("file"), "").unwrap();
    let stderr = home.start_error(&[], &["--data", "file/data"]);
    assert!(stderr.contains("file/data") && stderr.contains("--data DIR"), "{stderr}");
    let stderr = home.start_error(&[], &["--data", "/proc/nowhere"]);
    assert!(stderr.contains("/proc/nowhere"), "{stderr}");
}

#[test]
fn production_rejects_the_embedded_database() {
    let stderr = StandaloneFolder::new().start_error(&[("ENVIRONMENT", "production")], &[]);
    assert!(stderr.contains("DATABASE_URL is not set") && stderr.contains("power cut"), "{stderr}");
}

#[test]
fn invalid_setting_is_named() {
    let home = StandaloneFolder::new();
    for (name, value) in [("CODE_LENGTH", "3"), ("API_ADDR", "8000"), ("DATABASE_URL", "nowhere"), ("LOG_FORMAT", "x")]
    {
        let stderr = home.start_error(&[(name, value)], &[]);
        assert!(stderr.contains(name), "{name}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_data_is_rejected_and_left_unchanged() {
    let home = StandaloneFolder::new();
    let running = home.start(&[]);
    running.sign_up_and_activate("ada@example.com").await;
    running.stop();
    let data = home.path("data");
    let kept = home.path("kept");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
        assert!(copied.success());
    };
    copy(&data, &kept);

    let damages: [(&str, &str, &[u8]); 6] = [
        ("postgres/pgdata/global/pg_control", "Nothing was changed", b""),
        ("postgres/pgdata/global/pg_control", "Nothing was changed", &[7; 8192]),
        ("postgres/pgdata/PG_VERSION", "Nothing was changed", b"17\n"),
        ("postgres/.oliphaunt.json", "Nothing was changed", b"?"),
        ("secrets", "secrets is damaged", b"first:c2hvcnQ=\n"),
        ("subject-key", "subject-key is damaged", b"c2hvcnQ=\n"),
    ];
    for (file, message, damage) in damages {
        fs::write(data.join(file), damage).unwrap();
        let before = contents(&data);
        let stderr = home.start_error(&[], &[]);
        assert!(stderr.contains(message), "{file}: {stderr}");
        let after = contents(&data);
        let removed = before.iter().filter(|file| !after.contains(file));
        let added = after.iter().filter(|file| !before.contains(file));
        let changed: Vec<_> = removed.chain(added).map(|(path, _)| path).filter(|path| !is_transient(path)).collect();
        assert!(changed.is_empty(), "{file}: {changed:?}");
        fs::remove_dir_all(&data).unwrap();
        copy(&kept, &data);
    }
    fs::remove_file(data.join("secrets")).unwrap();
    let stderr = home.start_error(&[], &[]);
    assert!(stderr.contains("secrets is missing") && !data.join("secrets").exists(), "{stderr}");

    fs::copy(kept.join("secrets"), data.join("secrets")).unwrap();
    let again = home.start(&[]).client.activate("ada@example.com", "0000").await;
    assert_eq!(again.problem(), (409, "already-active".into()));
}

/// A file that Postgres writes and removes whenever it tries to start.
fn is_transient(path: &std::path::Path) -> bool {
    path.ends_with("postmaster.pid")
}
