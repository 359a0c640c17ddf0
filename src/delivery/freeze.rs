//! When nothing comes in: whether a moment lies in a freeze, and when that ends, by the clocks of its zone.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, ZonedDateTime};

use crate::model::freeze::{Freeze, Span, WeekTime};

/// Returns when the freeze in which `now` lies ends; `None` where it lies in none. Where two overlap, the later end counts.
///
/// # Errors
/// Where a zone is not known on this machine: then nobody can tell.
pub fn frozen_until(freezes: &[Freeze], now: Timestamp) -> Result<Option<ZonedDateTime>, jiff::Error> {
    let mut until: Option<ZonedDateTime> = None;
    for freeze in freezes {
        let end = end(freeze, now)?;
        if let Some(end) = end.filter(|end| until.as_ref().is_none_or(|until| end.timestamp() > until.timestamp())) {
            until = Some(end);
        }
    }
    Ok(until)
}

fn end(freeze: &Freeze, now: Timestamp) -> Result<Option<ZonedDateTime>, jiff::Error> {
    let zone = TimeZone::get(&freeze.zone)?;
    let (from, to) = match freeze.span {
        Span::Once(from, to) => (from, to),
        Span::Weekly(from, to) => {
            // The last beginning before now, and the first end after that.
            let begun = last_before(from, zone.to_datetime(now))?;
            (begun, first_after(to, begun)?)
        }
    };
    let (from, to) = (from.to_zoned_datetime(zone.clone())?, to.to_zoned_datetime(zone)?);
    Ok((from.timestamp() <= now && now < to.timestamp()).then_some(to))
}

/// Returns the last moment at this time of the week that is not after `moment`.
fn last_before(time: WeekTime, moment: DateTime) -> Result<DateTime, jiff::Error> {
    let days = (i32::from(WeekTime::of(moment).day) - i32::from(time.day)).rem_euclid(7);
    let found = moment.date().checked_sub(days.days())?.to_datetime(time.time);
    if found <= moment { Ok(found) } else { found.checked_sub(7.days()) }
}

/// Returns the first moment at this time of the week after `moment`.
fn first_after(time: WeekTime, moment: DateTime) -> Result<DateTime, jiff::Error> {
    let days = (i32::from(time.day) - i32::from(WeekTime::of(moment).day)).rem_euclid(7);
    let found = moment.date().checked_add(days.days())?.to_datetime(time.time);
    if found > moment { Ok(found) } else { found.checked_add(7.days()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::freeze::Moment;

    fn freeze(from: &str, to: &str, zone: &str) -> Freeze {
        let span = match (Moment::parse(from).unwrap(), Moment::parse(to).unwrap()) {
            (Moment::OfWeek(from), Moment::OfWeek(to)) => Span::Weekly(from, to),
            (Moment::Day(from), Moment::Day(to)) => Span::Once(from, to),
            _ => panic!("two forms"),
        };
        Freeze { span, zone: zone.to_owned() }
    }

    #[track_caller]
    fn until(freezes: &[Freeze], now: &str) -> Option<String> {
        frozen_until(freezes, now.parse().unwrap()).unwrap().map(|end| end.timestamp().to_string())
    }

    #[test]
    fn a_weekend_is_frozen_by_the_clocks_of_its_zone() {
        let weekend = [freeze("Fri 15:00", "Mon 08:00", "Europe/Paris")];
        // In winter Paris is an hour before UTC.
        assert_eq!(until(&weekend, "2026-11-27T13:59:59Z"), None);
        assert_eq!(until(&weekend, "2026-11-27T14:00:00Z").as_deref(), Some("2026-11-30T07:00:00Z"));
        assert_eq!(until(&weekend, "2026-11-30T06:59:59Z").as_deref(), Some("2026-11-30T07:00:00Z"));
        assert_eq!(until(&weekend, "2026-11-30T07:00:00Z"), None);
        // In summer two.
        assert_eq!(until(&weekend, "2026-07-03T12:59:59Z"), None);
        assert_eq!(until(&weekend, "2026-07-03T13:00:00Z").as_deref(), Some("2026-07-06T06:00:00Z"));
    }

    #[test]
    fn a_freeze_across_a_change_of_the_clocks_ends_by_the_new_ones() {
        let weekend = [freeze("Fri 15:00", "Mon 08:00", "Europe/Paris")];
        // The clocks go back on 2026-10-25, and forward on 2027-03-28.
        assert_eq!(until(&weekend, "2026-10-23T13:00:00Z").as_deref(), Some("2026-10-26T07:00:00Z"));
        assert_eq!(until(&weekend, "2026-10-26T06:30:00Z").as_deref(), Some("2026-10-26T07:00:00Z"));
        assert_eq!(until(&weekend, "2027-03-26T14:00:00Z").as_deref(), Some("2027-03-29T06:00:00Z"));
        assert_eq!(until(&weekend, "2027-03-29T06:00:00Z"), None);
        // A time that the clocks skip begins when they have skipped it; one that they show twice, the first time.
        let night = [freeze("Sun 02:30", "Sun 03:30", "Europe/Paris")];
        assert_eq!(until(&night, "2027-03-28T01:15:00Z"), None);
        assert_eq!(until(&night, "2026-10-25T00:30:00Z").as_deref(), Some("2026-10-25T02:30:00Z"));
    }

    #[test]
    fn a_holiday_is_frozen_once() {
        let both = [freeze("2026-12-20", "2027-01-03", "UTC"), freeze("Fri 15:00", "Mon 08:00", "UTC")];
        assert_eq!(until(&both, "2026-12-19T00:00:00Z").as_deref(), Some("2026-12-21T08:00:00Z"), "a Saturday");
        assert_eq!(until(&both, "2026-12-20T00:00:00Z").as_deref(), Some("2027-01-03T00:00:00Z"));
        assert_eq!(until(&both, "2027-01-02T23:59:59Z").as_deref(), Some("2027-01-04T08:00:00Z"), "the weekend ends later");
        assert_eq!(until(&both, "2027-01-05T00:00:00Z"), None);
    }

    #[test]
    fn a_freeze_within_one_day_is_one_of_each_week() {
        let noon = [freeze("Wed 12:00", "Wed 13:00", "UTC")];
        assert_eq!(until(&noon, "2026-11-25T12:30:00Z").as_deref(), Some("2026-11-25T13:00:00Z"));
        assert_eq!(until(&noon, "2026-11-25T13:00:00Z"), None);
        assert_eq!(until(&noon, "2026-11-26T12:30:00Z"), None);
        let all_but = [freeze("Wed 13:00", "Wed 12:00", "UTC")];
        assert_eq!(until(&all_but, "2026-11-25T12:30:00Z"), None);
        assert_eq!(until(&all_but, "2026-11-25T11:59:00Z").as_deref(), Some("2026-11-25T12:00:00Z"));
    }
}
