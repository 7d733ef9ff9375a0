//! An alias: a name that leads to one version of a function, or to several by
//! weight, and can be made to lead elsewhere while connections are open.

use std::sync::Arc;

use openline_channels::connection::Connection;
use openline_channels::hub::Hub;
use openline_core::auto_response::AutoResponse;
use openline_core::deployment::{self, Migration};
use openline_core::digest::Digest;
use openline_core::event::{Acceptance, Rejection, UpgradeRequest};
use openline_core::fault::Fault;
use openline_core::limits::{AFFINITY_BYTES_MAX, FunctionLimits};
use openline_core::name::{AliasName, FunctionName};
use sha2::{Digest as _, Sha256};

use crate::front::binding::Binding;
use crate::pool::commons::Commons;
use crate::pool::seating::{Counted, Seat, Wanted};
use crate::pool::version::{UpgradeError, Version};
use crate::sync::{self, AtomicU32, AtomicU64, Ordering, RwLock};

/// How often an upgrade is asked again because its instance ended before it
/// was its turn, by other calls' faults or because another version took over:
/// more than this is no accident.
const UPGRADE_TRIES_MAX: usize = 16;

/// See the module.
#[derive(Debug)]
pub struct Alias {
    name: AliasName,
    commons: Arc<Commons>,
    led: RwLock<Led>,
    /// Grows when the split changes: a connection compares it with each event.
    generation: AtomicU64,
    /// Makes the points of connections.
    counter: AtomicU32,
}

#[derive(Debug)]
struct Led {
    /// Where it leads now.
    split: Arc<Split>,
    followed: Followed,
}

/// The last split that open connections followed. One that has had no event
/// since goes there with its next one, also when the alias has been moved again
/// without those that are open.
#[derive(Debug, Default)]
struct Followed {
    generation: u64,
    /// With their weights.
    shares: Vec<(FollowedShare, u32)>,
}

/// Where connections at the points of one share were to follow.
#[derive(Debug)]
struct FollowedShare {
    /// None when it was removed.
    version: Option<Arc<Version>>,
    /// Versions that the alias led to since, when it did not lead to this one:
    /// connections that are still with one of them stay. Else a rollback would
    /// move them to the version that it takes back.
    stay: Vec<Digest>,
}

/// Where a connection's next event goes.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) generation: u64,
    pub(crate) version: Arc<Version>,
    /// Another version that serves the affinity value already is as good.
    pub(crate) follows: bool,
}

/// Where an alias leads.
#[derive(Debug)]
pub struct Split {
    /// Versions with their weights, which are 100 together; none before the
    /// first deploy. As few connections as possible move when a share is
    /// changed at the end.
    pub shares: Vec<(Arc<Version>, u32)>,
    /// What becomes of open connections when this split takes the place of
    /// another.
    pub migration: Migration,
    /// What connections may use that come from now on.
    pub limits: Arc<FunctionLimits>,
    /// The route parameter whose value chooses version and instance.
    pub affinity: Option<String>,
    /// What the host answers by itself on connections that come from now on.
    pub auto_responses: Arc<[AutoResponse]>,
}

/// A function has taken a connection: what it wants, and where it is served.
#[derive(Debug)]
pub struct Accepted {
    /// What the function said.
    pub acceptance: Acceptance,
    /// Its place in the instance that said so.
    pub place: Place,
}

/// Where an accepted connection is served.
#[derive(Debug)]
pub struct Place {
    pub(crate) seat: Seat,
    pub(crate) version: Arc<Version>,
    pub(crate) counted: Counted,
    /// Of the split that the version was picked from.
    pub(crate) generation: u64,
    /// Where the connection stands in a split.
    pub(crate) point: u32,
    /// The affinity value, if the function has affinity.
    pub(crate) key: Option<Box<str>>,
}

impl Split {
    /// All connections go to one version, and the host answers nothing by
    /// itself.
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

    fn has(&self, version: &Arc<Version>) -> bool {
        let mut shares = self.shares.iter();
        shares.any(|(other, _)| Arc::ptr_eq(other, version))
    }

