//! Calendar dates in UTC as Proxmox writes them into names and logs.

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Year, month, day of a number of seconds since the epoch.
pub(crate) fn civil(seconds: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01, in eras of 400 years.
    let days = seconds / DAY + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// `2024-01-31` with any separator.
pub(crate) fn date(seconds: u64, separator: &str) -> String {
    let (year, month, day) = civil(seconds);
    format!("{year:04}{separator}{month:02}{separator}{day:02}")
}

/// `12:00:00` with any separator.
pub(crate) fn time(seconds: u64, separator: &str) -> String {
    let rest = seconds % DAY;
    format!("{:02}{separator}{:02}{separator}{:02}", rest / 3_600, rest / 60 % 60, rest % 60)
}

/// `2024-01-31 12:00:00`, as logs begin their lines.
pub(crate) fn stamp(seconds: u64) -> String {
    format!("{} {}", date(seconds, "-"), time(seconds, ":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(stamp(0), "1970-01-01 00:00:00");
        assert_eq!(stamp(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(stamp(1_706_702_400), "2024-01-31 12:00:00");
        assert_eq!(date(1_735_689_599, "_"), "2024_12_31");
        assert_eq!(time(1_735_689_599, "_"), "23_59_59");
    }
}
