//! Saves a screenshot and the page source of a failed test.

use std::{fs, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

/// The output directory: `browser` in the target directory.
fn output_directory() -> PathBuf {
    let binary = std::env::current_exe().unwrap();
    let target = binary.ancestors().find(|folder| folder.ends_with("debug") || folder.ends_with("release"));
    target.and_then(|folder| folder.parent()).unwrap_or(&std::env::temp_dir()).join("browser")
}

/// Saves a screenshot and the source of the page. It asks the driver over HTTP, because the runtime of the failed test,
/// and its WebDriver client with it, has ended.
#[expect(clippy::print_stderr, reason = "the developer who reads the failure needs the paths")]
pub(crate) async fn save(session: &str, test: &str) {
    let folder = output_directory();
    let http = reqwest::Client::new();
    let fetch = async |what: &str| -> Option<String> {
        let answer = http.get(format!("{session}/{what}")).send().await.ok()?;
        let answer: Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
        Some(answer["value"].as_str()?.to_owned())
    };
    let _ = fs::create_dir_all(&folder);
    let screenshot = fetch("screenshot").await.and_then(|base64| BASE64_STANDARD.decode(base64).ok());
    let source = fetch("source").await.map(String::into_bytes);
    for (extension, content) in [("png", screenshot), ("html", source)] {
        let path = folder.join(format!("{test}.{extension}"));
        if content.is_some_and(|content| fs::write(&path, content).is_ok()) {
            eprintln!("saved: {}", path.display());
        }
    }
}
