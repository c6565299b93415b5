//! The settings about what is kept when it is over.

use std::time::Duration;

use anyhow::Result;

use super::{settings::Settings, within};
use crate::domain::retention::Retention;

const A_DAY: u32 = 86_400;
const TEN_YEARS: u32 = 3_650 * A_DAY;

/// What is kept for how long, and how often it is looked for what is not.
pub(crate) fn check(settings: &Settings) -> Result<(Retention, Duration)> {
    // A repetition by `Idempotency-Key` needs its registration for a day, and no code lives longer.
    within("RETAIN_REGISTRATIONS_SECONDS", settings.retain_registrations_seconds, A_DAY, TEN_YEARS)?;
    // A mail that warns of a changed password may be on its way for a week, and is not mailed again while it is on record.
    within("RETAIN_DELIVERIES_SECONDS", settings.retain_deliveries_seconds, 7 * A_DAY, TEN_YEARS)?;
    within("HOUSEKEEPING_SECONDS", settings.housekeeping_seconds, 1, 3_600)?;
    let seconds = |seconds: u32| time::Duration::seconds(seconds.into());
    let retention = Retention {
        registrations: seconds(settings.retain_registrations_seconds),
        deliveries: seconds(settings.retain_deliveries_seconds),
    };
    Ok((retention, Duration::from_secs(settings.housekeeping_seconds.into())))
}
