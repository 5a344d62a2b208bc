//! Examples of rating, each small enough to be checked by hand. The laws that hold for all inputs are in `tests/laws`.

use super::*;
use chrono::TimeDelta;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a written instant")
}

fn money(text: &str) -> Money {
    text.parse().expect("a written amount")
}

fn rate(text: &str) -> Rate {
    text.parse().expect("a written rate")
}

fn piece(from: &str, minutes: i64, price: &str, cap: Option<&str>) -> Piece {
    Piece { from: at(from), to: at(from) + TimeDelta::minutes(minutes), rate: rate(price), cap: cap.map(money) }
}

fn month(text: &str) -> Month {
    text.parse().expect("a written month")
}

fn charges(state: &mut MeterState, pieces: &[Piece], zone: Tz) -> Vec<Charge> {
    let mut charges = Vec::new();
    rate_pieces(state, pieces, zone, |charge| charges.push(charge)).expect("ordered pieces");
    charges
}

fn amounts(charges: &[Charge]) -> Vec<String> {
    charges.iter().map(|charge| charge.amount.to_string()).collect()
}

#[test]
fn the_worked_example_costs_0_0052() {
    let mut state = MeterState::new(month("2026-11"));
    let pieces = [
        piece("2026-11-20T14:00:00Z", 20, "0.0083", Some("5.60")),
        piece("2026-11-20T14:20:00Z", 30, "0.0021", Some("5.60")),
        piece("2026-11-20T14:50:00Z", 10, "0.0083", Some("5.60")),
    ];

    let charges = charges(&mut state, &pieces, Tz::UTC);

    // 0.00276666… and 0.00381666… and 0.0052, each rounded once: the differences are what is charged.
    assert_eq!(amounts(&charges), ["0.002767", "0.001050", "0.001383"]);
    assert_eq!(charges.iter().map(|charge| charge.amount).sum::<Money>(), money("0.0052"));
    assert_eq!(state.accrued.to_string(), "18.72");
    assert_eq!(state.cap, Some(money("5.60")));
}

#[test]
fn a_piece_is_cut_at_full_hours() {
    let mut state = MeterState::new(month("2026-11"));

    let charges = charges(&mut state, &[piece("2026-11-20T14:45:00Z", 90, "1", None)], Tz::UTC);

    assert_eq!(amounts(&charges), ["0.250000", "1.000000", "0.250000"]);
    assert_eq!(charges[1].from, at("2026-11-20T15:00:00Z"));
    assert_eq!(charges[1].to, at("2026-11-20T16:00:00Z"));
    assert_eq!(charges[1].micros, 3_600_000_000);
    assert!(charges.iter().all(|charge| !charge.capped));
}

#[test]
fn a_new_month_begins_at_zero_in_the_platforms_zone() {
    let mut state =
        MeterState { month: month("2026-10"), accrued: Accrued::worth(money("5.60")), cap: Some(money("5.60")) };

    // In Kathmandu the month begins at 18:15 UTC.
    let charges = charges(&mut state, &[piece("2026-10-31T18:00:00Z", 60, "1", Some("5.60"))], Tz::Asia__Kathmandu);

    assert_eq!(amounts(&charges), ["0.000000", "0.750000"]);
    assert!(charges[0].capped && !charges[1].capped);
    assert_eq!(charges[1].from, at("2026-10-31T18:15:00Z"));
    assert_eq!(state.month, month("2026-11"));
    assert_eq!(state.accrued, Accrued::worth(money("0.75")));
}

#[test]
fn the_cap_cuts_inside_an_hour_and_the_rest_is_free() {
    let mut state = MeterState::new(month("2026-11"));

    let charges = charges(&mut state, &[piece("2026-11-20T14:00:00Z", 240, "1", Some("2.5"))], Tz::UTC);

    assert_eq!(amounts(&charges), ["1.000000", "1.000000", "0.500000", "0.000000"]);
    assert_eq!(charges.iter().map(|charge| charge.capped).collect::<Vec<_>>(), [false, false, true, true]);
}

#[test]
fn hours_above_the_cap_stay_free_after_a_resize() {
    let mut state = MeterState::new(month("2026-11"));
    let pieces = [
        piece("2026-11-20T10:00:00Z", 240, "1", Some("2")),
        piece("2026-11-20T14:00:00Z", 60, "3", Some("10")),
        piece("2026-11-20T15:00:00Z", 60, "1", Some("2")),
    ];

    let charges = charges(&mut state, &pieces, Tz::UTC);

    // Two hours above the small cap cost nothing, also when the larger plan makes room; and going back to the small plan
    // keeps the large plan's cap for the month.
    assert_eq!(amounts(&charges), ["1.000000", "1.000000", "0.000000", "0.000000", "3.000000", "1.000000"]);
    assert_eq!(state.cap, Some(money("10")));
}

