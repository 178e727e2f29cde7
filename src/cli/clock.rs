//! What time it is. For tests, and for texts that must come out the same every day,
//! `TMBUNDLE_NOW` (a time such as `2019-11-14T12:00:00Z`) stands in for the clock.

use jiff::Timestamp;

/// Seconds since 1970.
pub fn now() -> i64 {
    let told = || std::env::var("TMBUNDLE_NOW").ok()?.parse::<Timestamp>().ok();
    told().unwrap_or_else(Timestamp::now).as_second()
}
