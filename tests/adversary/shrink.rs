//! Makes a failing plan smaller. A run does not repeat exactly, so a smaller
//! plan is tried several times, and kept if it fails once in the same way.
//!
//! It first removes operations of the operator, then peers and steps by halves,
//! then settings that differ from the defaults. Bounded by time.

use std::time::Duration;

use tokio::time::Instant;

use super::plan::{Plan, Server};
use super::run::Setup;

/// How often a smaller plan may hold before it is given up.
const TRIES: usize = 3;

pub struct Shrinking<'a> {
    pub setup: &'a Setup,
    pub invariant: &'static str,
    pub until: Instant,
}

impl Shrinking<'_> {
    pub fn shrink(&self, mut plan: Plan) -> Plan {
        self.thin(&mut plan, |plan| &mut plan.operator);
        self.thin(&mut plan, |plan| &mut plan.peers);
        self.thin(&mut plan, |plan| &mut plan.strangers);
        for index in 0..plan.peers.len() {
            self.thin(&mut plan, |plan| &mut plan.peers[index].steps);
        }
        for index in 0..plan.strangers.len() {
            self.thin(&mut plan, |plan| &mut plan.strangers[index].requests);
            self.thin(&mut plan, |plan| &mut plan.strangers[index].frames);
            self.thin(&mut plan, |plan| &mut plan.strangers[index].cuts);
        }
        self.try_settings(&mut plan);
        plan
    }

    /// Takes out halves, then quarters, down to single items.
    fn thin<T: Clone>(&self, plan: &mut Plan, list: impl Fn(&mut Plan) -> &mut Vec<T>) {
        let mut size = list(plan).len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < list(plan).len() {
                let mut smaller = plan.clone();
                let items = list(&mut smaller);
                let to = (from + size).min(items.len());
                items.drain(from..to);
                if self.fails(&smaller) {
                    *plan = smaller;
                } else {
                    from += size;
                }
            }
            if size == 1 {
                return;
            }
            size = size.div_ceil(2);
        }
    }

    fn try_settings(&self, plan: &mut Plan) {
        let changes: [fn(&mut Plan); 8] = [
            |plan| {
                plan.server = Server {
                    data: plan.server.data,
                    ..Server::default()
                }
            },
            |plan| plan.server.data = false,
            |plan| {
                plan.functions
                    .iter_mut()
                    .for_each(|it| (it.fuel, it.pings) = (false, false))
            },
            |plan| {
                plan.functions
                    .iter_mut()
                    .for_each(|it| it.connection_time = false)
            },
            |plan| {
                plan.functions
                    .iter_mut()
                    .for_each(|it| it.settings.faults_in_a_row = 0)
            },
            |plan| plan.peers.iter_mut().for_each(|it| it.query.clear()),
            |plan| {
                plan.functions
                    .iter_mut()
                    .for_each(|it| it.settings.responses.clear())
            },
            |plan| {
                plan.functions
                    .iter_mut()
                    .for_each(|it| it.memory_mib = None)
            },
        ];
        for change in changes {
            let mut simpler = plan.clone();
            change(&mut simpler);
            if self.fails(&simpler) {
                *plan = simpler;
            }
        }
    }

    fn fails(&self, plan: &Plan) -> bool {
        (0..TRIES).any(|_| {
            let left = self.until.checked_duration_since(Instant::now());
            left.is_some_and(|left| left > Duration::ZERO) && {
                let outcome = self.setup.run(plan, &format!("shrinking-{}", plan.seed));
                let mut violations = outcome.violations.iter();
                violations.any(|violation| violation.invariant == self.invariant)
            }
        })
    }
}
