//! The two-sided entries of the ledger: what may be posted, between which accounts and under which code.
//! It writes no ledger; sources, instants and ids belong to those who do.

use std::fmt;
use std::str::FromStr;

use crate::money::Money;

/// The most legs a posting may have. Ours have one; tax and fees add a few.
pub const LEGS_MAX: usize = 16;

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
    /// Credit of a redeemed voucher.
    Voucher,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 5] = [Self::Charge, Self::ManualCredit, Self::ManualDebit, Self::SignUpCredit, Self::Voucher];

    /// The text the ledger stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::ManualCredit => "manual_credit",
            Self::ManualDebit => "manual_debit",
            Self::SignUpCredit => "sign_up_credit",
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
    }
}
