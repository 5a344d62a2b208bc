//! Laws of invoices: what is printed adds up to the digit, tax is rounded once for each rate, what is refunded mirrors what was
//! billed, and shares add up to the whole.

use billing::{CurrencyPlaces, Invoice, InvoiceLine, Money, Prices, TaxRate, allocate, credit_note, invoice};
use proptest::prelude::*;
use rust_decimal::{Decimal, RoundingStrategy};

fn places() -> impl Strategy<Value = CurrencyPlaces> {
    (0..=CurrencyPlaces::MAX).prop_map(|places| CurrencyPlaces::new(places).expect("at most four"))
}

fn prices() -> impl Strategy<Value = Prices> {
    prop::sample::select(vec![Prices::Exclusive, Prices::Inclusive])
}

/// A few rates, so that lines often share one, and any.
fn tax() -> impl Strategy<Value = TaxRate> {
    prop_oneof![4 => prop::sample::select(vec![0_u32, 55_000, 70_000, 190_000, 1_000_000]), 1 => 0_u32..=1_000_000]
        .prop_map(|units| TaxRate::try_from_units(units).expect("at most 100 percent"))
}

/// Amounts of which many lie exactly half-way between two cents.
fn amount() -> impl Strategy<Value = Money> {
    prop_oneof![
        3 => -50_000_000_i128..50_000_000,
        2 => (-1_000_i128..1_000).prop_map(|halves| halves * 5_000),
        1 => -20_000_i128..20_000,
        1 => -100_000_000_000_000_000_i128..100_000_000_000_000_000,
    ]
    .prop_map(Money::from_micros)
}

fn lines() -> impl Strategy<Value = Vec<InvoiceLine>> {
    prop::collection::vec((amount(), tax()).prop_map(|(amount, tax)| InvoiceLine { amount, tax }), 0..12)
}

fn sum<'amounts>(amounts: impl IntoIterator<Item = &'amounts Money>) -> Money {
    amounts.into_iter().copied().sum()
}

fn mirrored(invoice: &Invoice) -> Invoice {
    Invoice {
        lines: invoice.lines.iter().map(|line| -*line).collect(),
        groups: invoice
            .groups
            .iter()
            .map(|group| billing::TaxGroup {
                rate: group.rate,
                exact: -group.exact,
                rounding: -group.rounding,
                net: -group.net,
                tax: -group.tax,
                gross: -group.gross,
            })
            .collect(),
        exact: -invoice.exact,
        rounding: -invoice.rounding,
        net: -invoice.net,
        tax: -invoice.tax,
        total: -invoice.total,
    }
}

/// All figures of several documents, added up.
fn added(documents: &[Invoice]) -> Vec<Money> {
    let figures = |document: &Invoice| {
        let groups =
            document.groups.iter().flat_map(|group| [group.exact, group.rounding, group.net, group.tax, group.gross]);
        let totals = [document.exact, document.rounding, document.net, document.tax, document.total];
        document.lines.iter().copied().chain(groups).chain(totals).collect::<Vec<_>>()
    };
    let mut sums = figures(&documents[0]);
    for document in &documents[1..] {
        sums.iter_mut().zip(figures(document)).for_each(|(sum, figure)| *sum += figure);
    }
    sums
}

