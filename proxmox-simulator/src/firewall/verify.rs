//! Is a firewall rule one Proxmox would take? The same words when not.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{File, Rule};

/// Highest port.
const PORT_MAX: u32 = 65_535;
/// Protocols that have ports.
const WITH_PORTS: &[&str] = &["tcp", "udp", "udplite", "sctp", "dccp", "17", "6", "33", "132", "136"];
/// Protocols by name.
const PROTOCOLS: &[&str] = &[
    "tcp",
    "udp",
    "icmp",
    "igmp",
    "ggp",
    "ipencap",
    "st",
    "egp",
    "igp",
    "pup",
    "hmp",
    "xns-idp",
    "rdp",
    "iso-tp4",
    "dccp",
    "xtp",
    "ddp",
    "idpr-cmtp",
    "ipv6",
    "ipv6-route",
    "ipv6-frag",
    "idrp",
    "rsvp",
    "gre",
    "esp",
    "ah",
    "skip",
    "icmpv6",
    "ipv6-icmp",
    "ipv6-nonxt",
    "ipv6-opts",
    "vmtp",
    "eigrp",
    "ospf",
    "ax.25",
    "ipip",
    "etherip",
    "encap",
    "pim",
    "ipcomp",
    "vrrp",
    "l2tp",
    "isis",
    "sctp",
    "fc",
    "mobility-header",
    "udplite",
    "mpls-in-ip",
    "hip",
    "shim6",
    "wesp",
    "rohc",
];
/// Services rules may name instead of ports.
const SERVICES: &[&str] = &[
    "ssh",
    "http",
    "https",
    "domain",
    "smtp",
    "ftp",
    "ntp",
    "imap",
    "imaps",
    "pop3",
    "pop3s",
    "mysql",
    "postgresql",
    "telnet",
    "snmp",
    "ldap",
    "ldaps",
    "submission",
    "sip",
    "bgp",
    "nfs",
    "tftp",
    "syslog",
    "rsync",
];
/// Macros with what Proxmox says about them.
pub(super) const MACROS: &[(&str, &str)] = &[
    ("Amanda", "Amanda Backup"),
    ("Auth", "Auth (identd) traffic"),
    ("BGP", "Border Gateway Protocol traffic"),
    ("BitTorrent", "BitTorrent traffic for BitTorrent 3.1 and earlier"),
    ("Ceph", "Ceph Storage Cluster traffic (Ceph Monitors, OSD & MDS Daemons)"),
    ("DHCPfwd", "Forwarded DHCP traffic"),
    ("DHCPv6", "DHCPv6 traffic"),
    ("DNS", "Domain Name System traffic (upd and tcp)"),
    ("FTP", "File Transfer Protocol"),
    ("Git", "Git distributed revision control traffic"),
    ("HTTP", "Hypertext Transfer Protocol (WWW)"),
    ("HTTPS", "Hypertext Transfer Protocol (WWW) over SSL"),
    ("IMAP", "Internet Message Access Protocol"),
    ("IMAPS", "Internet Message Access Protocol over SSL"),
    ("LDAP", "Lightweight Directory Access Protocol traffic"),
    ("LDAPS", "Secure Lightweight Directory Access Protocol traffic"),
    ("MSSQL", "Microsoft SQL Server"),
    ("Mail", "Mail traffic (SMTP, SMTPS, Submission)"),
    ("MySQL", "MySQL server"),
    ("NTP", "Network Time Protocol (ntpd)"),
    ("NeighborDiscovery", "IPv6 neighbor solicitation, neighbor and router advertisement"),
    ("OpenVPN", "OpenVPN traffic"),
    ("POP3", "POP3 traffic"),
    ("POP3S", "Encrypted POP3 traffic"),
    ("Ping", "ICMP echo request"),
    ("PostgreSQL", "PostgreSQL server"),
    ("RDP", "Microsoft Remote Desktop Protocol traffic"),
    ("Rsync", "Rsync server"),
    ("SMB", "Microsoft SMB traffic"),
    ("SMTP", "Simple Mail Transfer Protocol"),
    ("SMTPS", "Encrypted Simple Mail Transfer Protocol"),
    ("SNMP", "Simple Network Management Protocol"),
    ("SSH", "Secure shell traffic"),
    ("Submission", "Mail message submission traffic"),
    ("Syslog", "Syslog protocol (RFC 5424) traffic"),
    ("TFTP", "Trivial File Transfer Protocol traffic"),
    ("Telnet", "Telnet traffic"),
    ("Trcrt", "Traceroute (for up to 30 hops) traffic"),
    ("VNC", "VNC traffic for VNC display's 0 - 99"),
    ("Web", "WWW traffic (HTTP and HTTPS)"),
    ("Webcache", "Web Cache/Proxy traffic (port 8080)"),
];

/// An address, or a network with its prefix.
pub(crate) fn is_cidr(text: &str) -> bool {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    prefix.is_none_or(|prefix| {
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        digits && prefix.parse::<u8>().is_ok_and(|prefix| prefix <= longest)
    })
}

