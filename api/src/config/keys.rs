//! Check of `CODE_SECRETS` and `SUBJECT_KEY`.

use anyhow::{Result, anyhow, ensure};
use secrecy::{ExposeSecret, SecretString};
use shared::{codes::CodeSecrets, config::required, secret_key::SecretKey};

use crate::domain::subject_keys::SubjectKey;

/// Parses both settings. Production rejects the keys of `.env.example`.
pub(super) fn check(
    code_secrets: SecretString,
    subject_key: &SecretString,
    production: bool,
) -> Result<(CodeSecrets, SubjectKey)> {
    let code_secrets = required("CODE_SECRETS", code_secrets)?;
    let ring = CodeSecrets::parse(code_secrets.expose_secret()).map_err(|why| anyhow!("CODE_SECRETS: {why}"))?;
    ensure!(
        !production || !ring.has_example(),
        "CODE_SECRETS holds the secret of .env.example, which is public: generate your own"
    );
    ensure!(
        !subject_key.expose_secret().is_empty(),
        "SUBJECT_KEY is not set: if this database is in use already, set it to the base64 part of the last entry of \
         CODE_SECRETS (what follows the colon), which all rate limits are stored under; for a new database generate \
         one with  head -c 32 /dev/urandom | base64"
    );
    let key = SecretKey::parse(subject_key.expose_secret()).map_err(|why| anyhow!("SUBJECT_KEY {why}"))?;
    ensure!(
        !production || !key.is_example(),
        "SUBJECT_KEY holds the key of .env.example, which is public: generate your own"
    );
    Ok((ring, SubjectKey(key)))
}
