//! What kind of address one is: who may lead a call there.
//!
//! The lists are IANA's registries of special addresses, and the addresses at
//! which clouds tell every program of a machine its secrets. An IPv6 address that
//! carries one of IPv4 is as good as that one at best.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// On the internet.
    Public,
    /// Of this machine or of a private network: loopback, RFC 1918, carriers'
    /// networks, unique local addresses.
    Private,
    /// Anything else, which hardly a call is for: link-local, multicast,
    /// documentation, tests, tunnels into networks that are not public.
    Special,
    /// Where a cloud tells its machines their secrets.
    Metadata,
}

/// Where clouds tell their machines secrets, or take orders: AWS (also for
/// containers), Google, Azure, Alibaba, Oracle, OpenStack.
const METADATA: [IpAddr; 10] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
];

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

const PRIVATE_V4: [Ipv4Net; 5] = [
    v4(10, 0, 0, 8),
    v4(100, 64, 0, 10),
    v4(127, 0, 0, 8),
    v4(172, 16, 0, 12),
    v4(192, 168, 0, 16),
];

const SPECIAL_V4: [Ipv4Net; 10] = [
    // This network; Linux takes 0.0.0.0 for itself.
    v4(0, 0, 0, 8),
    // Link-local.
    v4(169, 254, 0, 16),
    // Protocol assignments, with DS-Lite.
    v4(192, 0, 0, 24),
    // Documentation.
    v4(192, 0, 2, 24),
    v4(198, 51, 100, 24),
    v4(203, 0, 113, 24),
    // Relays of 6to4.
    v4(192, 88, 99, 24),
    // Benchmarks.
    v4(198, 18, 0, 15),
    // Multicast.
    v4(224, 0, 0, 4),
    // For later use, and broadcast.
    v4(240, 0, 0, 4),
];

/// All of the internet.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);
const UNIQUE_LOCAL_V6: Ipv6Net = v6(0xfc00, 0, 0, 7);

/// Parts of it that are not the internet.
const SPECIAL_V6: [Ipv6Net; 5] = [
    // Benchmarks.
    v6(0x2001, 0x2, 0, 48),
    // Both generations of ORCHID: no addresses to send to.
    v6(0x2001, 0x10, 0, 28),
    v6(0x2001, 0x20, 0, 28),
    // Documentation.
    v6(0x2001, 0xdb8, 0, 32),
    v6(0x3fff, 0, 0, 20),
];

const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);
const TEREDO: Ipv6Net = v6(0x2001, 0, 0, 32);
const SIX_TO_FOUR: Ipv6Net = v6(0x2002, 0, 0, 16);

/// The address in its one form: an IPv4 address that is written as one of IPv6
/// (`::ffff:127.0.0.1`) is that of IPv4.
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// What kind of address one is.
pub fn kind_of(address: IpAddr) -> AddressKind {
    let address = canonical(address);
    if METADATA.contains(&address) {
        return AddressKind::Metadata;
    }
    match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => kind_of_v6(address),
    }
}

fn kind_of_v4(address: Ipv4Addr) -> AddressKind {
    let is_in = |networks: &[Ipv4Net]| networks.iter().any(|it| it.contains(&address));
    if is_in(&PRIVATE_V4) {
        AddressKind::Private
    } else if is_in(&SPECIAL_V4) {
        AddressKind::Special
    } else {
        AddressKind::Public
    }
}

fn kind_of_v6(address: Ipv6Addr) -> AddressKind {
    if address.is_loopback() || UNIQUE_LOCAL_V6.contains(&address) {
        return AddressKind::Private;
    }
    if let Some(carried) = carried(address) {
        // A tunnel to a public address is on the internet. What leads elsewhere
        // is no address that anyone means.
        let all_public = carried
            .into_iter()
            .flatten()
            .all(|it| kind_of(it.into()) == AddressKind::Public);
        return if all_public {
            AddressKind::Public
        } else {
            AddressKind::Special
        };
    }
    let is_special = SPECIAL_V6.iter().any(|it| it.contains(&address));
    if GLOBAL_V6.contains(&address) && !is_special {
        AddressKind::Public
    } else {
        AddressKind::Special
    }
}

