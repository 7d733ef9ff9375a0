//! Ids of requests, which find a request in the log: in every answer, in the
//! text of refusals, in lines of the log, and among the headers that a function
//! gets.
//!
//! An id is unique, and costs one addition. It is no secret: a reader of
//! one can guess the next.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use openline_admission::peer::Peer;

/// The header that has the id, in answers and in what a function gets.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("openline-request-id");

/// Gives out ids.
#[derive(Debug)]
pub(crate) struct RequestIds {
    /// Random for each process, so that ids of several hosts differ.
    host: u64,
    next: AtomicU64,
}

/// The id of one request, as `3f29ac01b2d4-1f`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId {
    host: u64,
    number: u64,
}

/// A request, as the log knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) id: RequestId,
    pub(crate) parts: &'a Parts,
    pub(crate) peer: &'a Peer,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self {
            // The keys of a `RandomState` come from the operating system.
            host: RandomState::new().hash_one(()) >> 16,
            next: AtomicU64::new(1),
        }
    }
}

impl RequestIds {
    /// The next id.
    pub(crate) fn next(&self) -> RequestId {
        RequestId {
            host: self.host,
            number: self.next.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl RequestId {
    /// The id as a header.
    pub(crate) fn header(self) -> HeaderValue {
        let text = self.to_string();
        HeaderValue::from_str(&text).expect("an id has digits, letters and `-`")
    }

    /// A number from 0 to `most` that differs from request to request.
    pub(crate) fn spread(self, most: u64) -> u64 {
        // The golden ratio spreads numbers that follow each other.
        let hash = self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        hash % most.saturating_add(1)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}-{:x}", self.host, self.number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_and_so_do_hosts() {
        let (one, other) = (RequestIds::default(), RequestIds::default());
        let ids = (0..1000).flat_map(|_| [one.next(), other.next()]);
        let texts: HashSet<_> = ids.map(|id| id.to_string()).collect();
        assert_eq!(texts.len(), 2000);
        let shown = |text: &String| text.len() > 13 && text.as_bytes()[12] == b'-';
        assert!(texts.iter().all(shown));
    }

    #[test]
    fn requests_are_spread_over_all_numbers() {
        let ids = RequestIds::default();
        let mut counts = [0; 6];
        for _ in 0..600 {
            counts[usize::try_from(ids.next().spread(5)).unwrap()] += 1;
        }
        assert!(
            counts.iter().all(|count| (50..=150).contains(count)),
            "{counts:?}"
        );
        assert_eq!(ids.next().spread(0), 0);
    }
}
