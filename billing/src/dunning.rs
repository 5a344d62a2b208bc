//! What a customer is told before and after his credit ends, and what may happen then: notices, grace, rescue, deletion.
//! Decisions from instants and numbers; who sends, counts and deletes is elsewhere.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

/// How old the last delivered notice must be before anything is deleted, in hours.
pub const LAST_NOTICE_HOURS: i64 = 24;

/// The most notices of deletion that are planned for one end of credit.
pub const DELETION_NOTICES_MAX: u32 = 100;

/// A withdrawn notice is not given again before this part of its lead has passed, so that an outlook which wavers around it
/// (a machine stopped and started) does not fill a mailbox. For a week's notice that is 42 hours.
const QUIET_PART: i32 = 4;

/// A notice that the credit ends soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Notice {
    /// Seven days before.
    SevenDays,
    /// Three days before.
    ThreeDays,
    /// 24 hours before.
    OneDay,
    /// One hour before.
    OneHour,
}

impl Notice {
    /// Every notice, the most urgent last.
    pub const ALL: [Self; 4] = [Self::SevenDays, Self::ThreeDays, Self::OneDay, Self::OneHour];

    /// How long before the end of the credit it is due.
    pub const fn lead(self) -> TimeDelta {
        match self {
            Self::SevenDays => TimeDelta::days(7),
            Self::ThreeDays => TimeDelta::days(3),
            Self::OneDay => TimeDelta::days(1),
            Self::OneHour => TimeDelta::hours(1),
        }
    }

    /// How long after it was given the same notice is not given again, even if it was withdrawn in between.
    pub fn quiet(self) -> TimeDelta {
        self.lead() / QUIET_PART
    }

    /// The text that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SevenDays => "seven_days",
            Self::ThreeDays => "three_days",
            Self::OneDay => "one_day",
            Self::OneHour => "one_hour",
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The text is none of the notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a notice")]
pub struct UnknownNotice;

impl FromStr for Notice {
    type Err = UnknownNotice;

    fn from_str(text: &str) -> Result<Self, UnknownNotice> {
        Self::ALL.into_iter().find(|notice| notice.as_str() == text).ok_or(UnknownNotice)
    }
}

/// A notice that was given, or overtaken by a more urgent one, which counts the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Which one.
    pub notice: Notice,
    /// When.
    pub at: DateTime<Utc>,
    /// Whether it no longer stands, because the outlook has recovered beyond it.
    pub withdrawn: bool,
}

/// What to do about a wallet's notices now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticesDue {
    /// The one to send.
    pub send: Option<Notice>,
    /// Those that are due as well but say less than a more urgent one. They are written down as given and not sent.
    pub overtaken: Vec<Notice>,
    /// Those that stand and are no longer true.
    pub withdraw: Vec<Notice>,
    /// When the next one is due if the outlook stays as it is.
    pub look_again_at: Option<DateTime<Utc>>,
}

