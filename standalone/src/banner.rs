//! What a person sees who starts it: where everything is.

use std::io::Write;

use anyhow::Result;
use tokio::net::TcpListener;

use crate::{data::Data, ports::Ports, settings::Settings};

pub(crate) fn text(ports: &Ports, settings: &Settings, data: Option<&Data>) -> Result<String> {
    let mut lines = vec![format!("Vestibule {}", env!("CARGO_PKG_VERSION")), String::new()];
    let mut line = |name: &str, what: String| lines.push(format!("  {name:<9}{what}"));
    let public_url = settings.get("PUBLIC_URL").unwrap_or_default();
    line("sign up", format!("{public_url}/"));
    line("docs", format!("{public_url}/docs, {public_url}/docs/scalar, {public_url}/openapi.json"));
    if let Some(inbox) = &ports.inbox {
        line("inbox", format!("{} (every mail ends here)", url(&inbox.page)?));
    }
    line("health", format!("{}/health/ready", url(&ports.ops)?));
    line("listens", format!("{} (API), {} (health)", ports.api.local_addr()?, ports.ops.local_addr()?));
    if let Some(data) = data {
        let kept = if data.is_ephemeral() { "removed at the end" } else { "remove it to start anew" };
        line("data", format!("{} ({kept})", data.folder().display()));
    }
    let embedded: Vec<_> = [
        ("DATABASE_URL", "Postgres, which does not fsync: a power cut may cost the last sign-ups"),
        ("AMQP_URL", "the queue"),
        ("SMTP_URL", "the mail server"),
        ("CODE_SECRETS", "the secrets, made for this data"),
    ]
    .into_iter()
    .filter_map(|(name, what)| (!settings.has(name)).then_some(what))
    .collect();
    if !embedded.is_empty() {
        line("embedded", embedded.join("\n           "));
    }
    lines.push("\nCtrl-C stops it.\n".to_owned());
    Ok(lines.join("\n"))
}

pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout();
    // Nobody reads it: then there is nobody to tell, either.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// As a browser on this machine reaches it.
fn url(listener: &TcpListener) -> Result<String> {
    let addr = listener.local_addr()?;
    let here = addr.ip().is_unspecified() || addr.ip().is_loopback();
    Ok(if here { format!("http://localhost:{}", addr.port()) } else { format!("http://{addr}") })
}
