//! Laws of postings: whatever is posted, what some accounts give is what others get; what is given back was once paid.

use billing::{Account, Code, LEGS_MAX, Leg, Money, Posting, PostingError, Provider};
use proptest::prelude::*;

const WALLETS: u8 = 3;

fn provider() -> impl Strategy<Value = Provider> {
    prop::sample::select(Provider::ALL.as_slice())
}

/// Every account there is, with a few wallets.
fn accounts() -> Vec<Account<u8>> {
    let others = [
        Account::Revenue,
        Account::ManualCredits,
        Account::Promotions,
        Account::Refunds,
        Account::Tax,
        Account::WriteOff,
    ];
    let wallets = (0..WALLETS).map(Account::Wallet);
    let clearing = Provider::ALL.into_iter().map(Account::PaymentClearing);
    wallets.chain(clearing).chain(others).collect()
}

fn account() -> impl Strategy<Value = Account<u8>> {
    prop::sample::select(accounts())
}

fn amount() -> impl Strategy<Value = Money> {
    (1_i128..1_000_000_000_000).prop_map(Money::from_micros)
}

fn taxes() -> impl Strategy<Value = Vec<Money>> {
    prop::collection::vec(amount(), 0..LEGS_MAX - 1)
}

/// Everything the product can post.
fn posting() -> impl Strategy<Value = Posting<u8>> {
    let wallet = 0..WALLETS;
    prop_oneof![
        (wallet.clone(), amount(), 0..7_usize).prop_map(|(wallet, amount, which)| {
            let make = [
                Posting::charge,
                Posting::manual_credit,
                Posting::manual_debit,
                Posting::sign_up_credit,
                Posting::refund_of_charges,
                Posting::write_off,
                Posting::voucher,
            ];
            make[which](wallet, amount).expect("a valid posting")
        }),
        (wallet, provider(), amount(), taxes(), 0..3_usize).prop_map(|(wallet, provider, net, taxes, which)| {
            let make = [Posting::payment, Posting::refund, Posting::chargeback];
            make[which](wallet, provider, net, &taxes).expect("a valid posting")
        }),
    ]
}

fn total(posting: &Posting<u8>) -> Money {
    accounts().iter().map(|account| posting.net(account)).sum()
}

proptest! {
    #[test]
    fn any_legs_balance(legs in prop::collection::vec((account(), account(), amount()), 1..8)) {
        let legs: Vec<_> = legs
            .into_iter()
            .filter(|(debit, credit, _)| debit != credit)
            .map(|(debit, credit, amount)| Leg { debit, credit, amount, code: Code::Charge })
            .collect();
        prop_assume!(!legs.is_empty());

        prop_assert_eq!(total(&Posting::new(legs).expect("valid legs")), Money::ZERO);
    }

    #[test]
    fn what_the_product_posts_balances_and_concerns_one_wallet(posting in posting()) {
        prop_assert_eq!(total(&posting), Money::ZERO);
        let moved = (0..WALLETS).filter(|wallet| posting.net(&Account::Wallet(*wallet)) != Money::ZERO).count();
        prop_assert_eq!(moved, 1);
        prop_assert!(posting.legs().len() <= LEGS_MAX);
        prop_assert!(posting.legs().iter().all(|leg| leg.amount.is_positive()));
        // A posting of the product is made of legs that may be posted.
        prop_assert_eq!(Posting::new(posting.legs().to_vec()), Ok(posting));
    }

    #[test]
    fn a_payment_gives_what_was_paid_and_nothing_else(
        wallet in 0..WALLETS, provider in provider(), net in amount(), taxes in taxes(),
    ) {
        let payment = Posting::payment(wallet, provider, net, &taxes).expect("a valid payment");
        let tax: Money = taxes.iter().copied().sum();

        for account in accounts() {
            let expected = match account {
                Account::Wallet(other) if other == wallet => net,
                Account::Tax => tax,
                Account::PaymentClearing(other) if other == provider => -(net + tax),
                _ => Money::ZERO,
            };
            prop_assert_eq!(payment.net(&account), expected, "{:?}", account);
        }
    }

    #[test]
    fn what_is_given_back_mirrors_the_payment(
        wallet in 0..WALLETS, provider in provider(), net in amount(), taxes in taxes(),
    ) {
        let payment = Posting::payment(wallet, provider, net, &taxes).expect("a valid payment");

        for back in [Posting::refund, Posting::chargeback] {
            let back = back(wallet, provider, net, &taxes).expect("a valid posting");
            prop_assert_eq!(back.legs().len(), payment.legs().len());
            for (there, back) in payment.legs().iter().zip(back.legs()) {
                prop_assert_eq!((there.debit, there.credit, there.amount), (back.credit, back.debit, back.amount));
            }
            for account in accounts() {
                prop_assert_eq!(payment.net(&account) + back.net(&account), Money::ZERO);
            }
        }
    }

    #[test]
    fn too_many_taxes_are_refused(net in amount(), more in LEGS_MAX..LEGS_MAX + 4) {
        let taxes = vec![net; more];

        prop_assert_eq!(Posting::payment(0, Provider::Bank, net, &taxes), Err(PostingError::TooManyLegs));
    }
}
