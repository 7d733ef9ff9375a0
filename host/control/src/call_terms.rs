//! Reads what functions may call: the rules of the configuration, with the authorities
//! whose files it names.
//!
//! Files are read off the threads that serve, at the start and whenever the
//! configuration is read again, and waited for as long as the data directory is.

use openline_core::config::{Config, FunctionConfig};
use openline_hint::{Hint, Hinted};
use openline_outbound::{SystemRoots, Terms};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::callers::AllTerms;
use crate::error::OutboundError;
use crate::settle::STORE_TIMEOUT;

/// Reads what the functions of a configuration may call, with the files that it
/// names.
pub(crate) async fn read(config: &Config) -> Result<AllTerms, OutboundError> {
    let calls =
        |it: &&FunctionConfig| !it.outbound.rules.is_empty() || !it.outbound.roots.is_empty();
    let callers: Vec<_> = config.functions.iter().filter(calls).cloned().collect();
    let Some(first) = callers.first() else {
        return Ok(Vec::new());
    };
    let name = first.name.clone();
    let reading = spawn_blocking(move || {
        let system = SystemRoots::read();
        let callers = callers.into_iter();
        let terms = callers.map(|it| match Terms::read(&it.outbound, &it.limit, &system) {
            Ok(terms) => Ok((it.name, terms)),
            Err(error) => {
                let what = format!("`roots` in [function.outbound]: {error}");
                let hint = error.hint().unwrap_or_default().into_owned();
                Err(OutboundError::new(it.name, Hinted::new(what, hint)))
            }
        });
        terms.collect()
    });
    match timeout(STORE_TIMEOUT, reading).await {
        Ok(Ok(read)) => read,
        Ok(Err(_)) | Err(_) => {
            let what = "the authorities of its calls cannot be read in time";
            let error = Hinted::new(what, "look at the disks that their files are on");
            Err(OutboundError::new(name, error))
        }
    }
}
