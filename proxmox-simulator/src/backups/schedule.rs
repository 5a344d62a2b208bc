//! When a backup job would run next: the part of systemd's calendar events that Proxmox takes and people write.

/// Minutes of a day, and of the longest search: a year and a day.
const DAY: u64 = 24 * 60;
const SEARCH_DAYS_MAX: u64 = 367;
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Words for whole events.
const WORDS: &[(&str, &str)] =
    &[("minutely", "*:*"), ("hourly", "*:00"), ("daily", "00:00"), ("weekly", "mon 00:00"), ("monthly", "*-*-1 00:00")];

/// A calendar event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    weekdays: Vec<u64>,
    months: Vec<u64>,
    days: Vec<u64>,
    hours: Vec<u64>,
    minutes: Vec<u64>,
}

impl Event {
    /// Reads `sat 02:30`, `mon..fri 21:00`, `*/2:15`, `*-*-1 04:00`, `daily`; `30` alone is a minute of every hour.
    ///
    /// # Errors
    /// Proxmox's words for what is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let refused = || format!("unable to parse calendar event '{text}'");
        let lower = text.trim().to_ascii_lowercase();
        let event = WORDS.iter().find(|(word, _)| *word == lower).map_or(lower.as_str(), |(_, event)| *event);
        let mut found =
            Self { weekdays: all(0, 6), months: all(1, 12), days: all(1, 31), hours: vec![0], minutes: vec![0] };
        let mut parts = 0;
        for part in event.split_whitespace() {
            parts += 1;
            if part.starts_with(|first: char| first.is_ascii_alphabetic()) {
                found.weekdays = weekdays(part).ok_or_else(refused)?;
            } else if part.contains('-') {
                // The year, when one is given, may be any: a job that never ran has no past.
                let mut reversed = part.split('-').rev();
                found.days = reversed.next().and_then(|days| numbers(days, 1, 31)).ok_or_else(refused)?;
                found.months = reversed.next().and_then(|months| numbers(months, 1, 12)).ok_or_else(refused)?;
            } else {
                let (hours, minutes) = part.split_once(':').unwrap_or(("*", part));
                found.hours = numbers(hours, 0, 23).ok_or_else(refused)?;
                found.minutes = numbers(minutes.split(':').next().unwrap_or(minutes), 0, 59).ok_or_else(refused)?;
            }
        }
        if parts == 0 { Err(refused()) } else { Ok(found) }
    }

    /// The first time after `now`, both in seconds since the epoch (UTC). None when there is none within a year.
    pub(crate) fn next(&self, now: u64) -> Option<u64> {
        let first = now / 60 + 1;
        for day in first / DAY..first / DAY + SEARCH_DAYS_MAX {
            let (_, month, day_of_month) = crate::cluster::dates::civil(day * DAY * 60);
            // The epoch began on a Thursday.
            let fits = self.weekdays.contains(&((day + 3) % 7))
                && self.months.contains(&month)
                && self.days.contains(&day_of_month);
            if !fits {
                continue;
            }
            let times = self.hours.iter().flat_map(|hour| self.minutes.iter().map(move |minute| hour * 60 + minute));
            if let Some(time) = times.map(|time| day * DAY + time).find(|time| *time >= first) {
                return Some(time * 60);
            }
        }
        None
    }
}

fn all(first: u64, last: u64) -> Vec<u64> {
    (first..=last).collect()
}

/// `*`, `5`, `1,3`, `1..5`, `*/15`, `0/15`.
fn numbers(text: &str, first: u64, last: u64) -> Option<Vec<u64>> {
    let mut found = Vec::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (from, to) = match range.split_once("..") {
            Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
            None if range == "*" => (first, last),
            None => {
                let from: u64 = range.parse().ok()?;
                (from, if part.contains('/') { last } else { from })
            }
        };
        if from < first || to > last || from > to {
            return None;
        }
        found.extend((from..=to).step_by(usize::try_from(step).ok()?));
    }
    found.sort_unstable();
    found.dedup();
    Some(found)
}

/// `sat`, `mon,wed`, `mon..fri`; longer names count by their first three letters.
fn weekdays(text: &str) -> Option<Vec<u64>> {
    let number =
        |name: &str| WEEKDAYS.iter().zip(0u64..).find(|(known, _)| name.starts_with(**known)).map(|(_, day)| day);
    let mut found = Vec::new();
    for part in text.split(',') {
        match part.split_once("..") {
            Some((from, to)) => found.extend(number(from)?..=number(to)?),
            None => found.push(number(part)?),
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::dates::stamp;

    #[test]
    fn the_next_run_is_the_first_that_fits() {
        // A Wednesday, 12:00.
        let now = 1_706_702_400;
        for (event, next) in [
            ("21:00", "2024-01-31 21:00:00"),
            ("11:30", "2024-02-01 11:30:00"),
            ("12:00", "2024-02-01 12:00:00"),
            ("daily", "2024-02-01 00:00:00"),
            ("hourly", "2024-01-31 13:00:00"),
            ("30", "2024-01-31 12:30:00"),
            ("*/30", "2024-01-31 12:30:00"),
            ("sat 02:30", "2024-02-03 02:30:00"),
            ("mon..tue 1:00", "2024-02-05 01:00:00"),
            ("weekly", "2024-02-05 00:00:00"),
            ("monthly", "2024-02-01 00:00:00"),
            ("*-*-29 3:00", "2024-02-29 03:00:00"),
            ("8..22/7:15", "2024-01-31 15:15:00"),
        ] {
            assert_eq!(Event::parse(event).unwrap().next(now).map(stamp).as_deref(), Some(next), "{event}");
        }
        for wrong in ["", "sometimes", "25:00", "mon 12:60", "*/0", "5..1:00"] {
            assert!(Event::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Event::parse("*-2-30 3:00").unwrap().next(now), None);
    }
}
