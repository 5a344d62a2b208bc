//! Laws of numbers: nothing is lost between text, decimal and unit; a half goes to the even neighbour, once.

use billing::{Accrued, Money, Rate, round6};
use proptest::prelude::*;
use rust_decimal::{Decimal, RoundingStrategy};

const MONEY_LIMIT: i128 = 100_000_000_000_000_000_000;

proptest! {
    #[test]
    fn an_amount_survives_every_form(micros in 1 - MONEY_LIMIT..MONEY_LIMIT) {
        let amount = Money::from_micros(micros);

        prop_assert_eq!(Money::try_from(amount.to_decimal()), Ok(amount));
        prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        prop_assert_eq!(amount.to_string(), amount.to_decimal().to_string());
        prop_assert_eq!(round6(Accrued::worth(amount)), amount);
    }

    #[test]
    fn a_rate_survives_every_form(units in 0..MONEY_LIMIT) {
        let rate = Rate::try_from_units(units).expect("in range");

        prop_assert_eq!(Rate::try_from(rate.to_decimal()), Ok(rate));
        prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        prop_assert_eq!(rate.to_string(), rate.to_decimal().normalize().to_string());
    }

    #[test]
    fn an_accrued_sum_survives_every_form(units in -(1_i128 << 95)..1_i128 << 95) {
        let accrued = Accrued::from_units(units);
        let decimal = accrued.to_decimal().expect("in range");

        prop_assert_eq!(Accrued::try_from_decimal(decimal), Ok(accrued));
        prop_assert_eq!(accrued.to_string().parse(), Ok(accrued));
    }

    #[test]
    fn a_decimal_is_taken_exactly_or_refused(mantissa in -(1_i128 << 95)..1_i128 << 95, scale in 0_u32..=28) {
        let decimal = Decimal::from_i128_with_scale(mantissa, scale);

        match Money::try_from(decimal) {
            Ok(amount) => prop_assert_eq!(amount.to_decimal(), decimal),
            Err(_) => prop_assert!(
                decimal.normalize().scale() > 6 || decimal.abs().trunc() >= Decimal::from(100_000_000_000_000_i64)
            ),
        }
    }

    #[test]
    fn an_invoice_figure_agrees_with_another_implementation(micros in 1 - MONEY_LIMIT..MONEY_LIMIT, places in 0_u32..=6) {
        let amount = Money::from_micros(micros);

        prop_assert_eq!(
            amount.rounded_to(places),
            amount.to_decimal().round_dp_with_strategy(places, RoundingStrategy::MidpointNearestEven)
        );
    }

    #[test]
    fn the_rounding_is_nearest_and_even_at_the_half(micros in -1_000_000_000_i128..1_000_000_000, beside in -2_i128..=2) {
        let unit = Accrued::worth(Money::from_micros(1)).units();
        let half = micros * unit + unit / 2;

        let rounded = round6(Accrued::from_units(half + beside)).micros();

        let expected = match beside {
            0 if micros % 2 == 0 => micros,
            0 => micros + 1,
            below if below < 0 => micros,
            _ => micros + 1,
        };
        prop_assert_eq!(rounded, expected);
    }
}
