//! A set of addresses as sorted ranges: built once, then only asked.
//!
//! Networks are joined to ranges that do not touch, in two arrays: the first
//! address of each and the last. A look-up is a binary search in the first
//! array and one comparison. That was chosen over a prefix trie: a set only
//! says whether, not which network, so overlapping networks need not be kept
//! apart; it takes 8 bytes for each range of IPv4 where a trie takes a node of
//! 40 or more, and it is built by one sort.
//!
//! For IPv4 an index by the upper 16 bits leads to the few ranges that begin
//! with them, so that a look-up in millions reads about as many cache lines as
//! one in thousands.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// How many ranges there must be before the index, of 256 KiB, pays.
const INDEXED_MIN: usize = 1 << 14;

/// Addresses of both families. `::/0` is all of IPv6 and none of IPv4: a mapped
/// address counts as the IPv4 address that it is.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
    /// For each value of the upper 16 bits of an IPv4 address, how many ranges
    /// begin below them; empty if there are few.
    index: Box<[u32]>,
}

/// Collects networks for [`Addresses`].
#[derive(Debug, Default)]
pub(crate) struct Collected {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

#[derive(Clone, Debug)]
struct Ranges<T> {
    firsts: Box<[T]>,
    lasts: Box<[T]>,
}

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self {
            firsts: Box::default(),
            lasts: Box::default(),
        }
    }
}

impl<T: Ord + Copy> Ranges<T> {
    /// `is_next` says whether the second address comes right after the first.
    fn new(mut pairs: Vec<(T, T)>, is_next: impl Fn(T, T) -> bool) -> Self {
        pairs.sort_unstable();
        let mut kept: usize = 0;
        for index in 0..pairs.len() {
            let (first, last) = pairs[index];
            match kept.checked_sub(1).map(|before| pairs[before].1) {
                Some(end) if first <= end || is_next(end, first) => {
                    pairs[kept - 1].1 = end.max(last);
                }
                _ => {
                    pairs[kept] = (first, last);
                    kept += 1;
                }
            }
        }
        pairs.truncate(kept);
        Self {
            firsts: pairs.iter().map(|(first, _)| *first).collect(),
            lasts: pairs.iter().map(|(_, last)| *last).collect(),
        }
    }

    /// Whether one of the ranges from `from` to before `to`, or the one before
    /// them, has an address.
    fn contain(&self, address: T, from: usize, to: usize) -> bool {
        let firsts = self.firsts.get(from..to).unwrap_or_default();
        let after = from + firsts.partition_point(|first| *first <= address);
        after > 0 && address <= self.lasts[after - 1]
    }
}

// === impl Collected ===

impl Collected {
    /// How many networks there are.
    pub(crate) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    pub(crate) fn add(&mut self, network: IpNet) {
        match unmapped(network) {
            IpNet::V4(net) => {
                let pair = (net.network().to_bits(), net.broadcast().to_bits());
                self.v4.push(pair);
            }
            IpNet::V6(net) => {
                let pair = (net.network().to_bits(), net.broadcast().to_bits());
                self.v6.push(pair);
            }
        }
    }

    pub(crate) fn build(self) -> Addresses {
        let v4 = Ranges::new(self.v4, |end, first| end.checked_add(1) == Some(first));
        let v6 = Ranges::new(self.v6, |end, first| end.checked_add(1) == Some(first));
        let index = if v4.firsts.len() < INDEXED_MIN {
            Box::default()
        } else {
            let below = |upper: u64| v4.firsts.partition_point(|it| u64::from(*it) < upper << 16);
            // At most `NETWORKS_MAX` ranges.
            (0..=1 << 16)
                .map(|upper| u32::try_from(below(upper)).unwrap_or(u32::MAX))
                .collect()
        };
        Addresses { v4, v6, index }
    }
}

/// A network of IPv4-mapped addresses is the network of IPv4.
pub(crate) fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else {
        return network;
    };
    let length = mapped.prefix_len().checked_sub(96);
    let v4 = mapped.network().to_ipv4_mapped();
    let net = v4
        .zip(length)
        .map(|(address, length)| Ipv4Net::new(address, length));
    match net {
        Some(Ok(net)) => IpNet::V4(net),
        _ => network,
    }
}

// === impl Addresses ===

