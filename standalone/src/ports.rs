//! The sockets, taken before anything else is touched: a busy port must leave no traces.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use tokio::net::TcpListener;

use crate::settings::Settings;

pub(crate) struct Ports {
    pub(crate) api: TcpListener,
    pub(crate) ops: TcpListener,
    /// Where no mail server is given.
    pub(crate) inbox: Option<InboxPorts>,
}

pub(crate) struct InboxPorts {
    pub(crate) page: TcpListener,
    /// Any port: only our own worker needs to know.
    pub(crate) smtp: TcpListener,
}

impl Ports {
    pub(crate) async fn take(settings: &Settings, port: Option<u16>) -> Result<Self> {
        let mut api = address(settings, "API_ADDR", "0.0.0.0:8000")?;
        if let Some(port) = port {
            api.set_port(port);
        }
        let api = listen(api, "--port, or API_ADDR").await?;
        let ops = listen(address(settings, "OPS_ADDR", "0.0.0.0:9090")?, "OPS_ADDR").await?;
        let inbox = if settings.has("SMTP_URL") {
            None
        } else {
            let page = listen(address(settings, "INBOX_ADDR", "127.0.0.1:1080")?, "INBOX_ADDR").await?;
            Some(InboxPorts { page, smtp: listen((Ipv4Addr::LOCALHOST, 0).into(), "nothing").await? })
        };
        Ok(Self { api, ops, inbox })
    }
}

fn address(settings: &Settings, name: &str, default: &str) -> Result<SocketAddr> {
    let value = settings.get(name).unwrap_or(default);
    value.parse().with_context(|| format!("{name} is '{value}': it must be an address and a port, like {default}"))
}

async fn listen(addr: SocketAddr, choice: &str) -> Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| format!("cannot listen on {addr} ({choice} chooses another)"))
}