/// Decides which notices are due when the credit is foreseen to end at `runs_out_at` (`None`: not within the horizon).
///
/// Only the most urgent one that is due is sent; those in front of it count as overtaken. A notice stands until the outlook
/// has recovered beyond its lead; as long as it stands it is not given again, and after it was withdrawn not before a quarter
/// of its lead has passed since it was given. From the end of the credit on none is sent: then another message is true.
/// `given` holds what was given before in any order, at least the last of each kind.
pub fn notices_due(given: &[Given], runs_out_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> NoticesDue {
    let mut due = NoticesDue::default();
    let stands = |notice| given.iter().any(|given| given.notice == notice && !given.withdrawn);
    let quiet_until = |notice: Notice| {
        let last = given.iter().filter(|given| given.notice == notice).map(|given| given.at).max();
        last.map(|at| later(at, notice.quiet()))
    };

    let mut most_urgent = true;
    for notice in Notice::ALL.into_iter().rev() {
        let due_at = runs_out_at.map(|end| earlier(end, notice.lead()));
        if due_at.is_none_or(|due_at| now < due_at) {
            if stands(notice) {
                due.withdraw.push(notice);
            }
            let next = due_at.map(|due_at| due_at.max(quiet_until(notice).unwrap_or(due_at)));
            due.look_again_at = soonest(due.look_again_at, next);
            continue;
        }
        let over = runs_out_at.is_some_and(|end| end <= now);
        let wait_until = quiet_until(notice).filter(|until| now < *until);
        if !stands(notice) {
            if over || !most_urgent {
                due.overtaken.push(notice);
            } else if wait_until.is_some() {
                due.look_again_at = soonest(due.look_again_at, wait_until);
            } else {
                due.send = Some(notice);
            }
        }
        most_urgent = false;
    }
    due
}

fn soonest(one: Option<DateTime<Utc>>, other: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// An instant so much later; the end of the calendar at the latest.
fn later(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    at.checked_add_signed(by).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// An instant so much earlier; the beginning of the calendar at the earliest.
fn earlier(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    at.checked_sub_signed(by).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// What an operator has set for the time after the credit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZeroRules {
    /// How long disks are kept, in days of 24 hours.
    pub grace_days: u32,
    /// How many notices must have been delivered before anything is deleted. Never fewer than one.
    pub deletion_notices_min: u32,
    /// How long machines may run once more on request, in hours. Zero switches it off.
    pub rescue_hours: u32,
}

/// One end of a wallet's credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhaustion {
    /// The instant at which the credit ended.
    pub at: DateTime<Utc>,
    /// When rescue time was asked for. Before `at` it belongs to an earlier end and does not count.
    pub rescued_at: Option<DateTime<Utc>>,
}

/// Whether what an exhausted wallet has may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It may.
    Allowed,
    /// The grace is not over.
    InGrace {
        /// When it is.
        until: DateTime<Utc>,
    },
    /// It is running in its rescue time.
    InRescue {
        /// When that is over.
        until: DateTime<Utc>,
    },
    /// Too few notices have been delivered since the credit ended.
    TooFewNotices {
        /// How many have been.
        delivered: usize,
        /// How many there must be.
        needed: u32,
    },
    /// The last notice has been delivered less than [`LAST_NOTICE_HOURS`] ago.
    LastNoticeTooFresh {
        /// When it is old enough.
        until: DateTime<Utc>,
    },
}

/// Whether machines may run once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rescue {
    /// They may, up to this instant.
    Until(DateTime<Utc>),
    /// It has been asked for since the credit ended. Whoever asks again while it lasts gets no more of it.
    AlreadyTaken,
    /// There is none on this platform.
    SwitchedOff,
    /// The grace is over; what there is may be deleted at any moment.
    GraceOver,
}

impl ZeroRules {
    /// When the grace is over.
    pub fn grace_ends_at(&self, exhausted_at: DateTime<Utc>) -> DateTime<Utc> {
        later(exhausted_at, TimeDelta::days(i64::from(self.grace_days)))
    }

    /// When notices of deletion are to be sent: as many as must be delivered, the first when the credit ends, the last
    /// [`LAST_NOTICE_HOURS`] before the grace is over, the others evenly in between. A single one is the last. The answer is
    /// in order and never longer than [`DELETION_NOTICES_MAX`]. One that was not delivered has to be sent again.
    pub fn deletion_notices_at(&self, exhausted_at: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let count = self.notices_needed().min(DELETION_NOTICES_MAX);
        let last = earlier(self.grace_ends_at(exhausted_at), TimeDelta::hours(LAST_NOTICE_HOURS)).max(exhausted_at);
        let seconds = i128::from((last - exhausted_at).num_seconds());
        let after = |index: u32| {
            let part = seconds * i128::from(index) / i128::from(count - 1).max(1);
            i64::try_from(part).ok().and_then(TimeDelta::try_seconds).map_or(last, |by| later(exhausted_at, by))
        };
        (1..count).map(|index| after(index - 1)).chain([last]).collect()
    }

    /// Decides whether what an exhausted wallet has may be deleted: only after the grace, outside any rescue time, when enough
    /// notices have been delivered after the credit ended and the last of them is at least [`LAST_NOTICE_HOURS`] old.
    ///
    /// `delivered` holds the instants at which notices reached their recipient. What was delivered before the end of the
    /// credit, or is said to be delivered after `now`, does not count. Whether deletion is switched on is not asked here.
    pub fn deletion(&self, exhaustion: &Exhaustion, delivered: &[DateTime<Utc>], now: DateTime<Utc>) -> Deletion {
        let grace_end = self.grace_ends_at(exhaustion.at);
        if now < grace_end {
            return Deletion::InGrace { until: grace_end };
        }
        if let Some(until) = self.rescue_ends_at(exhaustion).filter(|until| now < *until) {
            return Deletion::InRescue { until };
        }
        let counted: Vec<_> = delivered.iter().filter(|at| exhaustion.at < **at && **at <= now).collect();
        let needed = self.notices_needed();
        match counted.iter().max() {
            Some(last) if counted.len() as u128 >= u128::from(needed) => {
                let until = later(**last, TimeDelta::hours(LAST_NOTICE_HOURS));
                if now < until { Deletion::LastNoticeTooFresh { until } } else { Deletion::Allowed }
            }
            _ => Deletion::TooFewNotices { delivered: counted.len(), needed },
        }
    }

