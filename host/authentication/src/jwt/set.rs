//! The state of a key set that is fetched from its issuer: what to fetch when,
//! and which keys are in force.
//!
//! No I/O and no clock: the caller asks [`FetchedKeys::due`], fetches what
//! [`FetchedKeys::begin`] says, and reports what came. All times are since one
//! moment that the caller chooses, on a clock that does not jump. The address
//! never changes, whatever a token or an answer says.
//!
//! An answer that is not a good key set changes nothing: the keys before it stay
//! in force, for `stale` after the last good answer. A token that no key verifies
//! hastens the next fetch, as the issuer may have replaced a key, with or without
//! a new `kid`. No peer can make the host flood an issuer in this way: a fetch is
//! hastened to [`MISSED_TIME`] after the one before it, however many tokens come.

use std::sync::Arc;
use std::time::Duration;

use super::keys::{JWKS_BYTES_MAX, KeySet, KeySetError, KeySource, KeyWarning};

/// The least time between two fetches that tokens ask for: a rotation that was
/// not announced is noticed within it.
pub(crate) const MISSED_TIME: Duration = Duration::from_secs(30);
/// The first wait after a failure, which doubles with each.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest wait after a failure: an issuer that is back is noticed within
/// it.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How long a fetch may take: a host that starts is not ready before the first
/// one has ended.
const FETCH_TIME: Duration = Duration::from_secs(10);
/// The longest entity tag that is sent back.
const TAG_BYTES_MAX: usize = 256;

/// The keys of an issuer, as far as they are known.
#[derive(Clone, Debug)]
pub struct FetchedKeys {
    url: String,
    refresh: Duration,
    stale: Duration,
    keys: Option<Arc<KeySet>>,
    tag: Option<String>,
    /// When the last good answer came.
    good: Duration,
    /// When the next fetch begins, unless one is under way.
    next: Duration,
    under_way: bool,
    failures: u32,
    /// When a fetch last began.
    begun: Option<Duration>,
}

/// What to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// By GET. Redirects are not followed.
    pub url: String,
    /// The value of `If-None-Match`, if any.
    pub if_none_match: Option<String>,
    /// How long the whole fetch may take.
    pub time: Duration,
    /// How many bytes of the body to read: one more than is good, so that a
    /// longer one is noticed.
    pub body_bytes: usize,
}

/// What came.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The body, or its first bytes.
    pub body: &'a [u8],
    /// The value of `ETag`, if any.
    pub tag: Option<&'a str>,
}

/// Why a fetch brought no keys. The keys before it stay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Another status than 200, and than 304 to a question with a tag.
    #[error("the issuer answered with status {0}")]
    Status(u16),
    /// A page, say.
    #[error("the issuer answered with something else: {0}")]
    Keys(#[from] KeySetError),
    /// No answer.
    #[error("the issuer did not answer: {0}")]
    Failed(String),
}

impl FetchedKeys {
    /// A set that is not fetched yet: it is due at once.
    pub fn new(url: String, refresh: Duration, stale: Duration, now: Duration) -> Self {
        Self {
            url,
            refresh,
            stale,
            keys: None,
            tag: None,
            good: now,
            next: now,
            under_way: false,
            failures: 0,
            begun: None,
        }
    }

    /// Goes on with the keys of another set that was fetched from the same
    /// address. The next fetch stays due at once.
    pub fn inherit(&mut self, other: &Self, now: Duration) {
        if self.url == other.url {
            self.keys = other.keys.clone();
            self.tag = other.tag.clone();
            self.good = other.good;
            self.next = now;
        }
    }

    /// When the next fetch begins; `None` while one is under way.
    pub fn due(&self) -> Option<Duration> {
        (!self.under_way).then_some(self.next)
    }

