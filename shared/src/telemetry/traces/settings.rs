//! The settings of tracing, with the names that OpenTelemetry defines.

use anyhow::{Context, Result, anyhow, bail};
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{collector::Collector, otlp, sampling::SamplingRatio};
use crate::tls;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// The checked settings.
pub(super) struct TraceSettings {
    pub(super) collector: Collector,
    /// The encoded OTLP resource: the service that the spans belong to.
    pub(super) resource: Vec<u8>,
    pub(super) sampling: SamplingRatio,
}

crate::settings! {
    /// The settings as they are in the environment; the fields have the names of the variables.
    pub(crate) struct RawSettings {
        otel_sdk_disabled: bool = false,
        otel_exporter_otlp_endpoint: String = String::new(),
        otel_exporter_otlp_protocol: String = String::new(),
        otel_exporter_otlp_headers: SecretString = SecretString::default(),
        otel_exporter_otlp_certificate: String = String::new(),
        otel_service_name: String = String::new(),
        otel_resource_attributes: String = String::new(),
        otel_traces_sampler: String = String::new(),
        otel_traces_sampler_arg: Option<f64> = None,
    }
}

impl RawSettings {
    /// Reads the settings from the environment.
    pub(super) fn load() -> Result<Self> {
        crate::config::load(&[HEADERS])
    }

    /// Checks the settings. `None` if no collector is configured or tracing is disabled; `service` is the default
    /// service name.
    pub(super) fn check(self, service: &str) -> Result<Option<TraceSettings>> {
        if self.otel_exporter_otlp_endpoint.is_empty() || self.otel_sdk_disabled {
            return Ok(None);
        }
        if !["", "http/protobuf"].contains(&self.otel_exporter_otlp_protocol.as_str()) {
            bail!("OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf: other protocols are not supported");
        }
        let sampling = self.sampling()?;
        let resource = self.resource(service)?;
        Ok(Some(TraceSettings { collector: self.collector()?, resource, sampling }))
    }

    /// The encoded resource. `OTEL_SERVICE_NAME` has precedence over `OTEL_RESOURCE_ATTRIBUTES`, and both over the
    /// default.
    fn resource(&self, default_service_name: &str) -> Result<Vec<u8>> {
        let configured = parse_pairs(&self.otel_resource_attributes).context("OTEL_RESOURCE_ATTRIBUTES")?;
        let mut attributes = vec![("service.version", env!("CARGO_PKG_VERSION"))];
        attributes.extend(configured.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let has_service_name = attributes.iter().any(|(name, _)| *name == "service.name");
        match self.otel_service_name.as_str() {
            "" if has_service_name => {}
            "" => attributes.push(("service.name", default_service_name)),
            name => {
                attributes.retain(|(attribute, _)| *attribute != "service.name");
                attributes.push(("service.name", name));
            }
        }
        Ok(otlp::resource(attributes.into_iter()))
    }

    /// The collector at the endpoint. The endpoint is a base URL: traces are sent to `/v1/traces` below it.
    fn collector(&self) -> Result<Collector> {
        let invalid =
            || anyhow!("{ENDPOINT} must be the URL of a collector, like http://localhost:4318, without a login");
        let url = Url::parse(&self.otel_exporter_otlp_endpoint).map_err(|_| invalid())?;
        let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        let (Some(host), Some(port), "http" | "https", true) =
            (url.host_str(), url.port_or_known_default(), url.scheme(), is_plain)
        else {
            return Err(invalid());
        };
        let tls = if url.scheme() == "https" {
            let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|_| invalid())?;
            let connector = tls::connector(&self.otel_exporter_otlp_certificate);
            Some((connector.context("OTEL_EXPORTER_OTLP_CERTIFICATE must be a file of PEM certificates")?, name))
        } else {
            None
        };
        let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
        Ok(Collector { host: host.to_owned(), port, path, tls, headers: self.headers()? })
    }

    /// The header lines of the requests. The error does not contain the value, because it usually contains credentials.
    fn headers(&self) -> Result<SecretString> {
        let invalid = || anyhow!("{HEADERS} must be like name=value,name=value");
        let mut lines = String::new();
        for (name, value) in parse_pairs(self.otel_exporter_otlp_headers.expose_secret()).map_err(|_| invalid())? {
            let is_valid_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            if !is_valid_name || !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                return Err(invalid());
            }
            lines.push_str(&format!("{name}: {value}\r\n"));
        }
        Ok(lines.into())
    }

    /// The sampling ratio. The prefix `parentbased_` makes no difference, because requests are always the roots of
    /// their traces.
    fn sampling(&self) -> Result<SamplingRatio> {
        let sampler = self.otel_traces_sampler.trim_start_matches("parentbased_");
        match (sampler, self.otel_traces_sampler_arg.unwrap_or(1.0)) {
            ("" | "always_on", _) => Ok(SamplingRatio::ALL),
            ("always_off", _) => Ok(SamplingRatio::NONE),
            ("traceidratio", ratio) if (0.0..=1.0).contains(&ratio) => Ok(SamplingRatio::from_fraction(ratio)),
            ("traceidratio", _) => bail!("OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1"),
            _ => bail!("OTEL_TRACES_SAMPLER must be always_on, always_off or traceidratio"),
        }
    }
}

/// Parses `name=value,name=value`, with percent-encoded values.
fn parse_pairs(text: &str) -> Result<Vec<(String, String)>> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let parts = pair.split_once('=').filter(|(name, _)| !name.trim().is_empty());
            let (name, value) = parts.context("must be like name=value,name=value")?;
            let value = percent_decode_str(value.trim()).decode_utf8().context("must be UTF-8")?;
            Ok((name.trim().to_owned(), value.into_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests;