    /// Decides whether a request for rescue time is granted: once for each end of the credit, within the grace. It may last
    /// beyond the grace; nothing is deleted meanwhile.
    pub fn rescue(&self, exhaustion: &Exhaustion, now: DateTime<Utc>) -> Rescue {
        if self.rescue_hours == 0 {
            Rescue::SwitchedOff
        } else if self.rescue_ends_at(exhaustion).is_some() {
            Rescue::AlreadyTaken
        } else if now >= self.grace_ends_at(exhaustion.at) {
            Rescue::GraceOver
        } else {
            Rescue::Until(later(now, TimeDelta::hours(i64::from(self.rescue_hours))))
        }
    }

    /// When the rescue time taken since the credit ended is over, if any was.
    pub fn rescue_ends_at(&self, exhaustion: &Exhaustion) -> Option<DateTime<Utc>> {
        let taken_at = exhaustion.rescued_at.filter(|at| *at >= exhaustion.at)?;
        Some(later(taken_at, TimeDelta::hours(i64::from(self.rescue_hours))))
    }

    fn notices_needed(&self) -> u32 {
        self.deletion_notices_min.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a written instant")
    }

    fn noon() -> DateTime<Utc> {
        at("2026-11-20T12:00:00Z")
    }

    fn given(notice: Notice, hours_ago: i64) -> Given {
        Given { notice, at: noon() - TimeDelta::hours(hours_ago), withdrawn: false }
    }

    fn in_hours(hours: i64) -> Option<DateTime<Utc>> {
        Some(noon() + TimeDelta::hours(hours))
    }

    const RULES: ZeroRules = ZeroRules { grace_days: 14, deletion_notices_min: 3, rescue_hours: 2 };

    #[test]
    fn a_notice_is_written_and_read() {
        for notice in Notice::ALL {
            assert_eq!(notice.to_string().parse(), Ok(notice));
        }
        assert_eq!("two_days".parse::<Notice>(), Err(UnknownNotice));
    }

    #[test]
    fn each_notice_is_due_at_its_lead_and_once() {
        let long = notices_due(&[], in_hours(200), noon());
        assert_eq!(long, NoticesDue { look_again_at: in_hours(200 - 168), ..NoticesDue::default() });

        let reached = notices_due(&[], in_hours(168), noon());
        assert_eq!(reached.send, Some(Notice::SevenDays));
        assert_eq!(reached.look_again_at, in_hours(168 - 72));

        let again = notices_due(&[given(Notice::SevenDays, 0)], in_hours(168), noon());
        assert_eq!(again, NoticesDue { look_again_at: in_hours(168 - 72), ..NoticesDue::default() });
    }

    #[test]
    fn a_jump_from_five_days_to_ten_hours_sends_only_the_most_urgent() {
        let due = notices_due(&[given(Notice::SevenDays, 48)], in_hours(10), noon());

        assert_eq!(due.send, Some(Notice::OneDay));
        assert_eq!(due.overtaken, [Notice::ThreeDays]);
        assert!(due.withdraw.is_empty());
        assert_eq!(due.look_again_at, in_hours(9));
    }

    #[test]
    fn a_recovery_withdraws_what_is_no_longer_true() {
        let all = [given(Notice::SevenDays, 48), given(Notice::ThreeDays, 20), given(Notice::OneDay, 1)];

        assert_eq!(notices_due(&all, in_hours(100), noon()).withdraw, [Notice::OneDay, Notice::ThreeDays]);
        let never = notices_due(&all, None, noon());
        assert_eq!(never.withdraw, [Notice::OneDay, Notice::ThreeDays, Notice::SevenDays]);
        assert_eq!(never.look_again_at, None);
    }

    #[test]
    fn a_wavering_outlook_is_told_again_only_after_a_quarter_of_the_lead() {
        let withdrawn = Given { withdrawn: true, ..given(Notice::SevenDays, 1) };
        let soon = notices_due(&[withdrawn], in_hours(160), noon());
        assert_eq!(soon, NoticesDue { look_again_at: in_hours(41), ..NoticesDue::default() });

        let old = Given { withdrawn: true, ..given(Notice::SevenDays, 42) };
        assert_eq!(notices_due(&[old], in_hours(160), noon()).send, Some(Notice::SevenDays));
    }

