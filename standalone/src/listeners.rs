//! Binds all sockets, before anything is written: a port in use must leave no files behind.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use shared::config::{API_ADDR, OPS_ADDR};
use tokio::net::TcpListener;

use crate::settings::Settings;

/// The bound sockets of the process.
pub(crate) struct Listeners {
    pub(crate) api: TcpListener,
    pub(crate) ops: TcpListener,
    /// `None` if `SMTP_URL` names a mail server.
    pub(crate) inbox: Option<InboxListeners>,
}

/// The sockets of the development inbox.
pub(crate) struct InboxListeners {
    /// The page and the REST calls.
    pub(crate) http: TcpListener,
    /// On a free port, because only the worker in this process needs it.
    pub(crate) smtp: TcpListener,
}

impl Listeners {
    /// Binds all sockets; `port` overrides the port in `API_ADDR`.
    pub(crate) async fn bind(settings: &Settings, port: Option<u16>) -> Result<Self> {
        let mut api = address(settings, "API_ADDR", API_ADDR)?;
        if let Some(port) = port {
            api.set_port(port);
        }
        let api = listen(api, "--port or API_ADDR").await?;
        let ops = listen(address(settings, "OPS_ADDR", OPS_ADDR)?, "OPS_ADDR").await?;
        let inbox = if settings.is_set("SMTP_URL") {
            None
        } else {
            let http = listen(address(settings, "INBOX_ADDR", "127.0.0.1:1080")?, "INBOX_ADDR").await?;
            let smtp_addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let smtp =
                TcpListener::bind(smtp_addr).await.with_context(|| format!("cannot listen on {smtp_addr} for SMTP"))?;
            Some(InboxListeners { http, smtp })
        };
        Ok(Self { api, ops, inbox })
    }
}

fn address(settings: &Settings, name: &str, default: &str) -> Result<SocketAddr> {
    let value = settings.get(name).unwrap_or(default);
    value.parse().with_context(|| {
        format!("{name} is '{value}', which is not an IP address and a port; expected for example {default}")
    })
}

/// Binds a socket; the error names the setting that chooses another address.
async fn listen(addr: SocketAddr, setting: &str) -> Result<TcpListener> {
    TcpListener::bind(addr)
        .await
        .with_context(|| format!("cannot listen on {addr} (choose another address with {setting})"))
}