    /// Whether one of its versions is this component.
    fn serves(&self, digest: Digest) -> bool {
        let mut shares = self.shares.iter();
        shares.any(|(version, _)| version.digest() == digest)
    }

    /// Whether a connection of a version shares an instance of another one that
    /// serves its affinity value. Of two that meet there at least one does, or
    /// each would end the other's instance: of those that are drained only the
    /// ones that are left behind, so that the room goes over to the new version.
    fn follows(&self, version: &Arc<Version>, point: u32) -> bool {
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
    /// Where a connection goes that has not followed yet; none when it stays
    /// with its version.
    fn moved(&self, version: &Arc<Version>, point: u32) -> Option<&Arc<Version>> {
        let picked = self.split.pick(point);
        let shares = self.followed.shares.iter();
        let shares = shares.map(|(share, weight)| (share, *weight));
        let Some(share) = deployment::pick(shares, point) else {
            return picked;
        };
        if share.stay.contains(&version.digest()) {
            // The same component may have been loaded anew meanwhile.
            return picked.filter(|picked| picked.digest() == version.digest());
        }
        share.version.as_ref().or(picked)
    }
}

impl Followed {
    fn to(split: &Split, generation: u64) -> Self {
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

    /// The alias leads elsewhere, without those that are open.
    fn pass(&mut self, split: &Split) {
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

impl Alias {
    /// An alias of a function.
    pub fn new(commons: Arc<Commons>, name: AliasName, split: Split) -> Arc<Self> {
        let led = Led {
            split: Arc::new(split),
            followed: Followed::default(),
        };
        Arc::new(Self {
            name,
            commons,
            led: RwLock::new(led),
            generation: AtomicU64::new(1),
            counter: AtomicU32::new(0),
        })
    }

    /// Its name.
    pub fn name(&self) -> &AliasName {
        &self.name
    }

    /// The name of its function.
    pub fn function(&self) -> &FunctionName {
        self.commons.name()
    }

    /// What all versions of its function have in common.
    pub fn commons(&self) -> &Arc<Commons> {
        &self.commons
    }

    /// The function's connections.
    pub fn hub(&self) -> &Arc<Hub> {
        self.commons.hub()
    }

    /// Live instances of all versions of its function.
    pub fn instances(&self) -> u32 {
        self.commons.instances()
    }

    /// Where it leads now.
    pub fn split(&self) -> Arc<Split> {
        Arc::clone(&self.led.read().split)
    }

    /// What connections may use that come from now on.
    pub fn limits(&self) -> Arc<FunctionLimits> {
        Arc::clone(&self.led.read().split.limits)
    }

    /// An alias that leads to one version, with nothing else to follow.
    pub fn to(version: Arc<Version>) -> Arc<Self> {
        let split = Split::to(version);
        let commons = Arc::clone(split.shares[0].0.commons());
        let alias = Self::new(commons, AliasName::live(), split);
        alias.commons.set_home(&alias);
        alias
    }

    /// Leads elsewhere from now on, and answers where it led before. With
    /// [`Migration::Migrate`], open connections follow with their next event,
    /// also with one that waits for the end of a back-off, and the instances of
    /// versions that have no share any more end when their calls have returned.
    pub fn replace(&self, split: Split) -> Arc<Split> {
        let split = Arc::new(split);
        let before = {
            let mut led = self.led.write();
            let before = std::mem::replace(&mut led.split, Arc::clone(&split));
            // With the lock held: a reader of the number sees the split.
            let last = self.generation.fetch_add(1, Ordering::Release);
            if split.migration == Migration::Migrate {
                led.followed = Followed::to(&split, last + 1);
            } else {
                led.followed.pass(&split);
            }
            before
        };
        if split.migration == Migration::Migrate {
            let gone = before.shares.iter().map(|(version, _)| version);
            for version in gone.filter(|version| !split.has(version)) {
                version.supersede();
            }
        }
        self.commons.wake_backed_off();
        before
    }

    /// Forgets versions that are removed: connections that would have followed
    /// to one go where it leads now.
    pub fn retain(&self, keep: impl Fn(Digest) -> bool) {
        let mut led = self.led.write();
        for (share, _) in &mut led.followed.shares {
            share.version.take_if(|version| !keep(version.digest()));
            share.stay.retain(|digest| keep(*digest));
        }
    }

    /// Where a connection's next event goes that has followed the splits up to
    /// a generation.
    pub(crate) fn way(&self, since: u64, version: &Arc<Version>, point: u32) -> Way {
        let led = self.led.read();
        let moved = if led.followed.generation > since {
            led.moved(version, point)
        } else {
            None
        };
        let version = moved.unwrap_or(version);
        Way {
            generation: self.generation(),
            follows: led.split.follows(version, point),
            version: Arc::clone(version),
        }
    }

    /// Whether it leads to a version. Connections of one that it leads to stay
    /// with such versions at their next event, too.
    pub(crate) fn serves(&self, version: &Version) -> bool {
        self.led.read().split.serves(version.digest())
    }

    /// Another one each time that it is made to lead elsewhere.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Asks the function whether it takes a connection.
    ///
    /// The inner result is the function's decision. Takes at most
    /// `upgrade_timeout`, the waiting for other calls included.
    pub async fn upgrade(
        &self,
        request: UpgradeRequest,
    ) -> Result<Result<Accepted, Rejection>, UpgradeError> {
        let timeout = self.led.read().split.limits.upgrade_timeout;
        match sync::timeout(timeout, self.decide(request)).await {
            Ok(decided) => decided,
            Err(_) => Err(UpgradeError::Fault(Fault::HandlerTimeout)),
        }
    }

    async fn decide(
        &self,
        request: UpgradeRequest,
    ) -> Result<Result<Accepted, Rejection>, UpgradeError> {
        let key = self.key(&request);
        if key
            .as_ref()
            .is_some_and(|key| key.len() > AFFINITY_BYTES_MAX)
        {
            return Err(UpgradeError::Affinity);
        }
        let point = match &key {
            Some(key) => point_of(key),
            // Steps of 61 visit each of a hundred once: a weight of 10 is one
            // connection in ten, not one by chance.
            None => self.counter.fetch_add(61, Ordering::Relaxed) % 100,
        };
        let mut request = Box::new(request);
        for _ in 0..UPGRADE_TRIES_MAX {
            let (generation, split) = {
                let led = self.led.read();
                (self.generation(), Arc::clone(&led.split))
            };
            let version = split.pick(point).ok_or(UpgradeError::NotDeployed)?;
            let counted = version.pool.count();
            match version
                .ask(
                    request,
                    Wanted {
                        key: key.as_deref(),
                        joins: true,
                        follows: split.migration == Migration::Pin,
                    },
                )
                .await?
            {
                Ok(Ok((acceptance, seat))) => {
                    let place = Place {
                        seat,
                        version: Arc::clone(version),
                        counted,
                        generation,
                        point,
                        key: key.map(String::into_boxed_str),
                    };
                    return Ok(Ok(Accepted { acceptance, place }));
                }
                Ok(Err(rejection)) => return Ok(Err(rejection)),
                Err(again) => request = again,
            }
        }
        Err(UpgradeError::Full)
    }

    fn key(&self, request: &UpgradeRequest) -> Option<String> {
        let split = self.split();
        let affinity = split.affinity.as_deref()?;
        let param = request
            .route_params
            .iter()
            .find(|(name, _)| name == affinity);
        param.map(|(_, value)| value.clone())
    }

    /// Ties an accepted connection to the instance that accepted it.
    pub fn bind(self: &Arc<Self>, connection: Arc<Connection>, place: Place) -> Binding {
        Binding::new(Arc::clone(self), connection, place)
    }

    /// The version that an affinity value goes to.
    pub(crate) fn version_for(&self, key: &str) -> Option<Arc<Version>> {
        self.led.read().split.pick(point_of(key)).cloned()
    }
}

/// Where an affinity value stands: the same on every node and after a restart,
/// so that a room is never split between versions.
fn point_of(key: &str) -> u32 {
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
