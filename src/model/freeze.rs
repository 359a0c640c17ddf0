//! When nothing comes into an environment: between two times of each week, or between two days.

use jiff::civil::{Date, DateTime, Time, Weekday};
use serde::{Deserialize, Serialize};

/// A time in which nothing comes in, where its zone's clocks are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// From when until when.
    pub span: Span,
    /// The name of the zone in the IANA database: `Europe/Paris`.
    pub zone: String,
}

/// From when until when; the end is the first moment that is free again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Span {
    /// From a time of the week until the next such other time.
    Weekly(WeekTime, WeekTime),
    /// Once.
    Once(DateTime, DateTime),
}

impl Span {
    /// Returns its two ends in words.
    pub fn words(&self) -> (String, String) {
        match self {
            Self::Weekly(from, to) => (from.to_string(), to.to_string()),
            Self::Once(from, to) => (from.to_string(), to.to_string()),
        }
    }
}

/// A time of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WeekTime {
    /// Days since Monday.
    pub day: i8,
    /// The time of that day.
    pub time: Time,
}

/// The days of the week as they are written, Monday first.
const DAYS: [(&str, &str); 7] = [
    ("mon", "monday"),
    ("tue", "tuesday"),
    ("wed", "wednesday"),
    ("thu", "thursday"),
    ("fri", "friday"),
    ("sat", "saturday"),
    ("sun", "sunday"),
];

/// An end of a span as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// `Fri 15:00`.
    OfWeek(WeekTime),
    /// `2026-12-20` or `2026-12-20 15:00`.
    Day(DateTime),
}

impl Moment {
    /// Returns what `text` means; `None` where it is no moment. A day without a time begins at its first moment.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, second) = text.split_once([' ', 'T']).map_or((text, None), |(first, second)| (first, Some(second)));
        let time = second.map_or(Some(Time::midnight()), clock)?;
        if let Ok(date) = first.parse::<Date>() {
            return Some(Self::Day(date.to_datetime(time)));
        }
        let name = first.to_ascii_lowercase();
        let day = DAYS.iter().position(|(short, long)| *short == name || *long == name)?;
        Some(Self::OfWeek(WeekTime { day: i8::try_from(day).ok()?, time }))
    }
}

/// Returns the time that `15:00` means.
fn clock(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?;
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

impl WeekTime {
    /// Returns the time of the week of a moment there.
    pub fn of(moment: DateTime) -> Self {
        Self { day: moment.weekday().to_monday_zero_offset(), time: moment.time() }
    }

    /// Returns the day of the week.
    pub fn weekday(self) -> Weekday {
        Weekday::from_monday_zero_offset(self.day).unwrap_or(Weekday::Monday)
    }
}

impl std::fmt::Display for WeekTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:02}:{:02}", self.weekday(), self.time.hour(), self.time.minute())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        let friday = WeekTime { day: 4, time: Time::constant(15, 0, 0, 0) };
        assert_eq!(Moment::parse("Fri 15:00"), Some(Moment::OfWeek(friday)));
        assert_eq!(Moment::parse("friday 15:00"), Some(Moment::OfWeek(friday)));
        assert_eq!(Moment::parse("Mon"), Some(Moment::OfWeek(WeekTime { day: 0, time: Time::midnight() })));
        assert_eq!(Moment::parse("2026-12-20"), Some(Moment::Day(Date::constant(2026, 12, 20).at(0, 0, 0, 0))));
        assert_eq!(Moment::parse("2026-12-20 07:30"), Some(Moment::Day(Date::constant(2026, 12, 20).at(7, 30, 0, 0))));
        for text in ["", "Fri 25:00", "Fri 1:00", "Fry 15:00", "2026-13-01", "2026-02-30", "Fri 15", "Fri 15:00 "] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
        assert_eq!(WeekTime::of(Date::constant(2026, 11, 29).at(9, 5, 0, 0)).to_string(), "Sunday 09:05");
    }
}
