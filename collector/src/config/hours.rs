//! Hours on the air, in the zone where the channel lives. Zones are IANA's, so that a change to summer time moves the hours
//! as viewers' clocks do.

use jiff::{Timestamp, civil::Weekday, tz::TimeZone};
use tallylight_config::{Table, value};

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];
const DAY_MINUTES: u16 = 24 * 60;

/// One span of hours on some days of the week. One that ends before it begins runs past midnight and belongs to the day on
/// which it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Hours {
    days: [bool; 7],
    from_minute: u16,
    to_minute: u16,
    zone: TimeZone,
}

impl Hours {
    pub(super) fn read(mut table: Table<'_>) -> Option<Self> {
        let days = table.required("days", value::parsed(days));
        let from = table.required("from", value::parsed(minute));
        let to = table.required("to", value::parsed(minute));
        let zone = table.required("zone", value::parsed(zone));
        table.finish();
        Some(Self { days: days?, from_minute: from?, to_minute: to?, zone: zone? })
    }

    /// Whether the moment lies in these hours.
    #[must_use]
    pub fn contain(&self, at: Timestamp) -> bool {
        let local = at.to_zoned(self.zone.clone());
        let minute =
            u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        let begins_on =
            |day: Weekday| self.days[usize::from(day.to_monday_zero_offset().unsigned_abs()) % 7];
        let today = local.weekday();
        if self.from_minute < self.to_minute {
            begins_on(today) && (self.from_minute..self.to_minute).contains(&minute)
        } else {
            (begins_on(today) && minute >= self.from_minute)
                || (begins_on(today.previous()) && minute < self.to_minute)
        }
    }
}

fn days(text: &str) -> Result<[bool; 7], String> {
    let wrong = || {
        "is not a list of days; write mon tue wed thu fri sat sun, as in \"mon-fri\" or \"sat,sun\""
            .to_owned()
    };
    let day =
        |name: &str| DAYS.iter().position(|(known, _)| *known == name.trim()).ok_or_else(wrong);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let length = (last + 7 - first) % 7;
        for step in 0..=length {
            days[(first + step) % 7] = true;
        }
    }
    Ok(days)
}

fn minute(text: &str) -> Result<u16, String> {
    let wrong =
        || "is not a time of day; write hours and minutes, \"00:00\" to \"24:00\"".to_owned();
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let two_digits = |part: &str| match part.as_bytes() {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(u16::from(a - b'0') * 10 + u16::from(b - b'0')),
        _ => None,
    };
    let (hours, minutes) = two_digits(hours).zip(two_digits(minutes)).ok_or_else(wrong)?;
    let minute = hours * 60 + minutes;
    if minutes < 60 && minute <= DAY_MINUTES { Ok(minute) } else { Err(wrong()) }
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        "is not a known time zone; write an IANA name, as in \"Europe/Berlin\" or \"UTC\""
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_air(days_text: &str, from: &str, to: &str, at: &str) -> bool {
        let hours = Hours {
            days: days(days_text).unwrap(),
            from_minute: minute(from).unwrap(),
            to_minute: minute(to).unwrap(),
            zone: zone("Europe/Berlin").unwrap(),
        };
        hours.contain(at.parse().unwrap())
    }

    #[test]
    fn hours_follow_the_clock_of_their_zone() {
        // 2026-03-27 is a Friday; on Sunday 2026-03-29 Berlin goes to summer time.
        for (days, from, to, at, expected) in [
            ("mon-fri", "06:00", "24:00", "2026-03-27T05:00:00Z", true),
            ("mon-fri", "06:00", "24:00", "2026-03-27T04:59:59Z", false),
            ("mon-fri", "06:00", "24:00", "2026-03-27T22:59:59Z", true),
            ("mon-fri", "06:00", "24:00", "2026-03-28T05:00:00Z", false),
            ("mon-sun", "06:00", "24:00", "2026-03-30T04:00:00Z", true),
            ("fri", "22:00", "02:00", "2026-03-28T00:30:00Z", true),
            ("fri", "22:00", "02:00", "2026-03-28T21:30:00Z", false),
            ("sat-mon", "00:00", "24:00", "2026-03-29T12:00:00Z", true),
            ("wed,fri", "00:00", "24:00", "2026-03-27T12:00:00Z", true),
            ("wed,sat", "00:00", "24:00", "2026-03-27T12:00:00Z", false),
        ] {
            assert_eq!(on_air(days, from, to, at), expected, "{days} {from}-{to} at {at}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "6:00", "24:01", "12:60", "-1:00", "aa:bb", "12:000"] {
            assert!(minute(text).is_err(), "{text}");
        }
        for text in ["", "mo", "mon-", "mon;tue", "daily"] {
            assert!(days(text).is_err(), "{text}");
        }
        assert!(zone("Europe/Atlantis").is_err());
    }
}
