//! What is kept of a browser whose test failed.

use std::{fs, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

/// Where what a test leaves belongs: beside what is built.
pub(crate) fn folder() -> PathBuf {
    let binary = std::env::current_exe().unwrap();
    let target = binary.ancestors().find(|folder| folder.ends_with("debug") || folder.ends_with("release"));
    target.and_then(|folder| folder.parent()).unwrap_or(&std::env::temp_dir()).join("browser")
}

/// A picture of the page, and its source, asked of the driver by hand: the test that had it is over.
#[expect(clippy::print_stderr, reason = "whoever reads that the test failed wants to know")]
pub(crate) async fn keep(session: &str, test: &str) {
    let (folder, http) = (folder(), reqwest::Client::new());
    let ask = async |what: &str| -> Option<String> {
        let answer = http.get(format!("{session}/{what}")).send().await.ok()?;
        let answer: Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
        Some(answer["value"].as_str()?.to_owned())
    };
    let _ = fs::create_dir_all(&folder);
    let picture = ask("screenshot").await.and_then(|picture| BASE64_STANDARD.decode(picture).ok());
    let source = ask("source").await.map(String::into_bytes);
    for (ending, content) in [("png", picture), ("html", source)] {
        let path = folder.join(format!("{test}.{ending}"));
        if content.is_some_and(|content| fs::write(&path, content).is_ok()) {
            eprintln!("kept: {}", path.display());
        }
    }
}
