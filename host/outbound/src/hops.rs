//! How often a call has passed this host.
//!
//! A function may call an address that leads back to itself, directly or by way of
//! others, and each pass would make the next. `CDN-Loop` (RFC 8586) is the header
//! that ends such circles: each host that passes a call on adds its name, nobody
//! may take names away, and other hosts and networks of delivery keep it. A header
//! of our own would be lost on the way there.
//!
//! Bounded: [`HOPS_MAX`] passes of this host, and [`HEADER_BYTES_MAX`].

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::error::OutboundError;

/// The header.
pub const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// How often a call may pass this host: functions that call each other on purpose
/// are a few deep.
pub const HOPS_MAX: u32 = 8;

/// The longest header that is passed on: a hundred names.
pub(crate) const HEADER_BYTES_MAX: usize = 4 * 1024;

/// The name of this host in the header: random, made anew with each process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopName(Box<str>);

/// What the request that a function handles says about its way so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hops {
    /// The header, all lines in one.
    header: Vec<u8>,
    /// Whether it is longer than it may be, or not text.
    excessive: bool,
}

impl HopName {
    /// A name that no other host has.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("the operating system has random numbers");
        let number = u64::from_le_bytes(bytes);
        Self(format!("openline-{number:016x}").into())
    }
}

impl Hops {
    /// The way of a request, by its headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut hops = Self::default();
        for value in headers.get_all(CDN_LOOP) {
            if !hops.header.is_empty() {
                hops.header.extend_from_slice(b", ");
            }
            let room = HEADER_BYTES_MAX.saturating_sub(hops.header.len());
            hops.excessive |= value.len() > room || value.to_str().is_err();
            if hops.excessive {
                break;
            }
            hops.header.extend_from_slice(value.as_bytes());
        }
        hops
    }

    /// Of several requests that one instance handles, the one that has come
    /// farthest: a call could be for any of them.
    pub fn farthest(self, other: Self, name: &HopName) -> Self {
        let order = |hops: &Self| (hops.excessive, hops.passes(name), hops.header.len());
        if order(&other) > order(&self) {
            other
        } else {
            self
        }
    }

    /// How often the host of this name is in it.
    fn passes(&self, name: &HopName) -> u32 {
        let entries = self.header.split(|byte| *byte == b',');
        let named = entries.filter(|entry| {
            let id = entry.split(|byte| *byte == b';').next().unwrap_or_default();
            id.trim_ascii().eq_ignore_ascii_case(name.0.as_bytes())
        });
        u32::try_from(named.count()).unwrap_or(u32::MAX)
    }

    /// The header for the next hop.
    pub(crate) fn next(&self, name: &HopName) -> Result<HeaderValue, OutboundError> {
        if self.excessive || self.passes(name) >= HOPS_MAX {
            return Err(OutboundError::Circle);
        }
        let mut header = self.header.clone();
        if !header.is_empty() {
            header.extend_from_slice(b", ");
        }
        header.extend_from_slice(name.0.as_bytes());
        HeaderValue::from_bytes(&header).map_err(|_| OutboundError::Circle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(values: &[&[u8]]) -> Hops {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CDN_LOOP, HeaderValue::from_bytes(value).unwrap());
        }
        Hops::of(&headers)
    }

    #[test]
    fn each_pass_adds_the_name_until_it_is_one_too_many() {
        let name = HopName::random();
        assert_ne!(HopName::random(), name);
        let mut hops = with(&[b"other.example; a=\"1\"", b"Another"]);
        for _ in 0..HOPS_MAX {
            let header = hops.next(&name).unwrap();
            let text = header.to_str().unwrap().to_owned();
            assert!(text.starts_with("other.example; a=\"1\", Another, openline-"));
            hops = with(&[header.as_bytes()]);
        }
        assert_eq!(hops.passes(&name), HOPS_MAX);
        assert_eq!(hops.next(&name), Err(OutboundError::Circle));
        // Other hosts have other names.
        let other = HopName::random();
        assert!(hops.next(&other).is_ok());
    }

    #[test]
    fn spellings_do_not_hide_a_pass() {
        let name = HopName("openline-0123456789abcdef".into());
        for text in [
            "openline-0123456789abcdef",
            "OPENLINE-0123456789ABCDEF ; a=b",
            "a,openline-0123456789abcdef,b",
            "a ,\topenline-0123456789abcdef;a ,b",
        ] {
            assert_eq!(with(&[text.as_bytes()]).passes(&name), 1, "{text}");
        }
        for text in [
            "",
            "openline",
            "a-openline-0123456789abcdef",
            "a;openline-0123456789abcdef",
        ] {
            assert_eq!(with(&[text.as_bytes()]).passes(&name), 0, "{text}");
        }
    }

    #[test]
    fn a_header_that_cannot_be_passed_on_ends_the_way() {
        let name = HopName::random();
        let longest = vec![b'a'; HEADER_BYTES_MAX];
        assert!(with(&[&longest]).next(&name).is_ok());
        assert_eq!(
            with(&[&longest, b"b"]).next(&name),
            Err(OutboundError::Circle)
        );
        assert_eq!(
            with(&[b"a", b"\xff"]).next(&name),
            Err(OutboundError::Circle)
        );
    }

    #[test]
    fn the_farthest_of_several_counts() {
        let name = HopName("n".into());
        let (none, once, twice) = (Hops::default(), with(&[b"n"]), with(&[b"n, n"]));
        for (one, other, expected) in [
            (&none, &once, &once),
            (&twice, &once, &twice),
            (&once, &with(&[b"\xff"]), &with(&[b"\xff"])),
        ] {
            let farthest = one.clone().farthest(other.clone(), &name);
            assert_eq!(&farthest, expected);
        }
    }
}
