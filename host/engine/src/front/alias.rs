//! An alias: a name that leads to one version of a function, or to several by
//! weight, and can move while connections are open.

use std::sync::Arc;

use openline_channels::hub::Hub;
use openline_core::deployment::Migration;
use openline_core::digest::Digest;
use openline_core::event::{NoValue, Rejection, UpgradeRequest};
use openline_core::fault::Fault;
use openline_core::limits::{AFFINITY_BYTES_MAX, FunctionLimits};
use openline_core::name::{AliasName, FunctionName};

pub use super::accepted::{Accepted, Reservation, Unseated};
pub use super::split::Split;
use super::split::{Followed, Led, Way, point_of};
use crate::instance::live::{CHANNELS_KEY, Instance};
use crate::pool::commons::{Commons, Home};
use crate::pool::seats::Wanted;
use crate::pool::version::{UpgradeError, Version};
use crate::sync::{self, AtomicU32, AtomicU64, Ordering, RwLock};

/// How often an upgrade or an inspection is tried again because its instance ended before its
/// turn, through faults of other calls or because another version took over.
/// More than this is no accident.
pub(super) const UPGRADE_TRIES_MAX: usize = 16;

/// A name that leads to versions of one function.
#[derive(Debug)]
pub struct Alias {
    name: AliasName,
    commons: Arc<Commons>,
    led: RwLock<Led>,
    /// Grows when the split changes. A connection compares it at each event.
    generation: AtomicU64,
    /// Counts connections to give them points.
    counter: AtomicU32,
    /// Counts inspections to give them points, so that each kind of call is
    /// split by weight however the other comes.
    pub(super) inspections: AtomicU32,
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
            inspections: AtomicU32::new(0),
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

    /// The state that all versions of its function share.
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

    /// The limits of new connections.
    pub fn limits(&self) -> Arc<FunctionLimits> {
        Arc::clone(&self.led.read().split.limits)
    }

    /// An alias that leads to one version, for use without a deployment.
    pub fn to(version: Arc<Version>) -> Arc<Self> {
        let split = Split::to(version);
        let commons = Arc::clone(split.shares[0].0.commons());
        let alias = Self::new(commons, AliasName::live(), split);
        alias.take_alarms();
        alias
    }

    /// From now on, alarms of its function that belong to no connection go to
    /// this alias.
    pub fn take_alarms(self: &Arc<Self>) {
        let home: Arc<dyn Home> = Arc::<Self>::clone(self);
        self.commons.set_home(&home);
    }

    /// Moves the alias, and returns where it led before. With
    /// [`Migration::Migrate`], open connections follow with their next event,
    /// even one that waits for the end of a back-off, and instances of versions
    /// without a share end when their calls have returned.
    pub fn replace(&self, split: Split) -> Arc<Split> {
        let split = Arc::new(split);
        let before = {
            let mut led = self.led.write();
            let before = std::mem::replace(&mut led.split, Arc::clone(&split));
            // With the lock held, so that a reader of the number sees the
            // split.
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

    /// Forgets removed versions: connections that would have followed to one go
    /// where the alias leads now.
    pub fn retain(&self, keep: impl Fn(Digest) -> bool) {
        self.led.write().followed.retain(keep);
    }

    /// Where the next event of a connection goes that has followed the splits
    /// up to generation `since`.
    pub(super) fn way(&self, since: u64, version: &Arc<Version>, point: u32) -> Way {
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

    /// Whether it leads to a version. Connections of such a version stay with
    /// versions that it leads to at their next event, too.
    pub(super) fn serves(&self, version: &Version) -> bool {
        self.led.read().split.serves(version.digest())
    }

    /// A number that changes each time the alias moves.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Asks the function whether it takes a connection.
    ///
    /// The inner result is the function's decision. Takes at most
    /// `upgrade_timeout`, including the wait for other calls. If no place has
    /// become free until then, the host is full, and the function has done
    /// nothing wrong.
    pub async fn upgrade(
        &self,
        request: UpgradeRequest,
    ) -> Result<Result<Accepted, Rejection>, UpgradeError> {
        let timeout = self.led.read().split.limits.upgrade_timeout;
        let mut asked = None;
        let decided = sync::timeout(timeout, self.decide(request, &mut asked)).await;
        decided.unwrap_or_else(|_| {
            let has_run = asked.is_none_or(|instance| instance.poller.has_run());
            Err(if has_run {
                UpgradeError::Fault(Fault::HandlerTimeout)
            } else {
                UpgradeError::Full
            })
        })
    }

    /// Where a connection of this affinity value is served that takes no seat, as
    /// the split says now, and that split. `None` if the alias has no version.
    pub fn unseated(&self, key: Option<Box<str>>) -> Option<(Unseated, Arc<Split>)> {
        let (generation, split) = self.led_now();
        let point = match &key {
            Some(key) => point_of(key),
            None => self.next_point(),
        };
        let unseated = Unseated {
            counted: split.pick(point)?.count(),
            generation,
            point,
            key,
        };
        Some((unseated, split))
    }

    /// Where it leads now, with the generation of that.
    pub(super) fn led_now(&self) -> (u64, Arc<Split>) {
        let led = self.led.read();
        (self.generation(), Arc::clone(&led.split))
    }

    /// The point of the next connection. Steps of 61 visit each of the hundred
    /// points once, so a weight of 10 is exactly one connection in ten, not one in
    /// ten by chance.
    fn next_point(&self) -> u32 {
        self.counter.fetch_add(61, Ordering::Relaxed) % 100
    }

    async fn decide(
        &self,
        request: UpgradeRequest,
        asked: &mut Option<Arc<Instance>>,
    ) -> Result<Result<Accepted, Rejection>, UpgradeError> {
        let next_point = || self.next_point();
        let mut own_point = None;
        let mut request = Box::new(request);
        for _ in 0..UPGRADE_TRIES_MAX {
            let (generation, split) = self.led_now();
            let key = split.key_of(&request);
            let key = key.map_err(|NoValue| UpgradeError::NoAffinity)?;
            if key
                .as_ref()
                .is_some_and(|key| key.len() > AFFINITY_BYTES_MAX || key == CHANNELS_KEY)
            {
                return Err(UpgradeError::Affinity);
            }
            let point = match &key {
                Some(key) => point_of(key),
                None => *own_point.get_or_insert_with(next_point),
            };
            let version = split.pick(point).ok_or(UpgradeError::NotDeployed)?;
            let counted = version.count();
            let wanted = Wanted {
                key: key.as_deref(),
                joins: true,
                follows: split.migration == Migration::Pin,
                ..Wanted::default()
            };
            match version.ask(request, wanted, asked).await? {
                Ok(Ok((acceptance, seat))) => {
                    let unseated = Unseated {
                        counted,
                        generation,
                        point,
                        key: key.map(String::into_boxed_str),
                    };
                    let place = Reservation { seat, unseated };
                    return Ok(Ok(Accepted {
                        acceptance,
                        place,
                        split,
                    }));
                }
                Ok(Err(rejection)) => return Ok(Err(rejection)),
                Err(again) => request = again,
            }
        }
        Err(UpgradeError::Full)
    }
}