    #[test]
    fn after_the_end_no_notice_before_it_is_sent() {
        let due = notices_due(&[given(Notice::SevenDays, 48)], in_hours(0), noon());

        assert_eq!(due.send, None);
        assert_eq!(due.overtaken, [Notice::OneHour, Notice::OneDay, Notice::ThreeDays]);
        assert_eq!(due.look_again_at, None);
    }

    #[test]
    fn deletion_waits_for_grace_notices_and_a_last_day() {
        let exhaustion = Exhaustion { at: noon(), rescued_at: None };
        let grace_end = at("2026-12-04T12:00:00Z");
        let delivered = [at("2026-11-20T12:05:00Z"), at("2026-11-27T00:00:00Z"), at("2026-12-04T10:00:00Z")];

        assert_eq!(
            RULES.deletion(&exhaustion, &delivered, grace_end - TimeDelta::microseconds(1)),
            Deletion::InGrace { until: grace_end }
        );
        assert_eq!(
            RULES.deletion(&exhaustion, &delivered[..2], grace_end),
            Deletion::TooFewNotices { delivered: 2, needed: 3 }
        );
        let until = at("2026-12-05T10:00:00Z");
        assert_eq!(RULES.deletion(&exhaustion, &delivered, grace_end), Deletion::LastNoticeTooFresh { until });
        assert_eq!(RULES.deletion(&exhaustion, &delivered, until), Deletion::Allowed);
    }

    #[test]
    fn what_was_delivered_before_the_end_says_nothing_about_it() {
        let exhaustion = Exhaustion { at: noon(), rescued_at: None };
        let before = [noon() - TimeDelta::days(1), noon(), noon() + TimeDelta::days(60)];

        assert_eq!(
            ZeroRules { deletion_notices_min: 0, ..RULES }.deletion(&exhaustion, &before, noon() + TimeDelta::days(30)),
            Deletion::TooFewNotices { delivered: 0, needed: 1 }
        );
    }

    #[test]
    fn notices_of_deletion_are_spread_over_the_grace() {
        assert_eq!(RULES.deletion_notices_at(noon()), [noon(), at("2026-11-27T00:00:00Z"), at("2026-12-03T12:00:00Z")]);
        let one = ZeroRules { deletion_notices_min: 0, ..RULES };
        assert_eq!(one.deletion_notices_at(noon()), [at("2026-12-03T12:00:00Z")]);
        let short = ZeroRules { grace_days: 0, deletion_notices_min: 2, ..RULES };
        assert_eq!(short.deletion_notices_at(noon()), [noon(), noon()]);
    }

    #[test]
    fn rescue_is_granted_once_for_each_end_of_the_credit() {
        let mut exhaustion = Exhaustion { at: noon(), rescued_at: Some(noon() - TimeDelta::days(3)) };
        let asked = noon() + TimeDelta::hours(5);
        let until = asked + TimeDelta::hours(2);

        assert_eq!(RULES.rescue(&exhaustion, asked), Rescue::Until(until));
        exhaustion.rescued_at = Some(asked);
        assert_eq!(RULES.rescue(&exhaustion, asked + TimeDelta::days(1)), Rescue::AlreadyTaken);
        assert_eq!(RULES.rescue_ends_at(&exhaustion), Some(until));

        let fresh = Exhaustion { at: noon(), rescued_at: None };
        assert_eq!(RULES.rescue(&fresh, noon() + TimeDelta::days(14)), Rescue::GraceOver);
        assert_eq!(ZeroRules { rescue_hours: 0, ..RULES }.rescue(&fresh, asked), Rescue::SwitchedOff);
    }

    #[test]
    fn nothing_is_deleted_in_its_rescue_time() {
        let grace_end = RULES.grace_ends_at(noon());
        let exhaustion = Exhaustion { at: noon(), rescued_at: Some(grace_end - TimeDelta::hours(1)) };
        let delivered = [1, 2, 3].map(|days| noon() + TimeDelta::days(days));

        let until = grace_end + TimeDelta::hours(1);
        assert_eq!(RULES.deletion(&exhaustion, &delivered, grace_end), Deletion::InRescue { until });
        assert_eq!(RULES.deletion(&exhaustion, &delivered, until), Deletion::Allowed);
    }
}
