//! Reads the settings of a process from environment variables into one flat struct.

pub mod environment;

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use self::environment::Environment;

/// The default of `API_ADDR`: reachable from this machine only, as a bare process is not behind TLS.
pub const API_ADDR: &str = "127.0.0.1:8000";

/// The default of `OPS_ADDR`: metrics and health need no login. The images listen on all addresses instead.
pub const OPS_ADDR: &str = "127.0.0.1:9090";

/// The default of `DRAIN_SECONDS`: a mail has 10 s to reach its final dot, the mail server 60 s to answer it, and the process
/// 5 s to record the outcome and to close its connections. A mail that is cut off after the dot is sent twice.
pub const DRAIN_SECONDS: u32 = 75;

/// Reads the settings from the environment. Each setting named in `secrets` can also be set as `X_FILE`, the path of a
/// file that contains the value.
pub fn load<T: DeserializeOwned>(secrets: &[&str]) -> Result<T> {
    // Variables that are not UTF-8 are ignored; if one of them is a required setting, it is reported as not set.
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    load_from(variables, secrets)
}

/// Reads the settings from these variables. An empty value counts as not set, because Docker compose passes empty
/// values for unset variables.
pub fn load_from<T: DeserializeOwned>(
    variables: impl IntoIterator<Item = (String, String)>,
    secrets: &[&str],
) -> Result<T> {
    let mut variables: HashMap<_, _> = variables.into_iter().collect();
    variables.retain(|_, value| !value.is_empty());
    for &name in secrets {
        let Some(path) = variables.remove(&format!("{name}_FILE")) else { continue };
        if variables.contains_key(name) {
            bail!("{name} and {name}_FILE are both set: set only one of them");
        }
        let value = std::fs::read_to_string(&path).with_context(|| format!("{name}_FILE: cannot read {path}"))?;
        variables.insert(name.to_owned(), value.trim_end_matches(['\r', '\n']).to_owned());
    }
    envy::from_iter(variables).map_err(|error| anyhow!("{error}"))
}

/// Declares the settings of a process, each with its type and default in one place.
///
/// Makes a struct that `load` can read, its `Default`, and `FIELDS`, the names of its fields.
#[macro_export]
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident { $($(#[$field_attribute:meta])* $field:ident: $type:ty = $default:expr,)+ }
    ) => {
        $(#[$attribute])*
        #[derive(serde::Deserialize)]
        #[serde(default)]
        $visibility struct $name {
            $($(#[$field_attribute])* pub(crate) $field: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $name {
            /// The fields. The environment variables have the same names in upper case.
            pub(crate) const FIELDS: &'static [&'static str] = &[$(stringify!($field)),+];
        }
    };
}

/// Parses the address that a server listens on. `name` is the name of the setting.
pub fn socket_address(name: &str, value: &str) -> Result<SocketAddr> {
    value
        .parse()
        .with_context(|| format!("{name} is '{value}': it must be an IP address and a port, like 127.0.0.1:8000"))
}

/// Checks `DRAIN_SECONDS`: with less than 10 s a process abandons work that takes its usual time, and with more than ten
/// minutes one that hangs is never replaced.
pub fn drain(seconds: u32) -> Result<Duration> {
    if !(10..=600).contains(&seconds) {
        bail!("DRAIN_SECONDS is {seconds}: set it to a number from 10 to 600");
    }
    Ok(Duration::from_secs(seconds.into()))
}

/// Checks `PUBLIC_URL`, which becomes a link in every mail, and removes slashes at its end.
pub fn public_url(value: &str, environment: Environment) -> Result<String> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"'".contains(&byte));
    if !is_plain || !(value.starts_with("http://") || value.starts_with("https://")) {
        bail!(
            "PUBLIC_URL is '{value}': it must begin with http:// or https://, and have no spaces, quotes or angle \
            brackets"
        );
    }
    environment.check_public_url(value)?;
    Ok(value.trim_end_matches('/').to_owned())
}

/// Fails if a required setting is not set.
pub fn required(name: &str, value: SecretString) -> Result<SecretString> {
    if value.expose_secret().is_empty() {
        bail!("{name} is not set: .env.example has an example of every setting");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct TestSettings {
        #[serde(default)]
        database_url: String,
        #[serde(default)]
        code_length: Option<u8>,
    }

    fn load(variables: &[(&str, &str)]) -> Result<TestSettings> {
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        load_from(variables, &["DATABASE_URL"])
    }

    fn error(variables: &[(&str, &str)]) -> String {
        format!("{:#}", load(variables).err().unwrap())
    }

    #[test]
    fn missing_and_invalid_settings_are_named() {
        assert_eq!(load(&[("DATABASE_URL", "")]).unwrap().database_url, "");
        let missing = required("DATABASE_URL", SecretString::default()).unwrap_err().to_string();
        assert!(missing.starts_with("DATABASE_URL is not set"), "{missing}");
        assert!(error(&[("DATABASE_URL", "x"), ("CODE_LENGTH", "four")]).contains("CODE_LENGTH"));
    }

    #[test]
    fn secret_can_be_read_from_a_file() {
        let path = std::env::temp_dir().join(format!("vestibule-env-{}", std::process::id()));
        std::fs::write(&path, "postgres://from-a-file\n").unwrap();
        let path = path.to_str().unwrap();
        let settings = load(&[("DATABASE_URL_FILE", path), ("CODE_LENGTH", "6")]).unwrap();
        assert_eq!((settings.database_url.as_str(), settings.code_length), ("postgres://from-a-file", Some(6)));
        assert!(error(&[("DATABASE_URL_FILE", path), ("DATABASE_URL", "x")]).contains("both set"));
        std::fs::remove_file(path).unwrap();
        assert!(error(&[("DATABASE_URL_FILE", path)]).contains("DATABASE_URL_FILE: cannot read"));
    }
}
