//! The settings of traces, under the names that OpenTelemetry gave them.

use anyhow::{Context, Result, anyhow, bail};
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::{
    collector::{self, Collector},
    wire,
};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// What the settings mean, checked.
pub(super) struct Settings {
    pub(super) collector: Collector,
    /// Whose spans they are, as it is on the wire.
    pub(super) resource: Vec<u8>,
    pub(super) share: Share,
}

/// One flat struct: the names are the variables'.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    otel_sdk_disabled: bool,
    otel_exporter_otlp_endpoint: String,
    otel_exporter_otlp_protocol: String,
    otel_exporter_otlp_headers: SecretString,
    otel_exporter_otlp_certificate: String,
    otel_service_name: String,
    otel_resource_attributes: String,
    otel_traces_sampler: String,
    otel_traces_sampler_arg: Option<f64>,
}

/// How many of all traces are recorded. Whether one is among them shows its id, so that both processes record the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share(u64);

impl Settings {
    pub(super) fn load() -> Result<Given> {
        crate::config::load(&[HEADERS])
    }
}

impl Given {
    pub(super) fn check(self, service: &str) -> Result<Option<Settings>> {
        if self.otel_exporter_otlp_endpoint.is_empty() || self.otel_sdk_disabled {
            return Ok(None);
        }
        if !["", "http/protobuf"].contains(&self.otel_exporter_otlp_protocol.as_str()) {
            bail!("OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf: nothing else is spoken here");
        }
        let share = self.share()?;
        let attributes = pairs(&self.otel_resource_attributes).context("OTEL_RESOURCE_ATTRIBUTES")?;
        let mut about = vec![("service.version", env!("CARGO_PKG_VERSION"))];
        about.extend(attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let named = about.iter().any(|(name, _)| *name == "service.name");
        match self.otel_service_name.as_str() {
            "" if named => {}
            "" => about.push(("service.name", service)),
            name => {
                about.retain(|(attribute, _)| *attribute != "service.name");
                about.push(("service.name", name));
            }
        }
        let resource = wire::resource(about.into_iter());
        Ok(Some(Settings { collector: self.collector()?, resource, share }))
    }

    /// Its URL is the one below which each kind of data has its path.
    fn collector(&self) -> Result<Collector> {
        let wrong =
            || anyhow!("{ENDPOINT} must be the URL of a collector, like http://localhost:4318, without a login");
        let url = Url::parse(&self.otel_exporter_otlp_endpoint).map_err(|_| wrong())?;
        let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        let (Some(host), Some(port), "http" | "https", true) =
            (url.host_str(), url.port_or_known_default(), url.scheme(), bare)
        else {
            return Err(wrong());
        };
        let tls = if url.scheme() == "https" {
            let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|_| wrong())?;
            let connector = collector::connector(&self.otel_exporter_otlp_certificate);
            Some((connector.context("OTEL_EXPORTER_OTLP_CERTIFICATE must be a file of PEM certificates")?, name))
        } else {
            None
        };
        let (host, path) = (host.to_owned(), format!("{}/v1/traces", url.path().trim_end_matches('/')));
        Ok(Collector { host, port, path, tls, headers: self.headers()? })
    }

    /// Nothing of it is repeated: credentials come this way.
    fn headers(&self) -> Result<SecretString> {
        let wrong = || anyhow!("{HEADERS} must be like name=value,name=value");
        let mut lines = String::new();
        for (name, value) in pairs(self.otel_exporter_otlp_headers.expose_secret()).map_err(|_| wrong())? {
            let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            if !fits || !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                return Err(wrong());
            }
            lines.push_str(&format!("{name}: {value}\r\n"));
        }
        Ok(lines.into())
    }

    /// A request here is the root of its trace, so "parentbased" makes no difference.
    fn share(&self) -> Result<Share> {
        let sampler = self.otel_traces_sampler.trim_start_matches("parentbased_");
        match (sampler, self.otel_traces_sampler_arg.unwrap_or(1.0)) {
            ("" | "always_on", _) => Ok(Share::ALL),
            ("always_off", _) => Ok(Share::NONE),
            ("traceidratio", share) if (0.0..=1.0).contains(&share) => Ok(Share((share * Share::ALL.0 as f64) as u64)),
            ("traceidratio", _) => bail!("OTEL_TRACES_SAMPLER_ARG must be 0 to 1"),
            _ => bail!("OTEL_TRACES_SAMPLER must be always_on, always_off or traceidratio"),
        }
    }
}

impl Share {
    pub(super) const ALL: Self = Self(1 << 56);
    pub(super) const NONE: Self = Self(0);

    /// The last seven bytes of an id are chance; those before them are not, in a UUID.
    pub(super) fn has(self, trace: u128) -> bool {
        trace & u128::from(Self::ALL.0 - 1) < u128::from(self.0)
    }
}

/// `name=value,name=value`, the values with percent signs where they need them.
fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let named = pair.split_once('=').filter(|(name, _)| !name.trim().is_empty());
            let (name, value) = named.context("must be like name=value,name=value")?;
            let value = percent_decode_str(value.trim()).decode_utf8().context("must be UTF-8")?;
            Ok((name.trim().to_owned(), value.into_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests;