/// The addresses of IPv4 to which one of IPv6 leads, if it is of a kind that
/// carries some.
fn carried(address: Ipv6Addr) -> Option<[Option<Ipv4Addr>; 2]> {
    let parts = address.segments();
    let at = |index: usize| {
        let [a, b] = parts[index].to_be_bytes();
        let [c, d] = parts[index + 1].to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    if NAT64.contains(&address) {
        return Some([Some(at(6)), None]);
    }
    if SIX_TO_FOUR.contains(&address) {
        return Some([Some(at(1)), None]);
    }
    if TEREDO.contains(&address) {
        // The server, and the client with its bits turned over (RFC 4380).
        let client = Ipv4Addr::from_bits(!at(6).to_bits());
        return Some([Some(at(2)), Some(client)]);
    }
    None
}

/// Whether a network is a single address.
pub(super) fn is_single(network: &IpNet) -> bool {
    network.prefix_len() == network.max_prefix_len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(text: &str) -> AddressKind {
        kind_of(text.parse().unwrap())
    }

    #[test]
    fn public_addresses() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            // Tunnels to public addresses.
            "64:ff9b::101:101",
            "2002:101:101::1",
            "2001:0:101:101::fefe:fefe",
        ] {
            assert_eq!(kind(text), AddressKind::Public, "{text}");
        }
    }

    #[test]
    fn private_addresses() {
        for text in [
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.0",
            "192.168.255.255",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::1",
            "fc00::",
            "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert_eq!(kind(text), AddressKind::Private, "{text}");
        }
    }

    #[test]
    fn special_addresses() {
        for text in [
            "0.0.0.0",
            "0.255.255.255",
            "169.254.0.1",
            "169.254.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.255",
            "192.88.99.1",
            "198.18.0.0",
            "198.19.255.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::ffff:0.0.0.0",
            "::",
            // The old form, also with a public one.
            "::127.0.0.1",
            "::1.1.1.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::",
            "2001:2::1",
            "2001:10::1",
            "2001:2f:ffff::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "2002:a9fe:a9fe::1",
            // The server is private, then the client.
            "2001:0:a00:1::fefe:fefe",
            "2001:0:101:101::80ff:fffe",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert_eq!(kind(text), AddressKind::Special, "{text}");
        }
    }

    #[test]
    fn addresses_of_metadata() {
        for text in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "100.100.100.200",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::a9fe:a9fe",
        ] {
            assert_eq!(kind(text), AddressKind::Metadata, "{text}");
        }
    }

    proptest! {
        /// Whatever carries an address of IPv4 leads no farther than it.
        #[test]
        fn no_form_of_an_address_is_more_public_than_it(bits: u32, rest: u64) {
            let inner = Ipv4Addr::from_bits(bits);
            let is_public = kind_of(inner.into()) == AddressKind::Public;
            let high = u128::from(bits);
            let forms = [
                (0x64_ff9b_u128 << 96) | high,
                (0x2002_u128 << 112) | (high << 80) | u128::from(rest),
                (0x2001_0000_u128 << 96) | (high << 64) | u128::from(rest),
                (0x2001_0000_u128 << 96) | (0x0101_0101 << 64) | (high ^ 0xffff_ffff),
                (0xffff_u128 << 32) | high,
            ];
            for form in forms {
                let form = IpAddr::from(Ipv6Addr::from_bits(form));
                prop_assert!(is_public || kind_of(form) != AddressKind::Public, "{form}");
            }
            // Compatible addresses are nobody's.
            let old = IpAddr::from(Ipv6Addr::from_bits(high));
            prop_assert!(kind_of(old) != AddressKind::Public, "{old}");
        }

        /// The standard library knows some of the kinds, too.
        #[test]
        fn what_the_library_calls_private_is_not_public(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let known = address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_broadcast()
                || address.is_documentation()
                || address.is_multicast()
                || address.is_unspecified();
            prop_assert!(!known || kind_of(address.into()) != AddressKind::Public);
        }
    }
}
