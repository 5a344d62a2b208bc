//! The two-sided entries of the ledger: what may be posted, between which accounts and under which code.
//! It writes no ledger; sources, instants and ids belong to those who do.

use std::fmt;
use std::str::FromStr;

use crate::money::Money;

/// The most legs a posting may have. Ours have one; tax and fees add a few.
pub const LEGS_MAX: usize = 16;

/// By which way customers pay. Its text is what the ledger stores and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Transfers to the platform's bank account.
    Bank,
    /// Stripe.
    Stripe,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 2] = [Self::Bank, Self::Stripe];

    /// The text the ledger stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bank => "bank",
            Self::Stripe => "stripe",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The text is none of the ledger's providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a provider of payments")]
pub struct UnknownProvider;

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, UnknownProvider> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == text).ok_or(UnknownProvider)
    }
}

/// An account of the ledger. `Wallet` is the type of a wallet's id.
///
/// A wallet holds what the platform owes the customer, so a credit raises it and a debit lowers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Account<Wallet> {
    /// The prepaid credit of an organisation.
    Wallet(Wallet),
    /// What customers have been charged.
    Revenue,
    /// What operators have given and taken by hand.
    ManualCredits,
    /// What has been given away, such as the credit at sign-up.
    Promotions,
    /// What a provider has of ours: customers have paid it there, and it comes to the bank later.
    PaymentClearing(Provider),
    /// What was given back of charges, as after an outage of ours. Revenue stays what was charged.
    Refunds,
    /// Tax that customers have paid, which is the state's.
    Tax,
    /// What customers owed and will never pay.
    WriteOff,
}

/// What a leg is for. Its text is what the ledger stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// Resources used.
    Charge,
    /// Credit given by an operator.
    ManualCredit,
    /// Credit taken back by an operator.
    ManualDebit,
    /// Credit given at sign-up.
    SignUpCredit,
    /// What a customer paid for his wallet.
    Payment,
    /// The tax he paid with it.
    PaymentTax,
    /// The tax that was contained in what he was charged, set apart when it is invoiced.
    InvoiceTax,
    /// What is given back: of a payment, or of charges.
    Refund,
    /// What the provider took back from us because the customer said so to his bank.
    Chargeback,
    /// A debt that is given up.
    WriteOff,
    /// Credit of a redeemed voucher.
    Voucher,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 11] = [
        Self::Charge,
        Self::ManualCredit,
        Self::ManualDebit,
        Self::SignUpCredit,
        Self::Payment,
        Self::PaymentTax,
        Self::InvoiceTax,
        Self::Refund,
        Self::Chargeback,
        Self::WriteOff,
        Self::Voucher,
    ];

    /// The text the ledger stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::ManualCredit => "manual_credit",
            Self::ManualDebit => "manual_debit",
            Self::SignUpCredit => "sign_up_credit",
            Self::Payment => "payment",
            Self::PaymentTax => "payment_tax",
            Self::InvoiceTax => "invoice_tax",
            Self::Refund => "refund",
            Self::Chargeback => "chargeback",
            Self::WriteOff => "write_off",
            Self::Voucher => "voucher",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The text is none of the ledger's codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a code of the ledger")]
pub struct UnknownCode;

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        Self::ALL.into_iter().find(|code| code.as_str() == text).ok_or(UnknownCode)
    }
}

/// An amount moved from one account to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg<Wallet> {
    /// The account the amount is taken from.
    pub debit: Account<Wallet>,
    /// The account the amount is given to.
    pub credit: Account<Wallet>,
    /// How much; more than zero.
    pub amount: Money,
    /// What for.
    pub code: Code,
}

/// Why legs cannot be posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostingError {
    /// There are no legs.
    #[error("a posting needs a leg")]
    Empty,
    /// There are more legs than [`LEGS_MAX`].
    #[error("a posting has at most {LEGS_MAX} legs")]
    TooManyLegs,
    /// An amount is zero or less. An hour that cost nothing has no posting.
    #[error("the amount must be more than zero")]
    NotPositive,
    /// An amount does not fit its column.
    #[error("the amount is out of range")]
    OutOfRange,
    /// A leg has the same account on both sides.
    #[error("a leg needs two different accounts")]
    SameAccount,
}

/// Legs that are posted together. Balanced by construction: each takes what it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting<Wallet> {
    legs: Vec<Leg<Wallet>>,
}

impl<Wallet: PartialEq> Posting<Wallet> {
    /// A posting of these legs.
    ///
    /// # Errors
    /// If there is no leg or too many, or one moves nothing, too much, or from an account to itself.
    pub fn new(legs: Vec<Leg<Wallet>>) -> Result<Self, PostingError> {
        if legs.is_empty() {
            return Err(PostingError::Empty);
        }
        if legs.len() > LEGS_MAX {
            return Err(PostingError::TooManyLegs);
        }
        for leg in &legs {
            if !leg.amount.is_positive() {
                return Err(PostingError::NotPositive);
            }
            if leg.amount > Money::MAX {
                return Err(PostingError::OutOfRange);
            }
            if leg.debit == leg.credit {
                return Err(PostingError::SameAccount);
            }
        }
        Ok(Self { legs })
    }

