//! A set of addresses as sorted ranges: built once, then only asked.
//!
//! Networks are joined to ranges that do not touch, in two arrays: the first
//! address of each, and the last. Above the first addresses are samples of them,
//! every sixteenth, samples of those, and so on: a look-up compares one block of
//! sixteen in each level, which is a cache line for IPv4, and then one last
//! address. So two million networks cost two blocks more than a few thousand,
//! however they are spread.
//!
//! That was chosen over a prefix trie: a set only says whether, not which
//! network, so overlapping networks need not be kept apart; it takes 9 bytes for
//! each range of IPv4 and 34 for IPv6, where a trie takes a node of 40 or more;
//! and it is built by one sort.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// First addresses of a block.
const BLOCK: usize = 16;

/// Addresses of both families. `::/0` is all of IPv6 and none of IPv4: a mapped
/// address counts as the IPv4 address that it is.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
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
    /// The first address of each block of `firsts`, then that of each block of
    /// these, and so on; the last level is one block.
    samples: Vec<Box<[T]>>,
}

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self {
            firsts: Box::default(),
            lasts: Box::default(),
            samples: Vec::new(),
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
        let firsts: Box<[T]> = pairs.iter().map(|(first, _)| *first).collect();
        let mut samples: Vec<Box<[T]>> = Vec::new();
        loop {
            let below = samples.last().unwrap_or(&firsts);
            if below.len() <= BLOCK {
                break;
            }
            samples.push(below.iter().step_by(BLOCK).copied().collect());
        }
        Self {
            lasts: pairs.iter().map(|(_, last)| *last).collect(),
            firsts,
            samples,
        }
    }

    /// Whether one of the ranges has an address.
    fn contain(&self, address: T) -> bool {
        let levels = self.samples.iter().rev().chain([&self.firsts]);
        let mut block = 0;
        for level in levels {
            // The first addresses of this block that are not above the address.
            // The block's own first is not, if the level above led here.
            let begin = block * BLOCK;
            let end = level.len().min(begin + BLOCK);
            let below = level[begin..end].iter().filter(|it| **it <= address);
            match begin + below.count() {
                0 => return false,
                count => block = count - 1,
            }
        }
        self.lasts.get(block).is_some_and(|last| address <= *last)
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
        Addresses { v4, v6 }
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
            IpAddr::V4(address) => self.v4.contain(address.to_bits()),
            IpAddr::V6(address) => self.v6.contain(address.to_bits()),
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

    /// Sets of every number of levels, full and not, answer as a plain search.
    #[test]
    fn a_set_of_any_size_answers_as_a_plain_search() {
        let full = BLOCK * BLOCK * BLOCK;
        for count in (0..40).chain([255, 256, 257, full - 1, full, full + 1, 5 * full + 7]) {
            // Every third address begins a range of two.
            let first = |number: usize| u32::try_from(10 + 3 * number).unwrap();
            let pairs: Vec<_> = (0..count).map(|it| (first(it), first(it) + 1)).collect();
            let ranges = Ranges::new(pairs, |end, first| end + 1 == first);
            assert_eq!(ranges.firsts.len(), count);
            for address in 0..first(count) + 5 {
                let expected = address >= 10 && address < first(count) && address % 3 != 0;
                assert_eq!(ranges.contain(address), expected, "{address} of {count}");
            }
            assert!(!ranges.contain(u32::MAX));
        }
    }
}