/// Does it look like the name of an alias?
pub(crate) fn is_alias_name(text: &str) -> bool {
    let name = text.strip_prefix("dc/").or_else(|| text.strip_prefix("guest/")).unwrap_or(text);
    name.len() >= 2
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Ports, ranges and services, separated by commas.
pub(crate) fn check_ports(text: &str) -> Result<(), String> {
    let port = |text: &str| -> Result<u32, String> {
        let number = text.parse::<u32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        number.filter(|port| *port <= PORT_MAX).ok_or_else(|| format!("invalid port '{text}'"))
    };
    for item in text.split(',') {
        match item.split_once(':') {
            Some((first, last)) => {
                if port(first)? > port(last)? {
                    return Err(format!("backwards range '{item}' not allowed"));
                }
            }
            None if SERVICES.contains(&item) => {}
            None => drop(port(item)?),
        }
    }
    Ok(())
}

/// `tcp`, `udp`, … or a number.
pub(crate) fn check_protocol(text: &str) -> Result<(), String> {
    let number = text.parse::<u8>().is_ok();
    if number || PROTOCOLS.contains(&text) { Ok(()) } else { Err(format!("unknown protocol '{text}'")) }
}

/// Addresses, networks, ranges, an IP set or an alias.
pub(crate) fn check_addresses(text: &str) -> Result<(), String> {
    if text.starts_with('+') || is_alias_name(text) {
        return Ok(());
    }
    for item in text.split(',') {
        let valid = match item.split_once('-') {
            Some((first, last)) => first.parse::<IpAddr>().is_ok() && last.parse::<IpAddr>().is_ok(),
            None => is_cidr(item),
        };
        if !valid {
            return Err(format!("invalid IP address: {item}"));
        }
    }
    Ok(())
}

/// What a rule may name, of its own file and the cluster's.
pub(super) struct Names<'a> {
    pub(super) own: &'a File,
    pub(super) cluster: &'a File,
    pub(super) groups_allowed: bool,
    /// Interfaces are those of a guest.
    pub(super) of_guest: bool,
}

impl Names<'_> {
    fn knows_set(&self, name: &str) -> bool {
        match (name.strip_prefix("dc/"), name.strip_prefix("guest/")) {
            (Some(name), _) => self.cluster.sets.contains_key(name),
            (_, Some(name)) => self.own.sets.contains_key(name),
            _ => self.own.sets.contains_key(name) || self.cluster.sets.contains_key(name),
        }
    }

    /// Is there an alias of this name?
    pub(super) fn knows_alias(&self, name: &str) -> bool {
        let key = |name: &str| name.to_ascii_lowercase();
        match (name.strip_prefix("dc/"), name.strip_prefix("guest/")) {
            (Some(name), _) => self.cluster.aliases.contains_key(&key(name)),
            (_, Some(name)) => self.own.aliases.contains_key(&key(name)),
            _ => self.own.aliases.contains_key(&key(name)) || self.cluster.aliases.contains_key(&key(name)),
        }
    }
}

/// All that is wrong with a rule, by field.
pub(super) fn errors(rule: &Rule, names: &Names<'_>) -> BTreeMap<String, String> {
    let mut errors = BTreeMap::new();
    let mut add = |field: &str, text: String| {
        errors.entry(field.to_owned()).or_insert(text);
    };
    let field = |name: &str| rule.get(name).map(String::as_str);
    let action = field("action").unwrap_or_default();
    match field("type") {
        Some("group") if !names.groups_allowed => add("type", "security groups not allowed".to_owned()),
        Some("group") => {}
        _ if !matches!(action, "ACCEPT" | "DROP" | "REJECT") => add("action", format!("unknown action '{action}'")),
        _ => {}
    }
    if let Some(card) = field("iface").filter(|_| names.of_guest)
        && card.strip_prefix("net").is_none_or(|index| index.parse::<u8>().is_err())
    {
        add("iface", "value does not match the regex pattern 'net\\d+'".to_owned());
    }
    let macro_ = field("macro");
    if let Some(name) = macro_
        && !MACROS.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    {
        add("macro", format!("unknown macro '{name}'"));
    }
    for ports in ["dport", "sport"] {
        if field(ports).is_none() || macro_.is_some() {
            continue;
        }
        match field("proto") {
            None => add("proto", format!("missing property - '{ports}' requires this property")),
            Some(protocol) if !WITH_PORTS.contains(&protocol) && !protocol.starts_with("icmp") => {
                add(ports, format!("protocol '{protocol}' does not support ports"));
            }
            Some(_) => {}
        }
    }
    for place in ["source", "dest"] {
        let Some(text) = field(place) else { continue };
        if let Some(set) = text.strip_prefix('+') {
            if !names.knows_set(set) {
                add(place, format!("no such ipset '{set}'"));
            }
        } else if is_alias_name(text) && !names.knows_alias(text) {
            add(place, format!("no such alias '{text}'"));
        }
    }
    errors
}
