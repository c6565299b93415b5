//! Banner that is printed at the start: where everything is and which parts are embedded.

use std::io::Write;

use anyhow::Result;
use tokio::net::TcpListener;

use crate::{data_folder::DataFolder, listeners::Listeners, settings::Settings};

/// The banner. Tests and scripts parse its lines `inbox` and `listens` and wait for its last line.
pub(crate) fn text(listeners: &Listeners, settings: &Settings, data: Option<&DataFolder>) -> Result<String> {
    let mut lines = vec![format!("Vestibule {}", env!("CARGO_PKG_VERSION")), String::new()];
    let mut line = |label: &str, value: String| lines.push(format!("  {label:<9}{value}"));
    let public_url = settings.get("PUBLIC_URL").unwrap_or_default();
    line("sign up", format!("{public_url}/"));
    line("docs", format!("{public_url}/docs, {public_url}/docs/scalar, {public_url}/openapi.json"));
    if let Some(inbox) = &listeners.inbox {
        line("inbox", format!("{} (receives all mails)", url(&inbox.http)?));
    }
    line("health", format!("{}/health/ready", url(&listeners.ops)?));
    line("listens", format!("{} (API), {} (health)", listeners.api.local_addr()?, listeners.ops.local_addr()?));
    if let Some(data) = data {
        let note = if data.is_ephemeral() { "deleted at the end" } else { "delete it to start from scratch" };
        line("data", format!("{} ({note})", data.path().display()));
    }
    let embedded: Vec<_> = [
        ("DATABASE_URL", "Postgres, which does not fsync: a power cut may lose the last sign-ups"),
        ("AMQP_URL", "queue"),
        ("SMTP_URL", "mail server"),
        ("CODE_SECRETS", "secrets, generated for this data folder"),
    ]
    .into_iter()
    .filter_map(|(setting, part)| (!settings.is_set(setting)).then_some(part))
    .collect();
    if !embedded.is_empty() {
        line("embedded", embedded.join("\n           "));
    }
    lines.push("\nPress Ctrl-C to stop.\n".to_owned());
    Ok(lines.join("\n"))
}

/// Prints to standard output. Errors are ignored: if it is closed, the service still runs.
pub(crate) fn print(text: &str) {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// The URL under which a browser on this machine reaches the listener.
fn url(listener: &TcpListener) -> Result<String> {
    let addr = listener.local_addr()?;
    let is_local = addr.ip().is_unspecified() || addr.ip().is_loopback();
    Ok(if is_local { format!("http://localhost:{}", addr.port()) } else { format!("http://{addr}") })
}
