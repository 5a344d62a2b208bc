//! The cloud-init options that have a notation of their own: addresses (`ipconfigN`) and SSH keys
//! (`sshkeys`). It neither sends them nor knows what a guest does with them.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::property_string::PropertyString;

/// The letters `encodeURIComponent` leaves alone. Proxmox refuses an `sshkeys` value with others.
const URI_COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The keys as the value of `sshkeys`: one per line, percent-encoded by the rules of
/// `encodeURIComponent` (a blank is `%20`, never `+`). The transport encodes the result again.
/// Blank lines and line ends inside are left out.
pub fn encode_ssh_keys<T: AsRef<str>>(keys: &[T]) -> String {
    let lines: Vec<&str> =
        keys.iter().flat_map(|key| key.as_ref().lines()).map(str::trim).filter(|line| !line.is_empty()).collect();
    utf8_percent_encode(&lines.join("\n"), URI_COMPONENT).to_string()
}

/// The keys of an `sshkeys` value as a configuration shows it: still percent-encoded once.
#[must_use]
pub fn decode_ssh_keys(value: &str) -> Vec<String> {
    percent_decode_str(value)
        .decode_utf8_lossy()
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(String::from)
        .collect()
}

/// The IPv4 side of a network interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv4Config {
    /// By DHCP.
    Dhcp,
    /// A fixed address with its prefix length (0 to 32).
    Fixed(Ipv4Addr, u8),
}

/// The IPv6 side of a network interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv6Config {
    /// By DHCPv6.
    Dhcp,
    /// By router advertisements (SLAAC).
    Auto,
    /// A fixed address with its prefix length (0 to 128).
    Fixed(Ipv6Addr, u8),
}

/// The value of an `ipconfigN` option: `ip=10.0.0.5/24,gw=10.0.0.1,ip6=…/64,gw6=…`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IpConfig {
    /// The IPv4 address.
    pub ip: Option<Ipv4Config>,
    /// The IPv4 gateway; Proxmox wants an address with it.
    pub gateway: Option<Ipv4Addr>,
    /// The IPv6 address.
    pub ip6: Option<Ipv6Config>,
    /// The IPv6 gateway; Proxmox wants an address with it.
    pub gateway6: Option<Ipv6Addr>,
}

/// The text is not an `ipconfigN` value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an address configuration: '{0}'")]
pub struct IpConfigError(String);

impl IpConfig {
    /// IPv4 by DHCP.
    #[must_use]
    pub fn dhcp() -> Self {
        Self { ip: Some(Ipv4Config::Dhcp), ..Self::default() }
    }

    /// A fixed IPv4 address with its prefix length and gateway.
    #[must_use]
    pub fn fixed(address: Ipv4Addr, prefix: u8, gateway: Ipv4Addr) -> Self {
        Self { ip: Some(Ipv4Config::Fixed(address, prefix)), gateway: Some(gateway), ..Self::default() }
    }
}

fn fixed<A: FromStr>(text: &str, longest_prefix: u8) -> Option<(A, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= longest_prefix)?;
    Some((address.parse().ok()?, prefix))
}

impl FromStr for IpConfig {
    type Err = IpConfigError;

    fn from_str(text: &str) -> Result<Self, IpConfigError> {
        let wrong = || IpConfigError(String::from(text));
        let properties = PropertyString::parse(text).map_err(|_| wrong())?;
        let mut config = Self::default();
        for (key, value) in properties.iter() {
            match key {
                "ip" if value == "dhcp" => config.ip = Some(Ipv4Config::Dhcp),
                "ip" => {
                    let (address, prefix) = fixed(value, 32).ok_or_else(wrong)?;
                    config.ip = Some(Ipv4Config::Fixed(address, prefix));
                }
                "ip6" if value == "dhcp" => config.ip6 = Some(Ipv6Config::Dhcp),
                "ip6" if value == "auto" => config.ip6 = Some(Ipv6Config::Auto),
                "ip6" => {
                    let (address, prefix) = fixed(value, 128).ok_or_else(wrong)?;
                    config.ip6 = Some(Ipv6Config::Fixed(address, prefix));
                }
                "gw" => config.gateway = Some(value.parse().map_err(|_| wrong())?),
                "gw6" => config.gateway6 = Some(value.parse().map_err(|_| wrong())?),
                _ => return Err(wrong()),
            }
        }
        Ok(config)
    }
}

impl fmt::Display for IpConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.ip.map(|ip| match ip {
                Ipv4Config::Dhcp => String::from("ip=dhcp"),
                Ipv4Config::Fixed(address, prefix) => format!("ip={address}/{prefix}"),
            }),
            self.gateway.map(|address| format!("gw={address}")),
            self.ip6.map(|ip| match ip {
                Ipv6Config::Dhcp => String::from("ip6=dhcp"),
                Ipv6Config::Auto => String::from("ip6=auto"),
                Ipv6Config::Fixed(address, prefix) => format!("ip6={address}/{prefix}"),
            }),
            self.gateway6.map(|address| format!("gw6={address}")),
        ];
        let present: Vec<String> = parts.into_iter().flatten().collect();
        formatter.write_str(&present.join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::proptest;

    use super::{IpConfig, Ipv6Config, decode_ssh_keys, encode_ssh_keys};

    #[test]
    fn keys_are_encoded_as_proxmox_shows_them() {
        assert_eq!(
            encode_ssh_keys(&["ssh-ed25519 AA+B/C= a b@c\n", "", "ssh-rsa X d'e\r\n"]),
            "ssh-ed25519%20AA%2BB%2FC%3D%20a%20b%40c%0Assh-rsa%20X%20d'e"
        );
    }

    #[test]
    fn addresses_round_trip() {
        for text in [
            "ip=192.0.2.50/24,gw=192.0.2.1",
            "ip=dhcp",
            "ip=192.0.2.5/32,ip6=2001:db8::5/64,gw6=2001:db8::1",
            "ip6=auto",
            "ip=dhcp,ip6=dhcp",
            "",
        ] {
            assert_eq!(text.parse::<IpConfig>().unwrap().to_string(), text);
        }
        let reordered: IpConfig = "gw=192.0.2.1,ip=192.0.2.50/24".parse().unwrap();
        assert_eq!(reordered.to_string(), "ip=192.0.2.50/24,gw=192.0.2.1");
        assert_eq!("ip6=auto".parse::<IpConfig>().unwrap().ip6, Some(Ipv6Config::Auto));
    }

    #[test]
    fn wrong_addresses_are_refused() {
        for text in ["ip=192.0.2.5", "ip=192.0.2.5/33", "ip=auto", "gw=x", "ip6=::1/129", "x=1", "ip"] {
            assert!(text.parse::<IpConfig>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn keys_survive_and_only_allowed_letters_are_sent(
            keys in vec("[a-z0-9-]{3,12} [A-Za-z0-9+/=]{1,30} [ -~äß€]{0,12}[a-z]", 0..4),
        ) {
            let encoded = encode_ssh_keys(&keys);
            assert!(encoded.chars().all(|letter| {
                letter.is_ascii_alphanumeric() || "-%_.!~*'()".contains(letter)
            }), "{encoded}");
            assert_eq!(decode_ssh_keys(&encoded), keys);
        }
    }
}