    /// What a wallet is charged for an hour, or up to its run-out.
    ///
    /// # Errors
    /// If the amount is not more than zero or out of range.
    pub fn charge(wallet: Wallet, amount: Money) -> Result<Self, PostingError> {
        Self::single(Account::Wallet(wallet), Account::Revenue, amount, Code::Charge)
    }

    /// Credit an operator gives to a wallet.
    ///
    /// # Errors
    /// If the amount is not more than zero or out of range.
    pub fn manual_credit(wallet: Wallet, amount: Money) -> Result<Self, PostingError> {
        let wallet = Account::Wallet(wallet);
        Self::single(Account::ManualCredits, wallet, amount, Code::ManualCredit)
    }

    /// Credit an operator takes from a wallet. Whether the wallet has it is for the caller to decide.
    ///
    /// # Errors
    /// If the amount is not more than zero or out of range.
    pub fn manual_debit(wallet: Wallet, amount: Money) -> Result<Self, PostingError> {
        let wallet = Account::Wallet(wallet);
        Self::single(wallet, Account::ManualCredits, amount, Code::ManualDebit)
    }

    /// Credit a wallet gets when its organisation signs up.
    ///
    /// # Errors
    /// If the amount is not more than zero or out of range.
    pub fn sign_up_credit(wallet: Wallet, amount: Money) -> Result<Self, PostingError> {
        let wallet = Account::Wallet(wallet);
        Self::single(Account::Promotions, wallet, amount, Code::SignUpCredit)
    }

    /// What a customer paid by a provider: the wallet gets the net amount, and each tax that was paid on top has its leg.
    ///
    /// # Errors
    /// If an amount is not more than zero or out of range, or there are more taxes than legs.
    pub fn payment(wallet: Wallet, provider: Provider, net: Money, taxes: &[Money]) -> Result<Self, PostingError> {
        let clearing = || Account::PaymentClearing(provider);
        let leg = |(credit, amount, code)| Leg { debit: clearing(), credit, amount, code };
        let tax = |amount: &Money| (Account::Tax, *amount, Code::PaymentTax);
        let payment = (Account::Wallet(wallet), net, Code::Payment);
        Self::new(std::iter::once(payment).chain(taxes.iter().map(tax)).map(leg).collect())
    }

    /// A payment, or a part of it, given back to the customer by its provider. A whole payment and its refund together have
    /// moved nothing. Whether the wallet still has it is for the caller to decide.
    ///
    /// # Errors
    /// As for [`Posting::payment`].
    pub fn refund(wallet: Wallet, provider: Provider, net: Money, taxes: &[Money]) -> Result<Self, PostingError> {
        Self::returned(wallet, provider, net, taxes, Code::Refund)
    }

    /// A payment, or a part of it, that the provider took back: as [`Posting::refund`], under its own code. The wallet may
    /// fall below zero.
    ///
    /// # Errors
    /// As for [`Posting::payment`].
    pub fn chargeback(wallet: Wallet, provider: Provider, net: Money, taxes: &[Money]) -> Result<Self, PostingError> {
        Self::returned(wallet, provider, net, taxes, Code::Chargeback)
    }

    fn returned(
        wallet: Wallet,
        provider: Provider,
        net: Money,
        taxes: &[Money],
        code: Code,
    ) -> Result<Self, PostingError> {
        let payment = Self::payment(wallet, provider, net, taxes)?;
        let back = |leg: Leg<Wallet>| Leg { debit: leg.credit, credit: leg.debit, amount: leg.amount, code };
        Self::new(payment.legs.into_iter().map(back).collect())
    }

    /// The tax that was contained in charges, taken out of revenue when they are invoiced. No wallet moves.
    ///
    /// # Errors
    /// If the amount is not more than zero or out of range.
    pub fn invoice_tax(amount: Money) -> Result<Self, PostingError> {
        Self::single(Account::Revenue, Account::Tax, amount, Code::InvoiceTax)
    }

    /// Charges given back to a wallet, as after an outage of ours.
    ///
    /// # Errors
    /// If the amount is not more than zero or out of range.
    pub fn refund_of_charges(wallet: Wallet, amount: Money) -> Result<Self, PostingError> {
        Self::single(Account::Refunds, Account::Wallet(wallet), amount, Code::Refund)
    }

    /// The debt of a wallet below zero that will never be paid. That the debt is as large is for the caller to see to.
    ///
    /// # Errors
    /// If the amount is not more than zero or out of range.
    pub fn write_off(wallet: Wallet, amount: Money) -> Result<Self, PostingError> {
        Self::single(Account::WriteOff, Account::Wallet(wallet), amount, Code::WriteOff)
    }

