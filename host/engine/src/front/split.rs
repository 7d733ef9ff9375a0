//! Where an alias leads: to one version or to several by weight; and where open
//! connections go when it moves.

use std::sync::Arc;

use openline_core::affinity::Affinity;
use openline_core::auto_response::AutoResponse;
use openline_core::deployment::{self, Migration};
use openline_core::digest::Digest;
use openline_core::event::{NoValue, UpgradeRequest};
use openline_core::limits::FunctionLimits;
use sha2::{Digest as _, Sha256};

use crate::pool::version::Version;

/// Where an alias leads, and where it led.
#[derive(Debug)]
pub(super) struct Led {
    /// Where it leads now.
    pub(super) split: Arc<Split>,
    pub(super) followed: Followed,
}

/// The last split that open connections followed. A connection without an event
/// since then follows it at its next one, even if the alias has moved again
/// without its open connections.
#[derive(Debug, Default)]
pub(super) struct Followed {
    pub(super) generation: u64,
    /// The shares with their weights.
    pub(super) shares: Vec<(FollowedShare, u32)>,
}

/// Where connections at the points of one share follow.
#[derive(Debug)]
pub(super) struct FollowedShare {
    /// `None` if the version was removed.
    version: Option<Arc<Version>>,
    /// Versions to which the alias led since, instead of this one. Connections
    /// that are still with one of them stay: otherwise a rollback would move
    /// them to the version that it takes back.
    stay: Vec<Digest>,
}

/// Where a connection's next event goes.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) generation: u64,
    pub(super) version: Arc<Version>,
    /// Whether another version's instance that already serves the affinity
    /// value will do.
    pub(super) follows: bool,
}

/// Where an alias leads.
#[derive(Debug)]
pub struct Split {
    /// Versions with their weights, which add up to 100; empty before the first
    /// deploy. Changing a share at the end moves the fewest connections.
    pub shares: Vec<(Arc<Version>, u32)>,
    /// What happens to open connections when this split replaces another.
    pub migration: Migration,
    /// The limits of new connections.
    pub limits: Arc<FunctionLimits>,
    /// The part of a request whose value chooses version and instance.
    pub affinity: Option<Affinity>,
    /// The automatic responses of new connections.
    pub auto_responses: Arc<[AutoResponse]>,
}

impl Split {
    /// A split that gives all connections to one version, without automatic
    /// responses.
    pub fn to(version: Arc<Version>) -> Self {
        Self {
            migration: Migration::default(),
            limits: Arc::clone(version.limits()),
            affinity: version.policy().affinity.clone(),
            auto_responses: Arc::default(),
            shares: vec![(version, 100)],
        }
    }

    /// The version that connections at a point of 0 to 99 go to.
    pub fn pick(&self, point: u32) -> Option<&Arc<Version>> {
        let shares = self.shares.iter();
        deployment::pick(shares.map(|(version, weight)| (version, *weight)), point)
    }

    /// The affinity value of a connection, if the function has affinity.
    pub(super) fn key_of(&self, request: &UpgradeRequest) -> Result<Option<String>, NoValue> {
        let affinity = self.affinity.as_ref();
        affinity.map(|it| request.value_of(it)).transpose()
    }

    /// The version that an affinity value goes to.
    pub(super) fn pick_for(&self, key: &str) -> Option<&Arc<Version>> {
        self.pick(point_of(key))
    }

    pub(super) fn has(&self, version: &Arc<Version>) -> bool {
        let mut shares = self.shares.iter();
        shares.any(|(other, _)| Arc::ptr_eq(other, version))
    }

    /// Whether one of its versions has this digest.
    pub(super) fn serves(&self, digest: Digest) -> bool {
        let mut shares = self.shares.iter();
        shares.any(|(version, _)| version.digest() == digest)
    }

    /// Whether a connection of a version shares another version's instance that
    /// serves its affinity value. Of two connections that meet there at least
    /// one must, or each would end the other's instance. With `drain` only
    /// connections that are left behind do, so that the room moves to the new
    /// version.
    pub(super) fn follows(&self, version: &Arc<Version>, point: u32) -> bool {
        match self.migration {
            Migration::Migrate => false,
            Migration::Pin => true,
            Migration::Drain => self
                .pick(point)
                .is_none_or(|picked| !Arc::ptr_eq(picked, version)),
        }
    }
}

impl Led {
    /// Where a connection goes that has not followed yet; `None` if it stays
    /// with its version.
    pub(super) fn moved(&self, version: &Arc<Version>, point: u32) -> Option<&Arc<Version>> {
        let picked = self.split.pick(point);
        let shares = self.followed.shares.iter();
        let shares = shares.map(|(share, weight)| (share, *weight));
        let Some(share) = deployment::pick(shares, point) else {
            return picked;
        };
        if share.stay.contains(&version.digest()) {
            // The same component may have been loaded again meanwhile.
            return picked.filter(|picked| picked.digest() == version.digest());
        }
        share.version.as_ref().or(picked)
    }
}

impl Followed {
    /// Forgets removed versions.
    pub(super) fn retain(&mut self, keep: impl Fn(Digest) -> bool) {
        for (share, _) in &mut self.shares {
            share.version.take_if(|version| !keep(version.digest()));
            share.stay.retain(|digest| keep(*digest));
        }
    }

    pub(super) fn to(split: &Split, generation: u64) -> Self {
        let share = |(version, weight): &(Arc<Version>, u32)| {
            let share = FollowedShare {
                version: Some(Arc::clone(version)),
                stay: Vec::new(),
            };
            (share, *weight)
        };
        Self {
            generation,
            shares: split.shares.iter().map(share).collect(),
        }
    }

    /// Notes that the alias moves without its open connections.
    pub(super) fn pass(&mut self, split: &Split) {
        for (share, _) in &mut self.shares {
            let followed = share.version.as_ref();
            if followed.is_none_or(|version| split.serves(version.digest())) {
                continue;
            }
            let digests = split.shares.iter().map(|(version, _)| version.digest());
            share.stay.extend(digests);
            share.stay.sort_unstable();
            share.stay.dedup();
        }
    }
}

/// The point of an affinity value. It is the same on every node and after a
/// restart, so that a room is never split between versions.
pub(super) fn point_of(key: &str) -> u32 {
    let digest = Sha256::digest(key.as_bytes());
    let [a, b, c, d, ..] = digest.as_slice() else {
        return 0;
    };
    u32::from_be_bytes([*a, *b, *c, *d]) % 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_spread_over_the_points() {
        let mut points: Vec<_> = (0..1000)
            .map(|room| point_of(&format!("room {room}")))
            .collect();
        points.sort_unstable();
        points.dedup();
        assert!(points.len() > 95 && points.iter().all(|point| *point < 100));
    }
}
