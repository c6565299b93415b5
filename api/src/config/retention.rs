//! The settings of the cleanup: retention times and interval.

use std::time::Duration;

use anyhow::Result;

use super::{check_range, settings::RawSettings};
use crate::domain::retention::Retention;

const DAY_SECONDS: u32 = 86_400;
const TEN_YEARS_SECONDS: u32 = 3_650 * DAY_SECONDS;

/// Validates the retention times and the interval of the cleanup job.
pub(crate) fn check(settings: &RawSettings) -> Result<(Retention, Duration)> {
    // A repeated request with an `Idempotency-Key` needs its registration for a day, and no code is valid longer.
    check_range("RETAIN_REGISTRATIONS_SECONDS", settings.retain_registrations_seconds, DAY_SECONDS, TEN_YEARS_SECONDS)?;
    // The warning of a changed password may be on its way for a week; its delivery record prevents that it is sent
    // twice.
    check_range("RETAIN_DELIVERIES_SECONDS", settings.retain_deliveries_seconds, 7 * DAY_SECONDS, TEN_YEARS_SECONDS)?;
    check_range("HOUSEKEEPING_SECONDS", settings.housekeeping_seconds, 1, 3_600)?;
    let seconds = |seconds: u32| time::Duration::seconds(seconds.into());
    let retention = Retention {
        registrations: seconds(settings.retain_registrations_seconds),
        deliveries: seconds(settings.retain_deliveries_seconds),
    };
    Ok((retention, Duration::from_secs(settings.housekeeping_seconds.into())))
}
