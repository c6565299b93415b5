//! The setting of the service that new passwords are looked up in.

use anyhow::{Context, Result};
use shared::config::environment::Environment;

use super::settings::RawSettings;
use crate::auth::breached_passwords::range_service::RangeService;

/// Validates `BREACHED_PASSWORDS_URL`; `None` if it is not set. The error does not repeat the value, which may contain a
/// login.
pub(crate) fn check(settings: &RawSettings, environment: Environment) -> Result<Option<RangeService>> {
    if settings.breached_passwords_url.is_empty() {
        return Ok(None);
    }
    let service = RangeService::parse(&settings.breached_passwords_url).context(
        "BREACHED_PASSWORDS_URL must be the URL of a range service, like https://passwords.example.org/range, without a \
         login, a query or a fragment",
    )?;
    environment.check_http(
        service.is_unencrypted(),
        "BREACHED_PASSWORDS_URL begins with http://: in production it must begin with https:// unless the service is on \
         this machine, or others can read and forge its answers",
    )?;
    Ok(Some(service))
}
