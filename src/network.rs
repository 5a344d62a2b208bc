//! Networks in CIDR notation, IPv4 and IPv6, and which addresses they hold.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network: the bits that all of its addresses begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It cannot be read.
    #[error("{0} is no network: write 203.0.113.0/24, 2001:db8::/32, or one address.")]
    Unreadable(String),
    /// Its address has bits behind its length: it holds more than one may think.
    #[error("{typed} has bits set behind its length: write {meant}, or a longer length.")]
    BitsBehind {
        /// As it was typed.
        typed: String,
        /// The network that has all these addresses.
        meant: Network,
    },
}

impl Network {
    /// The machine itself, over IPv4.
    pub const LOOPBACK_V4: Self = Self { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), length: 8 };
    /// The machine itself, over IPv6.
    pub const LOOPBACK_V6: Self = Self { address: IpAddr::V6(Ipv6Addr::LOCALHOST), length: 128 };

    /// Whether an address is in it. An IPv4 address that is written as IPv6 is the IPv4 address.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits() ^ other.to_bits()) & mask_v4(self.length) == 0,
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits() ^ other.to_bits()) & mask_v6(self.length) == 0,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// What one line of an access provider has: an IPv4 address, an IPv6 /64. Whoever is anywhere in it is one.
    #[must_use]
    pub fn of_one_line(address: IpAddr) -> Self {
        Self::around(address, 32, 64)
    }

    /// The network of so many bits that an address is in.
    #[must_use]
    pub fn around(address: IpAddr, bits_v4: u8, bits_v6: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let length = bits_v4.min(32);
                Self { address: IpAddr::V4((v4.to_bits() & mask_v4(length)).into()), length }
            }
            IpAddr::V6(v6) => {
                let length = bits_v6.min(128);
                Self { address: IpAddr::V6((v6.to_bits() & mask_v6(length)).into()), length }
            }
        }
    }
}

fn mask_v4(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

fn mask_v6(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(typed: &str) -> Result<Self, Self::Err> {
        let typed = typed.trim();
        let unreadable = || NetworkError::Unreadable(typed.chars().take(50).collect());
        let (address, length) = match typed.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (typed, None),
        };
        let address: IpAddr = address.parse().map_err(|_| unreadable())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => most,
            // `+8` and `08` are numbers to the standard library, and no lengths.
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0')) => {
                text.parse().ok().filter(|length| *length <= most).ok_or_else(unreadable)?
            }
            Some(_) => return Err(unreadable()),
        };
        let meant = match address {
            IpAddr::V4(_) => Self::around(address, length, 128),
            // An IPv4 address in the clothes of IPv6 would hold no address that is ever seen.
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => return Err(unreadable()),
            IpAddr::V6(_) => Self::around(address, 32, length),
        };
        if meant.address == address { Ok(meant) } else { Err(NetworkError::BitsBehind { typed: typed.into(), meant }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().holds(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        assert!(holds("203.0.113.0/24", "203.0.113.255") && !holds("203.0.113.0/24", "203.0.114.0"));
        assert!(holds("203.0.113.7", "203.0.113.7") && !holds("203.0.113.7", "203.0.113.6"));
        assert!(holds("203.0.113.0/24", "::ffff:203.0.113.9"), "IPv4 that came over IPv6");
        assert!(holds("2001:db8::/32", "2001:db8:ffff::1") && !holds("2001:db8::/32", "2001:db9::1"));
        assert!(holds("0.0.0.0/0", "255.1.2.3") && holds("::/0", "::1"));
        assert!(!holds("0.0.0.0/0", "::1") && !holds("::/0", "127.0.0.1"), "one family is not the other");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in [
            "",
            "nonsense",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0/8",
            "10.0.0.0/",
            "::ffff:10.0.0.0/104",
            "10.0.0.0/8/8",
            "localhost",
        ] {
            assert!(matches!(wrong.parse::<Network>(), Err(NetworkError::Unreadable(_))), "{wrong}");
        }
        let error = "10.1.2.3/8".parse::<Network>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "10.1.2.3/8 has bits set behind its length: write 10.0.0.0/8, or a longer length."
        );
    }
}