    /// Begins a fetch. The caller reports to [`answered`](Self::answered) or
    /// [`failed`](Self::failed).
    pub fn begin(&mut self, now: Duration) -> Fetch {
        self.under_way = true;
        self.begun = Some(now);
        Fetch {
            url: self.url.clone(),
            if_none_match: self.tag.clone(),
            time: FETCH_TIME,
            body_bytes: JWKS_BYTES_MAX + 1,
        }
    }

    /// An answer came. Returns what is odd about the keys.
    ///
    /// # Errors
    ///
    /// When it brought no keys, for the log.
    pub fn answered(
        &mut self,
        answer: Answer<'_>,
        now: Duration,
    ) -> Result<Vec<KeyWarning>, FetchError> {
        let found = match answer.status {
            200 => KeySet::parse(answer.body, KeySource::Fetched).map_err(FetchError::Keys),
            304 if self.tag.is_some() => {
                self.succeeded(now);
                return Ok(Vec::new());
            }
            status => Err(FetchError::Status(status)),
        };
        match found {
            Ok((keys, warnings)) => {
                self.keys = Some(Arc::new(keys));
                let good = |tag: &&str| {
                    tag.len() <= TAG_BYTES_MAX && tag.bytes().all(|byte| byte.is_ascii_graphic())
                };
                self.tag = answer.tag.filter(good).map(str::to_owned);
                self.succeeded(now);
                Ok(warnings)
            }
            Err(error) => {
                self.retry(now);
                Err(error)
            }
        }
    }

    /// No answer came, for a reason that the log gets.
    pub fn failed(&mut self, why: impl Into<String>, now: Duration) -> FetchError {
        self.retry(now);
        FetchError::Failed(why.into())
    }

    fn succeeded(&mut self, now: Duration) {
        self.under_way = false;
        self.failures = 0;
        self.good = now;
        self.next = now + self.refresh;
    }

