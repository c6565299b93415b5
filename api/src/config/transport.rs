//! The settings of the HTTP server: connections, TLS, CORS and API documentation.

use anyhow::{Result, anyhow, bail};
use shared::telemetry::traces::sampling::SamplingRatio;

use super::{RawSettings, check_range, parse_on_off};
use crate::http::{Transport, middleware::cors::AllowedOrigins, server::tls::Tls};

/// Validates the settings of the HTTP server.
pub(crate) fn check(settings: &RawSettings, production: bool) -> Result<Transport> {
    check_range("MAX_CONNECTIONS", settings.max_connections, 1, 1_000_000)?;
    check_range("ACCESS_LOG_SUCCESS_PERCENT", settings.access_log_success_percent, 0, 100)?;
    let tls = Tls::load(&settings.tls_cert, &settings.tls_key)?;
    if tls.is_some() && !settings.public_url.starts_with("https://") {
        bail!("PUBLIC_URL is '{}': with TLS_CERT it must begin with https://", settings.public_url);
    }
    Ok(Transport {
        docs: settings.docs.as_deref().map_or(Ok(!production), |docs| parse_on_off("DOCS", docs))?,
        max_connections: usize::try_from(settings.max_connections)?,
        origins: AllowedOrigins::parse(&settings.allowed_origins).map_err(|why| anyhow!("ALLOWED_ORIGINS: {why}"))?,
        tls,
        access_log_ratio: SamplingRatio::from_fraction(f64::from(settings.access_log_success_percent) / 100.0),
    })
}