    /// Credit a wallet gets for a voucher.
    ///
    /// # Errors
    /// If the amount is not more than zero or out of range.
    pub fn voucher(wallet: Wallet, amount: Money) -> Result<Self, PostingError> {
        let wallet = Account::Wallet(wallet);
        Self::single(Account::Promotions, wallet, amount, Code::Voucher)
    }

    fn single(
        debit: Account<Wallet>,
        credit: Account<Wallet>,
        amount: Money,
        code: Code,
    ) -> Result<Self, PostingError> {
        Self::new(vec![Leg { debit, credit, amount, code }])
    }

    /// The legs, in order.
    pub fn legs(&self) -> &[Leg<Wallet>] {
        &self.legs
    }

    /// What the posting does to an account: its credits less its debits.
    pub fn net(&self, account: &Account<Wallet>) -> Money {
        self.legs
            .iter()
            .map(|leg| {
                if leg.credit == *account {
                    leg.amount
                } else if leg.debit == *account {
                    -leg.amount
                } else {
                    Money::ZERO
                }
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Money = Money::from_micros(1_000_000);

    #[test]
    fn each_posting_moves_its_amount_between_its_accounts() {
        let wallet = Account::Wallet(7);
        for (posting, wallet_net, other) in [
            (Posting::charge(7, ONE), -ONE, Account::Revenue),
            (Posting::manual_credit(7, ONE), ONE, Account::ManualCredits),
            (Posting::manual_debit(7, ONE), -ONE, Account::ManualCredits),
            (Posting::sign_up_credit(7, ONE), ONE, Account::Promotions),
            (Posting::payment(7, Provider::Stripe, ONE, &[]), ONE, Account::PaymentClearing(Provider::Stripe)),
            (Posting::refund_of_charges(7, ONE), ONE, Account::Refunds),
            (Posting::write_off(7, ONE), ONE, Account::WriteOff),
            (Posting::voucher(7, ONE), ONE, Account::Promotions),
        ] {
            let posting = posting.expect("a valid posting");
            assert_eq!(posting.net(&wallet), wallet_net);
            assert_eq!(posting.net(&other), -wallet_net);
            assert_eq!(posting.net(&Account::Wallet(8)), Money::ZERO);
            assert_eq!(posting.legs().len(), 1);
        }
    }

    #[test]
    fn a_payment_with_tax_takes_both_from_the_provider() {
        let tax = Money::from_micros(190_000);
        let payment = Posting::payment(7, Provider::Bank, ONE, &[tax]).expect("a valid payment");

        assert_eq!(payment.net(&Account::Wallet(7)), ONE);
        assert_eq!(payment.net(&Account::Tax), tax);
        assert_eq!(payment.net(&Account::PaymentClearing(Provider::Bank)), -(ONE + tax));
        assert_eq!(payment.net(&Account::PaymentClearing(Provider::Stripe)), Money::ZERO);
        let codes = |posting: Posting<_>| posting.legs().iter().map(|leg| leg.code).collect::<Vec<_>>();
        assert_eq!(codes(payment), [Code::Payment, Code::PaymentTax]);
        let back = [Posting::refund, Posting::chargeback].map(|back| back(7, Provider::Bank, ONE, &[tax]));
        assert_eq!(back.map(|back| codes(back.expect("valid"))), [[Code::Refund; 2], [Code::Chargeback; 2]]);
        assert_eq!(Posting::payment(7, Provider::Bank, ONE, &[Money::ZERO]), Err(PostingError::NotPositive));
    }

    #[test]
    fn what_moves_nothing_is_no_posting() {
        let leg = Leg { debit: Account::Wallet(7), credit: Account::Wallet(7), amount: ONE, code: Code::Charge };

        assert_eq!(Posting::<u8>::new(vec![]), Err(PostingError::Empty));
        assert_eq!(Posting::new(vec![leg]), Err(PostingError::SameAccount));
        assert_eq!(Posting::charge(7, Money::ZERO), Err(PostingError::NotPositive));
        assert_eq!(Posting::charge(7, -ONE), Err(PostingError::NotPositive));
        assert_eq!(Posting::charge(7, Money::MAX + ONE), Err(PostingError::OutOfRange));
        assert_eq!(Posting::new(vec![leg; LEGS_MAX + 1]), Err(PostingError::TooManyLegs));
    }

    #[test]
    fn a_code_is_written_and_read() {
        for code in Code::ALL {
            assert_eq!(code.to_string().parse(), Ok(code));
        }
        assert_eq!("Charge".parse::<Code>(), Err(UnknownCode));
        for provider in Provider::ALL {
            assert_eq!(provider.to_string().parse(), Ok(provider));
        }
        assert_eq!("Stripe".parse::<Provider>(), Err(UnknownProvider));
    }
}
