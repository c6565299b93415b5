//! Reads a process's settings from its environment into one flat struct.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow, bail};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

/// `secrets` names the settings that may also come as `X_FILE`, the path of a file with the value.
pub fn load<T: DeserializeOwned>(secrets: &[&str]) -> Result<T> {
    // What is not text is somebody else's, we hope; one of ours will be missed by its name.
    let text =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    load_from(text, secrets)
}

/// The same, from any variables. An empty value counts as not set: compose passes those.
pub fn load_from<T: DeserializeOwned>(
    variables: impl IntoIterator<Item = (String, String)>,
    secrets: &[&str],
) -> Result<T> {
    let mut variables: HashMap<_, _> = variables.into_iter().collect();
    variables.retain(|_, value| !value.is_empty());
    for &name in secrets {
        let Some(path) = variables.remove(&format!("{name}_FILE")) else { continue };
        if variables.contains_key(name) {
            bail!("{name} and {name}_FILE are both set: set one of them");
        }
        let value = std::fs::read_to_string(&path).with_context(|| format!("{name}_FILE: cannot read {path}"))?;
        variables.insert(name.to_owned(), value.trim_end_matches(['\r', '\n']).to_owned());
    }
    envy::from_iter(variables).map_err(|error| anyhow!("{error}"))
}

/// A setting without which nothing works.
pub fn needed(name: &str, value: SecretString) -> Result<SecretString> {
    if value.expose_secret().is_empty() {
        bail!("{name} is not set: .env.example has an example of every setting");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Settings {
        #[serde(default)]
        database_url: String,
        #[serde(default)]
        code_length: Option<u8>,
    }

    fn load(variables: &[(&str, &str)]) -> Result<Settings> {
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        load_from(variables, &["DATABASE_URL"])
    }

    fn refusal(variables: &[(&str, &str)]) -> String {
        format!("{:#}", load(variables).err().unwrap())
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert_eq!(load(&[("DATABASE_URL", "")]).unwrap().database_url, "");
        let missing = needed("DATABASE_URL", SecretString::default()).unwrap_err().to_string();
        assert!(missing.starts_with("DATABASE_URL is not set"), "{missing}");
        assert!(refusal(&[("DATABASE_URL", "x"), ("CODE_LENGTH", "four")]).contains("CODE_LENGTH"));
    }

    #[test]
    fn a_secret_may_come_from_a_file() {
        let path = std::env::temp_dir().join(format!("vestibule-env-{}", std::process::id()));
        std::fs::write(&path, "postgres://from-a-file\n").unwrap();
        let path = path.to_str().unwrap();
        let settings = load(&[("DATABASE_URL_FILE", path), ("CODE_LENGTH", "6")]).unwrap();
        assert_eq!((settings.database_url.as_str(), settings.code_length), ("postgres://from-a-file", Some(6)));
        assert!(refusal(&[("DATABASE_URL_FILE", path), ("DATABASE_URL", "x")]).contains("both set"));
        std::fs::remove_file(path).unwrap();
        assert!(refusal(&[("DATABASE_URL_FILE", path)]).contains("DATABASE_URL_FILE: cannot read"));
    }
}
