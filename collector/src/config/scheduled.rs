//! Maintenance that the lineup plans: once, from a moment to a moment, or in the same hours each week.

use std::time::Duration;

use jiff::Timestamp;
use tallylight_config::{Document, Table, value};
use tallylight_decide::maintenance::{Area, MAX_LENGTH};
use tallylight_model::{ChannelId, RegionId, ServerId, WindowId};

use super::{Hours, lineup::short};

/// Maintenance of one thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduled {
    /// Its name.
    pub id: WindowId,
    /// What is worked on.
    pub area: Area,
    /// What for.
    pub why: String,
    when: When,
}

#[derive(Clone, Debug, PartialEq)]
enum When {
    Once { begin: Timestamp, end: Timestamp },
    Weekly(Hours),
}

impl Scheduled {
    pub(super) fn read(document: &Document<'_>, mut table: Table<'_>) -> Option<Self> {
        let place = table.place();
        let id = table.required("id", value::parsed(WindowId::new));
        let server = table.optional("server", value::parsed(ServerId::new)).map(Area::Server);
        let region = table.optional("region", value::parsed(RegionId::new)).map(Area::Region);
        let channel = table.optional("channel", value::parsed(ChannelId::new)).map(Area::Channel);
        let why = table.required("why", value::parsed(short));
        let begin = table.optional("begin", value::parsed(moment));
        let end = table.optional("end", value::parsed(moment));
        let weekly = table.table("weekly").map(Hours::read);
        table.finish();
        let mut areas = [server, region, channel].into_iter().flatten();
        let (area, another) = (areas.next(), areas.next());
        if area.is_none() || another.is_some() {
            document.problem(&place, "write one of server, region or channel");
        }
        let when = match (begin, end, weekly) {
            (Some(begin), Some(end), None) => {
                let longest = Timestamp::saturating_add(begin, MAX_LENGTH);
                if begin >= end || longest.is_ok_and(|longest| end > longest) {
                    document.problem(&place, "ends before it begins, or is over 31 days long");
                }
                Some(When::Once { begin, end })
            }
            (None, None, Some(hours)) => hours.map(When::Weekly),
            _ => {
                document.problem(&place, "write begin and end, or [maintenance.weekly]");
                None
            }
        };
        Some(Self { id: id?, area: area?, why: why?, when: when? })
    }

    /// From when until when it is on, if it is at that moment, or will be.
    #[must_use]
    pub fn at(&self, at: Timestamp) -> Option<(Timestamp, Timestamp)> {
        match &self.when {
            When::Once { begin, end } => (at < *end).then_some((*begin, *end)),
            When::Weekly(hours) => hours.contain(at).then(|| (at, end_of(hours, at))),
        }
    }
}

/// When hours end that are on at that moment; a day later if they do not end by then.
fn end_of(hours: &Hours, at: Timestamp) -> Timestamp {
    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: usize = 24 * 60;
    let second = at.as_second();
    let next = Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(at);
    let minutes = std::iter::successors(Some(next), |it| it.checked_add(MINUTE).ok());
    let mut last = at;
    for minute in minutes.skip(1).take(DAY) {
        last = minute;
        if !hours.contain(minute) {
            break;
        }
    }
    last
}

fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| {
        "is not a moment; write it as RFC 3339 has it, as in \"2026-11-22T04:00:00Z\"".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use crate::config::parse_lineup;

    #[test]
    fn a_week_has_its_hours_and_a_date_comes_once() {
        let weekly =
            "weekly = { days = 'sun', from = '23:00', to = '01:30', zone = 'Europe/Berlin' }";
        let always = "weekly = { days = 'mon-sun', from = '00:00', to = '24:00', zone = 'UTC' }";
        let once = "begin = '2026-11-22T02:00:00Z'\nend = '2026-11-22T04:00:00Z'";
        // 2026-11-22 is a Sunday.
        for (when, at, expected) in [
            (weekly, "2026-11-22T21:59:59Z", None),
            (
                weekly,
                "2026-11-22T22:00:40Z",
                Some(("2026-11-22T22:00:40Z", "2026-11-23T00:30:00Z")),
            ),
            (weekly, "2026-11-23T00:30:00Z", None),
            (
                always,
                "2026-11-22T12:00:00Z",
                Some(("2026-11-22T12:00:00Z", "2026-11-23T12:00:00Z")),
            ),
            (once, "2026-11-01T00:00:00Z", Some(("2026-11-22T02:00:00Z", "2026-11-22T04:00:00Z"))),
            (once, "2026-11-22T04:00:00Z", None),
        ] {
            let text = format!(
                "[[region]]\nid = 'r'\n[[maintenance]]\nid = 'm'\nregion = 'r'\nwhy = 'x'\n{when}\n"
            );
            let file = parse_lineup("lineup.toml", &text).unwrap();
            let found = file.maintenance[0].at(at.parse().unwrap());
            let found = found.map(|(begin, end)| (begin.to_string(), end.to_string()));
            let expected = expected.map(|(begin, end)| (begin.to_owned(), end.to_owned()));
            assert_eq!(found, expected, "{when} at {at}");
        }
    }
}