impl Addresses {
    /// Whether an address is among them.
    pub fn contain(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let bits = address.to_bits();
                let (from, to) = if self.index.is_empty() {
                    (0, self.v4.firsts.len())
                } else {
                    let upper = (bits >> 16) as usize;
                    (self.index[upper] as usize, self.index[upper + 1] as usize)
                };
                self.v4.contain(bits, from, to)
            }
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                self.v6.contain(bits, 0, self.v6.firsts.len())
            }
        }
    }

    /// How many ranges they were joined to.
    pub fn ranges(&self) -> usize {
        self.v4.firsts.len() + self.v6.firsts.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(networks: &[&str]) -> Addresses {
        let mut collected = Collected::default();
        for network in networks {
            collected.add(network.parse().unwrap());
        }
        collected.build()
    }

    #[test]
    fn networks_that_touch_are_one_range() {
        let all = addresses(&["10.0.0.0/25", "10.0.0.128/25", "10.0.0.7/32", "10.0.1.1/32"]);
        assert_eq!(all.ranges(), 2);
        for (address, expected) in [
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.0.0.255", true),
            ("10.0.1.0", false),
            ("10.0.1.1", true),
            ("::ffff:10.0.1.1", true),
            ("10.0.1.2", false),
            ("::a00:101", false),
        ] {
            assert_eq!(all.contain(address.parse().unwrap()), expected, "{address}");
        }
        assert!(!Addresses::default().contain("::1".parse().unwrap()));
    }

    #[test]
    fn the_ends_of_both_families() {
        let all = addresses(&["0.0.0.0/0"]);
        assert!(all.contain("255.255.255.255".parse().unwrap()));
        assert!(!all.contain("::1".parse().unwrap()));
        let all = addresses(&["::/0"]);
        assert!(all.contain("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap()));
        assert!(!all.contain("::ffff:10.0.0.1".parse().unwrap()));
        let ends = addresses(&["255.255.255.255/32", "0.0.0.0/32", "::/128"]);
        assert_eq!(ends.ranges(), 3);
        let mapped = addresses(&["::ffff:10.0.0.0/104"]);
        assert!(mapped.contain("10.9.9.9".parse().unwrap()));
        assert!(!mapped.contain("11.0.0.0".parse().unwrap()));
    }

    fn networks() -> impl Strategy<Value = Vec<IpNet>> {
        // Few bits differ, so that networks overlap and touch.
        let v4 = (0u32..64, 24u8..=32).prop_map(|(bits, length)| {
            let address = IpAddr::from((0x0a00_0000 + bits * 5).to_be_bytes());
            IpNet::new(address, length).unwrap().trunc()
        });
        let v6 = (0u128..64, 120u8..=128).prop_map(|(bits, length)| {
            let address = IpAddr::from(((0x2001_0db8 << 96) + bits * 5).to_be_bytes());
            IpNet::new(address, length).unwrap().trunc()
        });
        prop::collection::vec(prop_oneof![v4, v6], 0..24)
    }

    proptest! {
        #[test]
        fn an_address_is_there_if_a_network_has_it(
            networks in networks(),
            asked in prop::collection::vec((any::<bool>(), 0u32..600), 64),
        ) {
            let mut collected = Collected::default();
            networks.iter().for_each(|network| collected.add(*network));
            let all = collected.build();
            for (is_v4, bits) in asked {
                let address = if is_v4 {
                    IpAddr::from((0x09ff_ff80 + bits).to_be_bytes())
                } else {
                    IpAddr::from(((0x2001_0db8 << 96) + u128::from(bits)).to_be_bytes())
                };
                let expected = networks.iter().any(|network| network.contains(&address));
                prop_assert_eq!(all.contain(address), expected, "{}", address);
            }
        }
    }

    /// The index is only there in a large set: the same questions to both.
    #[test]
    fn a_large_set_answers_as_a_small_one() {
        let mut collected = Collected::default();
        let mut networks = Vec::new();
        // Networks of every length, some of which span many values of the index.
        for step in 0..40_000_u32 {
            let bits = step.wrapping_mul(2_654_435_761);
            let length = if step % 5_000 == 0 { 9 } else { 32 };
            let address = IpAddr::from(bits.to_be_bytes());
            networks.push(IpNet::new(address, length).unwrap().trunc());
        }
        networks.iter().for_each(|network| collected.add(*network));
        let all = collected.build();
        assert!(!all.index.is_empty());
        let mut plain = all.clone();
        plain.index = Box::default();
        for step in 0..200_000_u32 {
            let bits = step.wrapping_mul(40_503).rotate_left(7) ^ (step << 12);
            for address in [bits, networks_bits(&networks, step)] {
                let address = IpAddr::from(address.to_be_bytes());
                assert_eq!(all.contain(address), plain.contain(address), "{address}");
            }
        }
        for network in networks {
            assert!(all.contain(network.addr()) && all.contain(network.broadcast()));
        }
    }

    fn networks_bits(networks: &[IpNet], step: u32) -> u32 {
        match networks[step as usize % networks.len()] {
            IpNet::V4(net) => net.broadcast().to_bits().wrapping_add(1),
            IpNet::V6(_) => 0,
        }
    }
}