proptest! {
    #[test]
    fn lines_and_rounding_and_tax_are_the_total_to_the_digit(lines in lines(), prices in prices(), places in places()) {
        let invoice = invoice(&lines, prices, places).expect("few lines");

        let shown = sum(&invoice.lines) + invoice.rounding;
        match prices {
            Prices::Exclusive => {
                prop_assert_eq!(shown, invoice.net);
                prop_assert_eq!(shown + invoice.tax, invoice.total);
            }
            Prices::Inclusive => prop_assert_eq!(shown, invoice.total),
        }
        prop_assert_eq!(invoice.net + invoice.tax, invoice.total);
        prop_assert_eq!(invoice.exact, lines.iter().map(|line| line.amount).sum::<Money>());
        for group in &invoice.groups {
            let of_group: Money =
                lines.iter().zip(&invoice.lines).filter(|(line, _)| line.tax == group.rate).map(|(_, shown)| *shown).sum();
            let stated = if prices == Prices::Exclusive { group.net } else { group.gross };
            prop_assert_eq!(of_group + group.rounding, stated);
            prop_assert_eq!(group.net + group.tax, group.gross);
            // One rounding away from what was charged, however many lines there are.
            prop_assert!(2 * (stated - group.exact).micros().abs() <= places.unit().micros());
        }
        prop_assert_eq!(sum(invoice.groups.iter().map(|group| &group.gross)), invoice.total);
        prop_assert_eq!(sum(invoice.groups.iter().map(|group| &group.tax)), invoice.tax);
        for figure in invoice.lines.iter().chain([&invoice.rounding, &invoice.net, &invoice.tax, &invoice.total]) {
            prop_assert_eq!(figure.micros() % places.unit().micros(), 0);
        }
    }

    #[test]
    fn tax_is_rounded_half_to_even_once_for_each_rate(lines in lines(), places in places()) {
        let on_top = invoice(&lines, Prices::Exclusive, places).expect("few lines");
        let contained = invoice(&lines, Prices::Inclusive, places).expect("few lines");

        let mut rates: Vec<_> = lines.iter().map(|line| line.tax).collect();
        rates.sort_unstable();
        rates.dedup();
        prop_assert_eq!(on_top.groups.iter().map(|group| group.rate).collect::<Vec<_>>(), rates);
        for (group, inside) in on_top.groups.iter().zip(&contained.groups) {
            // The same by another implementation, which multiplies exactly.
            let rate = Decimal::from_i128_with_scale(i128::from(group.rate.units()), 6);
            let exact = group.net.to_decimal().normalize() * rate;
            let rounded = exact.round_dp_with_strategy(places.get(), RoundingStrategy::MidpointNearestEven);
            prop_assert_eq!(group.tax.to_decimal(), rounded);
            // A quotient is compared by multiplication: |tax × (1 + rate) − gross × rate| ≤ half a unit × (1 + rate).
            let whole = 1_000_000 + i128::from(inside.rate.units());
            let difference = inside.tax.micros() * whole - inside.gross.micros() * i128::from(inside.rate.units());
            let half = places.unit().micros() * whole;
            prop_assert!(2 * difference.abs() <= half);
            let even = inside.tax.micros() / places.unit().micros() % 2 == 0;
            prop_assert!(2 * difference.abs() < half || even);
        }
    }

    #[test]
    fn the_order_of_lines_changes_no_figure_but_their_order(
        (lines, shuffled) in lines().prop_flat_map(|lines| {
            let numbered: Vec<_> = lines.iter().copied().enumerate().collect();
            (Just(lines), Just(numbered).prop_shuffle())
        }),
        prices in prices(),
        places in places(),
    ) {
        let invoice = |lines: &[InvoiceLine]| invoice(lines, prices, places).expect("few lines");
        let given = invoice(&lines);
        let other = invoice(&shuffled.iter().map(|(_, line)| *line).collect::<Vec<_>>());

        prop_assert_eq!(&given.groups, &other.groups);
        prop_assert_eq!((given.total, given.rounding), (other.total, other.rounding));
        for ((index, _), line) in shuffled.iter().zip(&other.lines) {
            prop_assert_eq!(given.lines[*index], *line);
        }
    }

    #[test]
    fn a_refund_of_everything_mirrors_the_invoice(lines in lines(), prices in prices(), places in places()) {
        let billed = invoice(&lines, prices, places).expect("few lines");
        let negative: Vec<_> = lines.iter().map(|line| InvoiceLine { amount: -line.amount, ..*line }).collect();

        let note = credit_note(&lines, &vec![Money::ZERO; lines.len()], prices, places).expect("few lines");

        prop_assert_eq!(&note, &mirrored(&billed));
        prop_assert_eq!(&note, &invoice(&negative, prices, places).expect("few lines"));
    }

    #[test]
    fn refunds_in_any_number_of_parts_mirror_the_invoice(
        lines in lines(),
        keeps in prop::collection::vec(prop::collection::vec(0_i128..=1_000, 12), 0..4),
        prices in prices(),
        places in places(),
    ) {
        let mut documents = vec![invoice(&lines, prices, places).expect("few lines")];
        let mut left = lines.clone();
        let nothing = vec![0; 12];
        for thousandths in keeps.iter().chain([&nothing]) {
            let kept: Vec<_> = left
                .iter()
                .zip(thousandths)
                .map(|(line, part)| Money::from_micros(line.amount.micros() * part / 1_000))
                .collect();
            let note = credit_note(&left, &kept, prices, places).expect("few lines");
            prop_assert_eq!(note.net + note.tax, note.total);
            let shown = sum(&note.lines) + note.rounding;
            prop_assert_eq!(shown, if prices == Prices::Exclusive { note.net } else { note.total });
            documents.push(note);
            left.iter_mut().zip(kept).for_each(|(line, amount)| line.amount = amount);
        }

        prop_assert!(added(&documents).into_iter().all(Money::is_zero));
    }

    #[test]
    fn shares_add_up_to_the_whole_and_are_within_a_unit_of_their_part(
        units in -1_000_000_i128..1_000_000,
        weights in prop::collection::vec(prop_oneof![Just(0_i128), 1_i128..10, 1_i128..1_000_000_000], 1..20),
        places in places(),
    ) {
        let unit = places.unit().micros();
        let whole = Money::from_micros(units * unit);
        let total: i128 = weights.iter().sum();
        prop_assume!(total > 0);
        let money: Vec<_> = weights.iter().copied().map(Money::from_micros).collect();

        let shares = allocate(whole, &money, places).expect("small numbers");

        prop_assert_eq!(sum(&shares), whole);
        for (share, weight) in shares.iter().zip(&weights) {
            // |share − whole × weight / total| < one unit, without a division.
            let difference = share.micros() * total - whole.micros() * weight;
            prop_assert!(difference.abs() < unit * total);
            prop_assert_eq!(share.micros() % unit, 0);
            prop_assert!(*weight > 0 || share.is_zero());
        }
        for (one, other) in shares.iter().zip(&weights).zip(shares.iter().zip(&weights).skip(1)) {
            let ((share, weight), (next, other_weight)) = (one, other);
            prop_assert!(weight != other_weight || (*share - *next).micros().abs() <= unit, "equals get the same but for a unit");
        }
        let mirror = allocate(-whole, &money, places).expect("small numbers");
        prop_assert!(mirror.iter().zip(&shares).all(|(one, other)| *one == -*other));
    }
}
