//! Whether missed hours are charged by themselves or wait for a person.

use chrono::{DateTime, TimeDelta, Utc};

use crate::period::hour_floor;

/// What is to be done about the time that has not been charged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// No full hour is due.
    Nothing,
    /// All of it is charged, or as much of it as an operator has let through.
    Charge {
        /// The instant through which to charge; later than the cursor and not after the last full hour.
        through: DateTime<Utc>,
    },
    /// More was missed than the limit. None of it is charged until an operator has looked at it.
    Hold {
        /// Since when nothing has been charged.
        from: DateTime<Utc>,
        /// The last full hour.
        through: DateTime<Utc>,
    },
}

/// Decides about the time between the cursor, before which everything is charged, and the last full hour.
///
/// Up to `limit_hours` are charged in one go. Beyond that everything is held, and not only what exceeds the limit: a part that
/// was charged by itself would move the cursor, and the next part would no longer look missed. `approved` is the instant
/// through which an operator has let charging pass; what is missed is counted from there on. A clock that has jumped back
/// to before the cursor makes nothing due.
pub fn catch_up(
    cursor: DateTime<Utc>,
    approved: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    limit_hours: u32,
) -> CatchUp {
    let through = hour_floor(now);
    if through <= cursor {
        return CatchUp::Nothing;
    }
    let known = approved.map_or(cursor, |approved| approved.max(cursor));
    if through - known <= TimeDelta::hours(i64::from(limit_hours)) {
        CatchUp::Charge { through }
    } else if known > cursor {
        CatchUp::Charge { through: known }
    } else {
        CatchUp::Hold { from: cursor, through }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a written instant")
    }

    #[test]
    fn missed_hours_are_charged_up_to_the_limit_and_held_beyond() {
        let cursor = at("2026-11-20T12:00:00Z");
        let decide = |now, limit| catch_up(cursor, None, at(now), limit);

        assert_eq!(decide("2026-11-20T12:59:59Z", 48), CatchUp::Nothing);
        assert_eq!(decide("2026-11-20T11:00:00Z", 48), CatchUp::Nothing);
        assert_eq!(decide("2026-11-20T13:00:00Z", 48), CatchUp::Charge { through: at("2026-11-20T13:00:00Z") });
        assert_eq!(decide("2026-11-22T12:59:00Z", 48), CatchUp::Charge { through: at("2026-11-22T12:00:00Z") });
        assert_eq!(
            decide("2026-11-22T13:00:00Z", 48),
            CatchUp::Hold { from: cursor, through: at("2026-11-22T13:00:00Z") }
        );
    }

    #[test]
    fn an_approval_lets_through_what_the_operator_has_seen() {
        let (cursor, seen) = (at("2026-10-10T12:00:00Z"), at("2026-11-20T12:00:00Z"));

        let soon = catch_up(cursor, Some(seen), at("2026-11-20T15:30:00Z"), 48);
        assert_eq!(soon, CatchUp::Charge { through: at("2026-11-20T15:00:00Z") });
        let much_later = catch_up(cursor, Some(seen), at("2026-12-20T15:30:00Z"), 48);
        assert_eq!(much_later, CatchUp::Charge { through: seen });
        let then = catch_up(seen, Some(seen), at("2026-12-20T15:30:00Z"), 48);
        assert_eq!(then, CatchUp::Hold { from: seen, through: at("2026-12-20T15:00:00Z") });
    }
}
