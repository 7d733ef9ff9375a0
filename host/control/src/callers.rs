//! What functions may call: one handle for each function, which all its versions
//! share, so that a change is in force for the next call.
//!
//! Bounded by the functions: a handle is kept as long as the configuration or a version
//! has the function.

use std::collections::HashMap;
use std::sync::Arc;

use openline_core::name::FunctionName;
use openline_outbound::{FunctionOutbound, Outbound, Terms};
use parking_lot::Mutex;

/// The calls of all functions.
#[derive(Debug)]
pub(crate) struct Callers {
    outbound: Arc<Outbound>,
    by_name: Mutex<HashMap<FunctionName, Arc<FunctionOutbound>>>,
}

/// The terms of the functions of a configuration, before they are in force.
pub(crate) type AllTerms = Vec<(FunctionName, Terms)>;

impl Callers {
    pub(crate) fn new(outbound: Arc<Outbound>) -> Self {
        Self {
            outbound,
            by_name: Mutex::default(),
        }
    }

    /// The calls of all functions together.
    pub(crate) fn outbound(&self) -> &Arc<Outbound> {
        &self.outbound
    }

    /// The calls of a function. One that is new may call nobody yet.
    pub(crate) fn of(&self, name: &FunctionName) -> Arc<FunctionOutbound> {
        let mut by_name = self.by_name.lock();
        let make = || self.outbound.function(name, Terms::off());
        Arc::clone(by_name.entry(name.clone()).or_insert_with(make))
    }

    /// Puts the terms of a configuration in force. A function that has left it calls
    /// nobody any more.
    pub(crate) fn put(&self, terms: AllTerms) {
        let mut by_name = self.by_name.lock();
        let mut terms: HashMap<_, _> = terms.into_iter().collect();
        by_name.retain(|name, calls| match terms.remove(name) {
            Some(terms) => {
                calls.replace(terms);
                true
            }
            None => {
                if calls.is_on() {
                    calls.replace(Terms::off());
                }
                Arc::strong_count(calls) > 1
            }
        });
        for (name, terms) in terms {
            let calls = self.outbound.function(&name, terms);
            by_name.insert(name, calls);
        }
    }
}
