//! The arithmetic of shares: how a hundred points are split among versions, and
//! in which order, so that few connections move when the split changes.

use super::{DeploymentError, Share};
use crate::digest::Digest;

/// The points of an alias.
pub(super) const WHOLE: u32 = 100;

/// The share of connections at a point of 0 to 99, given shares with their
/// weights. A point past the last share gets the last one.
pub fn pick<T>(shares: impl IntoIterator<Item = (T, u32)>, point: u32) -> Option<T> {
    let mut end = 0;
    let mut last = None;
    for (share, weight) in shares {
        end += weight;
        last = Some(share);
        if point < end {
            break;
        }
    }
    last
}

/// All connections to one version.
pub(super) fn whole(version: Digest) -> Vec<Share> {
    vec![Share {
        version,
        weight: WHOLE,
    }]
}

/// Whether one of the shares is the version's.
pub(super) fn name(shares: &[Share], version: &Digest) -> bool {
    shares.iter().any(|share| share.version == *version)
}

/// Checks that the versions exist and are distinct, that no weight is 0, and
/// that the weights add up to 100.
pub(super) fn check(
    shares: &[Share],
    exists: impl Fn(&Digest) -> bool,
) -> Result<(), DeploymentError> {
    for (index, share) in shares.iter().enumerate() {
        if !exists(&share.version) {
            return Err(DeploymentError::NoVersion(share.version));
        }
        if name(&shares[..index], &share.version) {
            return Err(DeploymentError::ShareTwice(share.version));
        }
    }
    let sum: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
    if sum != u64::from(WHOLE) {
        return Err(DeploymentError::Sum(sum));
    }
    match shares.iter().find(|share| share.weight == 0) {
        Some(share) => Err(DeploymentError::Weight(share.weight)),
        None => Ok(()),
    }
}

/// The wanted shares in the order that moves the fewest connections: versions
/// that the alias already has keep their order, new ones follow.
pub(super) fn ordered(current: &[Share], wanted: &[Share]) -> Vec<Share> {
    let stay = current.iter().filter_map(|share| {
        wanted
            .iter()
            .find(|wanted| wanted.version == share.version)
            .copied()
    });
    let new = wanted
        .iter()
        .filter(|wanted| !name(current, &wanted.version));
    stay.chain(new.copied()).collect()
}

/// The shares when one version, new or not, gets a weight of 1 to 99: the
/// others share the rest in their old proportions, and one that would be left
/// with less than a point is dropped. `None` when there is no other version.
pub(super) fn with_weight(current: &[Share], version: Digest, weight: u32) -> Option<Vec<Share>> {
    let rest = WHOLE.checked_sub(weight)?;
    let others: u32 = current
        .iter()
        .filter(|share| share.version != version)
        .map(|share| share.weight)
        .sum();
    if others == 0 {
        return None;
    }
    let mut shares = current.to_vec();
    // How much rounding down took from each share, with the share's index.
    let mut remainders = Vec::new();
    let mut left = rest;
    for (index, share) in shares.iter_mut().enumerate() {
        if share.version == version {
            share.weight = weight;
        } else {
            let scaled = share.weight * rest;
            share.weight = scaled / others;
            left -= share.weight;
            remainders.push((scaled % others, index));
        }
    }
    // The largest remainders are rounded up; among equal ones, the first.
    remainders.sort_by_key(|(remainder, index)| (std::cmp::Reverse(*remainder), *index));
    for (_, index) in remainders {
        let up = left.min(1);
        shares[index].weight += up;
        left -= up;
    }
    if !name(&shares, &version) {
        shares.push(Share { version, weight });
    }
    shares.retain(|share| share.weight > 0);
    Some(shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> Digest {
        Digest::new([number; 32])
    }

    fn shares(weights: &[(u8, u32)]) -> Vec<Share> {
        weights
            .iter()
            .map(|(number, weight)| Share {
                version: digest(*number),
                weight: *weight,
            })
            .collect()
    }

    #[test]
    fn a_canary_takes_from_the_others_in_proportion() {
        let two = with_weight(&shares(&[(1, 100)]), digest(2), 10);
        assert_eq!(two, Some(shares(&[(1, 90), (2, 10)])));
        let three = with_weight(&shares(&[(1, 60), (2, 40)]), digest(3), 10);
        assert_eq!(three, Some(shares(&[(1, 54), (2, 36), (3, 10)])));
        // Rounding keeps the sum, and leaves no version with nothing.
        let odd = with_weight(&shares(&[(1, 34), (2, 33), (3, 33)]), digest(4), 50);
        assert_eq!(odd, Some(shares(&[(1, 17), (2, 17), (3, 16), (4, 50)])));
        let gone = with_weight(&shares(&[(1, 99), (2, 1)]), digest(3), 90);
        assert_eq!(gone, Some(shares(&[(1, 10), (3, 90)])));
        // A version that the alias already has stays in its place.
        let less = with_weight(&shares(&[(1, 50), (2, 50)]), digest(1), 20);
        assert_eq!(less, Some(shares(&[(1, 20), (2, 80)])));
        assert_eq!(with_weight(&shares(&[(1, 100)]), digest(1), 50), None);
        assert_eq!(with_weight(&[], digest(1), 50), None);
    }

    #[test]
    fn who_stays_keeps_the_order() {
        assert_eq!(
            ordered(
                &shares(&[(1, 60), (2, 30), (3, 10)]),
                &shares(&[(4, 10), (3, 50), (1, 40)])
            ),
            shares(&[(1, 40), (3, 50), (4, 10)])
        );
    }

    #[test]
    fn what_is_not_a_whole_is_said() {
        let known = |version: &Digest| *version != digest(9);
        assert_eq!(check(&shares(&[(1, 99), (2, 1)]), known), Ok(()));
        for (wrong, error) in [
            (shares(&[]), DeploymentError::Sum(0)),
            (shares(&[(1, 0)]), DeploymentError::Sum(0)),
            (shares(&[(1, 99)]), DeploymentError::Sum(99)),
            (shares(&[(1, 100), (2, 30)]), DeploymentError::Sum(130)),
            (shares(&[(1, 100), (2, 0)]), DeploymentError::Weight(0)),
            (
                shares(&[(1, u32::MAX), (2, 101)]),
                DeploymentError::Sum(u64::from(u32::MAX) + 101),
            ),
            (
                shares(&[(1, 50), (1, 50)]),
                DeploymentError::ShareTwice(digest(1)),
            ),
            (shares(&[(9, 100)]), DeploymentError::NoVersion(digest(9))),
        ] {
            assert_eq!(check(&wrong, known), Err(error));
        }
    }
}
