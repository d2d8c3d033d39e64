//! What an operator asks for when they plan maintenance: read, and checked against what there is.

use jiff::Timestamp;
use serde::Deserialize;
use tallylight_decide::maintenance::{Area, MAX_AHEAD, MAX_LENGTH, MAX_WINDOWS, Plan, WindowState};
use tallylight_model::{ChannelId, RegionId, ServerId, WindowId};

use crate::view::View;

/// The longest reason, in bytes.
const MAX_WHY: usize = 200;

const BODY: &str = "write {\"id\": \"n1-disks\", \"server\": \"n1\", \"end\": \"2026-11-22T04:00:00Z\", \
                    \"why\": \"new disks\"}, with \"region\" or \"channel\" instead of \"server\", and \
                    \"begin\" if it is not to begin at once";

/// Maintenance as an operator asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    id: WindowId,
    area: Area,
    begin: Option<Timestamp>,
    end: Timestamp,
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    id: String,
    server: Option<String>,
    region: Option<String>,
    channel: Option<String>,
    begin: Option<String>,
    end: String,
    why: String,
}

/// Why an order cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It can never be.
    Wrong(&'static str),
    /// It cannot be beside what is there.
    Conflict(&'static str),
}

impl Order {
    /// Reads a request's body.
    ///
    /// # Errors
    /// Says what must be written instead.
    pub fn read(body: &[u8]) -> Result<Self, &'static str> {
        let raw: Raw = serde_json::from_slice(body).map_err(|_| BODY)?;
        let area = match (raw.server, raw.region, raw.channel) {
            (Some(id), None, None) => ServerId::new(&id).ok().map(Area::Server),
            (None, Some(id), None) => RegionId::new(&id).ok().map(Area::Region),
            (None, None, Some(id)) => ChannelId::new(&id).ok().map(Area::Channel),
            _ => return Err(BODY),
        };
        let why = raw.why;
        if why.trim().is_empty() || why.len() > MAX_WHY || why.chars().any(char::is_control) {
            return Err("why must be 1 to 200 bytes without control characters");
        }
        let id = WindowId::new(&raw.id)
            .map_err(|_| "id must be 1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first")?;
        let moment = |text: &str| {
            text.parse().map_err(|_| "begin and end are as RFC 3339 has it: 2026-11-22T04:00:00Z")
        };
        let begin = raw.begin.as_deref().map(moment).transpose()?;
        let end = moment(&raw.end)?;
        let area = area.ok_or("the server, region or channel is not an id")?;
        Ok(Self { id, area, begin, end, why })
    }

    /// Checks an order against what there is.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn check(self, view: &View<'_>, by: String) -> Result<Plan, Refused> {
        let calendar = view.calendar;
        let begin = self.begin.map_or(calendar.now, |at| calendar.moment(at)).max(calendar.now);
        let end = calendar.moment(self.end);
        let length = end.since(begin);
        if end <= begin {
            return Err(Refused::Wrong("it ends before it begins, or is over"));
        }
        if length > MAX_LENGTH || begin.since(calendar.now) > MAX_AHEAD {
            return Err(Refused::Wrong("at most 31 days long and 366 days ahead are allowed"));
        }
        if !self.area.is_listed(view.decider.lineup()) {
            return Err(Refused::Wrong("the lineup has no such server, region or channel"));
        }
        let standing =
            || view.decider.windows().filter(|it| it.state(calendar.now) != WindowState::Over);
        if standing().any(|it| it.plan.id == self.id) {
            return Err(Refused::Conflict(
                "one of that id is not over; end it, or take another id",
            ));
        }
        if standing().count() >= MAX_WINDOWS {
            return Err(Refused::Conflict("100 are planned or in force; end some first"));
        }
        Ok(Plan { id: self.id, area: self.area, begin, end, by: Some(by), why: self.why })
    }
}
