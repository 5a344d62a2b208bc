//! Laws of dunning: nobody is told the same twice, nothing is said that is not true, and nothing is deleted of which its owner
//! has not been told.

use billing::{Deletion, Exhaustion, Given, LAST_NOTICE_HOURS, Notice, Rescue, ZeroRules, notices_due};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use crate::draw;

const DAY_SECONDS: i64 = 86_400;

/// A look at a wallet: how much later than the last one, and how far ahead the end of the credit then is.
fn looks() -> impl Strategy<Value = Vec<(i64, Option<i64>)>> {
    let ahead =
        prop::option::weighted(0.9, prop_oneof![-DAY_SECONDS..10 * DAY_SECONDS, 0..2 * DAY_SECONDS, 0..7_200_i64]);
    prop::collection::vec((0..2 * DAY_SECONDS, ahead), 1..40)
}

/// A notice as its owner got it, and the end of the credit that was foreseen.
struct Sent {
    notice: Notice,
    at: DateTime<Utc>,
    end: DateTime<Utc>,
    /// How many of this kind had been withdrawn before.
    withdrawn_before: usize,
}

/// Lives through the looks, writing down what is decided as a caller does.
fn live(start: DateTime<Utc>, looks: &[(i64, Option<i64>)]) -> (Vec<Sent>, Vec<Given>) {
    let (mut now, mut given, mut sent) = (start, Vec::<Given>::new(), Vec::new());
    for (passed, ahead) in looks {
        now += TimeDelta::seconds(*passed);
        let end = ahead.map(|seconds| now + TimeDelta::seconds(seconds));
        let due = notices_due(&given, end, now);
        for notice in &due.withdraw {
            given.iter_mut().filter(|given| given.notice == *notice).for_each(|given| given.withdrawn = true);
        }
        if let Some((notice, end)) = due.send.zip(end) {
            let withdrawn_before = given.iter().filter(|given| given.notice == notice && given.withdrawn).count();
            sent.push(Sent { notice, at: now, end, withdrawn_before });
        }
        given.extend(due.send.iter().chain(&due.overtaken).map(|notice| Given {
            notice: *notice,
            at: now,
            withdrawn: false,
        }));
        assert_eq!(notices_due(&given, end, now).send, None, "a second look at the same instant sends nothing");
    }
    (sent, given)
}

fn rules() -> impl Strategy<Value = ZeroRules> {
    (0_u32..40, 0_u32..6, 0_u32..5).prop_map(|(grace_days, deletion_notices_min, rescue_hours)| ZeroRules {
        grace_days,
        deletion_notices_min,
        rescue_hours,
    })
}