    fn retry(&mut self, now: Duration) {
        self.under_way = false;
        let wait = RETRY_MIN.saturating_mul(1 << self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        self.next = now + wait.min(RETRY_MAX).min(self.refresh);
    }

    /// No key verifies a token: it names another one, or its signature fits none,
    /// which may be a forgery as well as a new key. Returns whether the caller
    /// should look at [`due`](Self::due) again: the next fetch is earlier now.
    pub fn missed(&mut self, now: Duration) -> bool {
        let earliest = self.begun.map_or(now, |begun| begun + MISSED_TIME).max(now);
        let earlier = !self.under_way && earliest < self.next;
        if earlier {
            self.next = earliest;
        }
        earlier
    }

    /// The keys in force: none before the first good answer, and none when the
    /// last one is too long ago.
    pub fn keys(&self, now: Duration) -> Option<&Arc<KeySet>> {
        let fresh = now.saturating_sub(self.good) <= self.stale;
        self.keys.as_ref().filter(|_| fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://issuer.example.org/jwks.json";
    const ONE: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "one",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn set() -> FetchedKeys {
        FetchedKeys::new(URL.into(), at(600), at(86_400), at(100))
    }

    fn answer(body: &str) -> Answer<'_> {
        Answer {
            status: 200,
            body: body.as_bytes(),
            tag: Some("\"v1\""),
        }
    }

    fn fetched() -> FetchedKeys {
        let mut set = set();
        set.begin(at(100));
        assert_eq!(set.answered(answer(ONE), at(101)), Ok(Vec::new()));
        set
    }

    #[test]
    fn a_set_is_fetched_at_once_and_then_every_while() {
        let mut set = set();
        assert_eq!(set.due(), Some(at(100)));
        assert!(set.keys(at(100)).is_none());
        let fetch = set.begin(at(100));
        assert_eq!((&*fetch.url, fetch.if_none_match), (URL, None));
        assert_eq!(set.due(), None, "one at a time");
        set.answered(answer(ONE), at(101)).unwrap();
        assert!(set.keys(at(101)).unwrap().has("one"));
        assert_eq!(set.due(), Some(at(701)));
        let fetch = set.begin(at(701));
        assert_eq!(fetch.if_none_match.as_deref(), Some("\"v1\""));
        let unchanged = Answer {
            status: 304,
            body: b"",
            tag: None,
        };
        set.answered(unchanged, at(702)).unwrap();
        assert!(set.keys(at(702)).unwrap().has("one"));
        assert_eq!(set.due(), Some(at(1302)));
    }

    #[test]
    fn a_tag_is_sent_back_up_to_its_length() {
        for (bytes, is_kept) in [(TAG_BYTES_MAX, true), (TAG_BYTES_MAX + 1, false)] {
            let tag = "t".repeat(bytes);
            let mut set = set();
            set.begin(at(100));
            let answer = Answer {
                tag: Some(&tag),
                ..answer(ONE)
            };
            set.answered(answer, at(101)).unwrap();
            let sent = set.begin(at(701)).if_none_match;
            assert_eq!(sent, is_kept.then_some(tag));
        }
    }

    #[test]
    fn whatever_else_comes_the_old_keys_stay() {
        let twice = ONE.replace("}]", "}, {\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"kid\": \"one\", \"x\": \"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE\"}]");
        let huge = format!("{ONE}{}", " ".repeat(JWKS_BYTES_MAX));
        for (status, body, why) in [
            (200, "<html>", "not a key set"),
            (200, "", "not a key set"),
            (200, "[]", "not a key set"),
            (200, r#"{"keys": {}}"#, "not a key set"),
            (200, r#"{"keys": []}"#, "no key that can verify"),
            (
                200,
                r#"{"keys": [{"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAA"}]}"#,
                "no key",
            ),
            (200, &twice, "have the `kid` `one`"),
            (200, &huge, "longer than 262144 bytes"),
            (301, ONE, "status 301"),
            (404, "", "status 404"),
            (500, ONE, "status 500"),
        ] {
            let mut set = fetched();
            set.begin(at(701));
            let answer = Answer {
                status,
                ..answer(body)
            };
            let error = set.answered(answer, at(702)).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert!(set.keys(at(702)).unwrap().has("one"));
            assert_eq!(set.due(), Some(at(703)));
        }
        // 304 answers a question that was not asked.
        let mut set = set();
        set.begin(at(100));
        let answer = Answer {
            status: 304,
            ..answer("")
        };
        assert_eq!(set.answered(answer, at(101)), Err(FetchError::Status(304)));
    }

    #[test]
    fn an_outage_is_waited_for_with_longer_pauses_and_for_a_day() {
        let mut set = fetched();
        let (mut now, mut waits) = (at(701), Vec::new());
        for _ in 0..8 {
            set.begin(now);
            set.failed("connection refused", now);
            waits.push((set.due().unwrap() - now).as_secs());
            now = set.due().unwrap();
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        let last = at(101) + at(86_400);
        assert!(set.keys(last).is_some());
        assert!(set.keys(last + at(1)).is_none());
        // The issuer is back.
        set.begin(last + at(1));
        set.answered(answer(ONE), last + at(2)).unwrap();
        assert!(set.keys(last + at(2)).is_some());
        assert_eq!(set.due(), Some(last + at(602)));
    }

    #[test]
    fn tokens_hasten_a_fetch_at_most_so_often() {
        let mut set = fetched();
        assert!(set.missed(at(110)));
        assert_eq!(set.due(), Some(at(130)), "30 s after the last one began");
        assert!(!set.missed(at(111)), "it is planned already");
        assert!(!set.missed(at(131)), "it is due");
        set.begin(at(131));
        assert!(!set.missed(at(132)), "it is under way");
        set.answered(answer(ONE), at(132)).unwrap();
        assert!(set.missed(at(133)));
        assert_eq!(set.due(), Some(at(161)));
        // A failing issuer is not asked more often than its pauses allow.
        let mut set = fetched();
        set.begin(at(701));
        set.failed("no route", at(701));
        assert!(!set.missed(at(701)));
        assert_eq!(set.due(), Some(at(702)));
    }
}
