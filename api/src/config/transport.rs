//! The settings about the way to the API.

use anyhow::{Result, anyhow, bail};

use super::{Settings, on, within};
use crate::http::{Transport, middleware::cors::AllowedOrigins, server::tls::Tls};

pub(crate) fn check(settings: &Settings, production: bool) -> Result<Transport> {
    within("MAX_CONNECTIONS", settings.max_connections, 1, 1_000_000)?;
    let tls = Tls::load(&settings.tls_cert, &settings.tls_key)?;
    if tls.is_some() && !settings.public_url.starts_with("https://") {
        bail!("PUBLIC_URL is '{}': with TLS_CERT it must begin with https://", settings.public_url);
    }
    Ok(Transport {
        docs: settings.docs.as_deref().map_or(Ok(!production), |docs| on("DOCS", docs))?,
        max_connections: usize::try_from(settings.max_connections)?,
        origins: AllowedOrigins::parse(&settings.allowed_origins).map_err(|why| anyhow!("ALLOWED_ORIGINS: {why}"))?,
        tls,
    })
}