proptest! {
    #[test]
    fn the_same_notice_is_never_given_twice_unless_it_was_withdrawn(start in draw::instant(), looks in looks()) {
        let (sent, given) = live(start, &looks);

        for notice in Notice::ALL {
            prop_assert!(given.iter().filter(|given| given.notice == notice && !given.withdrawn).count() <= 1);
            let mut last: Option<&Sent> = None;
            for this in sent.iter().filter(|sent| sent.notice == notice) {
                if let Some(last) = last {
                    prop_assert!(this.withdrawn_before > last.withdrawn_before);
                    prop_assert!(this.at - last.at >= notice.lead() / 4);
                }
                last = Some(this);
            }
        }
    }

    #[test]
    fn a_notice_that_is_sent_is_true_and_none_that_is_due_is_more_urgent(start in draw::instant(), looks in looks()) {
        let (sent, _) = live(start, &looks);

        for Sent { notice, at, end, .. } in sent {
            prop_assert!(at < end && end - at <= notice.lead());
            let more_urgent = Notice::ALL.into_iter().filter(|other| *other > notice);
            for other in more_urgent {
                prop_assert!(end - at > other.lead());
            }
        }
    }

    #[test]
    fn what_stands_is_exactly_what_the_outlook_says(start in draw::instant(), looks in looks(), ahead in 0..10 * DAY_SECONDS) {
        let (_, given) = live(start, &looks);
        let now = start + TimeDelta::days(100);
        let end = now + TimeDelta::seconds(ahead);

        let due = notices_due(&given, Some(end), now);

        for notice in Notice::ALL {
            let stood = given.iter().any(|given| given.notice == notice && !given.withdrawn);
            let stands = due.send == Some(notice)
                || due.overtaken.contains(&notice)
                || (stood && !due.withdraw.contains(&notice));
            prop_assert_eq!(stands, end - now <= notice.lead());
        }
    }

    #[test]
    fn a_caller_that_sleeps_until_the_next_look_misses_nothing(start in draw::instant(), ahead in 1..30 * DAY_SECONDS) {
        let end = start + TimeDelta::seconds(ahead);
        let (mut now, mut given, mut sent) = (start, Vec::new(), Vec::new());
        loop {
            let due = notices_due(&given, Some(end), now);
            let done = due.send.iter().chain(&due.overtaken);
            given.extend(done.map(|notice| Given { notice: *notice, at: now, withdrawn: false }));
            sent.extend(due.send.map(|notice| (notice, now)));
            match due.look_again_at {
                Some(next) => {
                    prop_assert!(next > now);
                    now = next;
                }
                None => break,
            }
        }

        // All that were still ahead come exactly at their lead; of those already due only the most urgent, at once.
        let ahead: Vec<_> = Notice::ALL.into_iter().filter(|notice| end - notice.lead() > start).collect();
        let at_once = Notice::ALL.into_iter().rev().find(|notice| end - notice.lead() <= start);
        let expected: Vec<_> = at_once
            .map(|notice| (notice, start))
            .into_iter()
            .chain(ahead.into_iter().map(|notice| (notice, end - notice.lead())))
            .collect();
        prop_assert_eq!(sent, expected);
    }

    #[test]
    fn nothing_is_deleted_without_grace_and_enough_delivered_notices(
        rules in rules(),
        exhausted_at in draw::instant(),
        rescued_after in prop::option::of(-DAY_SECONDS..40 * DAY_SECONDS),
        delivered_after in prop::collection::vec(-5 * DAY_SECONDS..50 * DAY_SECONDS, 0..8),
        after in 0..60 * DAY_SECONDS,
    ) {
        let instant = |seconds| exhausted_at + TimeDelta::seconds(seconds);
        let exhaustion = Exhaustion { at: exhausted_at, rescued_at: rescued_after.map(instant) };
        let delivered: Vec<_> = delivered_after.iter().copied().map(instant).collect();
        let now = instant(after);

        let decision = rules.deletion(&exhaustion, &delivered, now);

        let counted = delivered_after.iter().filter(|seconds| 0 < **seconds && **seconds <= after);
        let last = counted.clone().max().copied();
        let rescue_end = rescued_after.filter(|at| *at >= 0).map(|at| at + 3_600 * i64::from(rules.rescue_hours));
        let allowed = after >= DAY_SECONDS * i64::from(rules.grace_days)
            && counted.count() >= rules.deletion_notices_min.max(1) as usize
            && last.is_some_and(|last| after - last >= 3_600 * LAST_NOTICE_HOURS)
            && rescue_end.is_none_or(|end| after >= end);
        prop_assert_eq!(decision == Deletion::Allowed, allowed);
        if let Deletion::InGrace { until } | Deletion::InRescue { until } | Deletion::LastNoticeTooFresh { until } = decision {
            prop_assert!(now < until);
        }
        if allowed {
            let later = rules.deletion(&exhaustion, &delivered[..], now + TimeDelta::microseconds(1));
            prop_assert_eq!(later, Deletion::Allowed);
        }
    }

    #[test]
    fn notices_of_deletion_sent_as_planned_and_delivered_suffice_at_the_end_of_the_grace(
        rules in rules().prop_filter("a grace longer than a day", |rules| rules.grace_days > 1),
        exhausted_at in draw::instant(),
    ) {
        let planned = rules.deletion_notices_at(exhausted_at);
        let grace_end = rules.grace_ends_at(exhausted_at);
        // A delivery takes a moment, at the latest one a day before the end it must not.
        let delivered: Vec<_> = planned
            .iter()
            .map(|at| (*at + TimeDelta::minutes(5)).min(grace_end - TimeDelta::hours(LAST_NOTICE_HOURS)))
            .collect();

        prop_assert!(planned.is_sorted() && planned.iter().all(|at| exhausted_at <= *at && *at < grace_end));
        prop_assert_eq!(planned.len(), rules.deletion_notices_min.max(1) as usize);
        let exhaustion = Exhaustion { at: exhausted_at, rescued_at: None };
        prop_assert_eq!(rules.deletion(&exhaustion, &delivered, grace_end), Deletion::Allowed);
        for missing in 0..delivered.len() {
            let mut fewer = delivered.clone();
            fewer.remove(missing);
            prop_assert!(rules.deletion(&exhaustion, &fewer, grace_end) != Deletion::Allowed);
        }
    }

    #[test]
    fn rescue_time_is_granted_once_and_as_long_as_set(
        rules in rules(),
        exhausted_at in draw::instant(),
        asked in prop::collection::vec(0..40 * DAY_SECONDS, 1..6),
    ) {
        let mut exhaustion = Exhaustion { at: exhausted_at, rescued_at: None };
        let mut granted = 0;
        for seconds in asked {
            let now = exhausted_at + TimeDelta::seconds(seconds);
            if let Rescue::Until(end) = rules.rescue(&exhaustion, now) {
                prop_assert_eq!((end - now).num_hours(), i64::from(rules.rescue_hours));
                exhaustion.rescued_at = Some(now);
                granted += 1;
                prop_assert_eq!(rules.rescue_ends_at(&exhaustion), Some(end));
            }
        }
        prop_assert!(granted <= 1);
    }
}