#[test]
fn a_time_without_cap_makes_the_month_unlimited() {
    let mut state = MeterState::new(month("2026-11"));
    let pieces = [piece("2026-11-20T10:00:00Z", 60, "5", None), piece("2026-11-20T11:00:00Z", 60, "5", Some("2"))];

    let charges = charges(&mut state, &pieces, Tz::UTC);

    assert_eq!(amounts(&charges), ["5.000000", "5.000000"]);
    assert_eq!(state.cap, None);
}

#[test]
fn a_sum_above_its_cap_neither_grows_nor_pays_back() {
    let mut state =
        MeterState { accrued: Accrued::worth(money("7")), cap: Some(money("5")), ..MeterState::new(month("2026-11")) };

    let charges = charges(&mut state, &[piece("2026-11-20T10:00:00Z", 60, "1", Some("5"))], Tz::UTC);

    assert_eq!(amounts(&charges), ["0.000000"]);
    assert_eq!(state.accrued, Accrued::worth(money("7")));
}

#[test]
fn a_gap_between_pieces_costs_nothing() {
    let mut state = MeterState::new(month("2026-11"));
    let pieces = [piece("2026-11-20T10:00:00Z", 30, "1", None), piece("2026-11-22T10:00:00Z", 30, "1", None)];

    assert_eq!(amounts(&charges(&mut state, &pieces, Tz::UTC)), ["0.500000", "0.500000"]);
}

#[test]
fn a_sum_moves_over_years_at_once() {
    let old = MeterState { month: month("2020-02"), accrued: Accrued::worth(money("5")), cap: None };
    let mut state = old;
    let pieces = [piece("2020-02-10T10:00:00Z", 60 * 24 * 36_500, "1", Some("5.60"))];

    accrue_pieces(&mut state, &pieces, Tz::UTC).expect("a century is not too long");

    let (month, cap) = (month("2120-01"), money("5.60"));
    assert_eq!(state, MeterState { month, accrued: Accrued::worth(cap), cap: Some(cap) });
    let mut untouched = old;
    let early = [piece("2020-01-31T23:59:00Z", 2, "1", None)];
    assert_eq!(accrue_pieces(&mut untouched, &early, Tz::UTC), Err(RatingError::ClosedMonth));
    accrue_pieces(&mut untouched, &[piece("2020-12-20T10:00:00Z", 0, "1", None)], Tz::UTC).expect("an empty piece");
    assert_eq!(untouched, old);
}

#[test]
fn an_empty_piece_is_no_charge_and_brings_no_cap() {
    let mut state = MeterState::new(month("2026-11"));
    let before = state;

    assert_eq!(charges(&mut state, &[piece("2026-12-20T10:00:00Z", 0, "1", None)], Tz::UTC), []);
    assert_eq!(charges(&mut state, &[], Tz::UTC), []);
    assert_eq!(state, before);
}

#[test]
fn what_is_finer_than_a_microsecond_is_cut_off_once() {
    let mut state = MeterState::new(month("2026-11"));
    let middle = at("2026-11-20T10:00:00.000000999Z");
    let whole = piece("2026-11-20T10:00:00Z", 60, "3600", None);
    let pieces = [Piece { to: middle, ..whole }, Piece { from: middle, ..whole }];

    assert_eq!(amounts(&charges(&mut state, &pieces, Tz::UTC)), ["3600.000000"]);
}

#[test]
fn disorder_is_refused_before_anything_changes() {
    let good = piece("2026-11-20T10:00:00Z", 60, "1", None);
    let overlapping = piece("2026-11-20T10:59:00Z", 60, "1", None);
    let backwards = piece("2026-11-20T12:00:00Z", -1, "1", None);
    let closed = piece("2026-10-20T12:00:00Z", 60, "1", None);
    let endless = piece("2026-11-20T12:00:00Z", (WINDOW_HOURS_MAX + 1) * 60, "1", None);

    for (pieces, error) in [
        (vec![good, overlapping], RatingError::Overlap { piece: 1 }),
        (vec![good, good], RatingError::Overlap { piece: 1 }),
        (vec![good, backwards], RatingError::Backwards { piece: 1 }),
        (vec![closed, good], RatingError::ClosedMonth),
        (vec![good, endless], RatingError::TooLong),
    ] {
        let mut state = MeterState::new(month("2026-11"));
        let before = state;
        let mut called = false;

        let result = rate_pieces(&mut state, &pieces, Tz::UTC, |_| called = true);

        assert_eq!(result, Err(error));
        assert_eq!(state, before);
        assert!(!called);
    }
}

#[test]
fn the_dearest_meter_of_the_longest_window_is_still_exact() {
    let mut state = MeterState::new(month("2026-11"));
    let start = at("2026-11-01T00:00:00Z");
    let dearest =
        Piece { from: start, to: month("2026-12").start(Tz::UTC), rate: rate("9999999999.9999999999"), cap: None };

    let total: Money = charges(&mut state, &[dearest], Tz::UTC).iter().map(|charge| charge.amount).sum();

    // 720 hours of 10^10 less 10^-10 each: 7.2 × 10^12 less 7.2 × 10^-8, which rounds up to the whole.
    assert_eq!(total, money("7200000000000"));
}
