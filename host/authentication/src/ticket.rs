//! Tickets: credentials that a page gets from its own server a moment before it
//! connects, and uses once.
//!
//! A ticket is 256 random bits. Half of them find it, and the other half are
//! compared in constant time, so no timing helps to guess. A ticket counts until
//! the request that uses it has passed; one that is refused later gives it back.
//! Bounded by `tickets_max`, and [`CLAIMS_BYTES_MAX`] of claims for each. Tickets
//! live in memory: a restart ends them all, which is safe, because a page asks for
//! another one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openline_core::authentication::{ClaimPass, TicketConfig, UnixTime};
use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Map, Value};

use crate::denied::{Denial, Denied};
use crate::edits::Edits;
use crate::expiring::{Expiring, Mark};
use crate::identity::Identity;
use crate::request::{Request, find, secret_subprotocols};
use crate::secret::same;
use crate::spending::Spending;

/// The most claims of one ticket, as JSON: what a token could carry.
pub const CLAIMS_BYTES_MAX: usize = 8 << 10;
/// Bytes that find a ticket, and bytes that are compared.
const HALF: usize = 16;

/// The tickets of one trigger that are not used yet.
pub struct Tickets {
    config: TicketConfig,
    waiting: Arc<Mutex<Expiring<Waiting>>>,
    random: SystemRandom,
}

struct Waiting {
    secret: [u8; HALF],
    claims: Arc<Map<String, Value>>,
    /// When the connection ends that is opened with it.
    expires: Option<UnixTime>,
    /// When it was made.
    issued: UnixTime,
    /// Whether a request has it, about which nothing is decided yet.
    is_held: bool,
}

/// A ticket that a request has.
pub(crate) struct Held {
    waiting: Arc<Mutex<Expiring<Waiting>>>,
    mark: Mark,
}

/// What a request learns from its ticket.
struct Shown {
    claims: Arc<Map<String, Value>>,
    expires: Option<UnixTime>,
    issued: UnixTime,
    spending: Spending,
}

/// What a ticket is to be.
#[derive(Clone, Debug, Default)]
pub struct TicketRequest {
    /// The subject of the connection; becomes the claim `sub`.
    pub subject: Option<String>,
    /// Its claims.
    pub claims: Map<String, Value>,
    /// How long it may wait; at most, and by default, the trigger's `time`.
    pub time: Option<Duration>,
    /// When the connection ends that is opened with it; by default by no ticket.
    pub expires: Option<UnixTime>,
}

/// Why there is no ticket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// `tickets_max` are waiting.
    #[error("as many tickets as there may be are not used yet: try again later")]
    Full,
    /// Larger than [`CLAIMS_BYTES_MAX`].
    #[error("the claims are larger than {CLAIMS_BYTES_MAX} bytes of JSON")]
    Claims,
    /// A time of nothing, or more than the trigger's.
    #[error("a ticket is valid for 1 s to {0} s here")]
    Time(u64),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl Tickets {
    /// No tickets yet.
    pub fn new(config: &TicketConfig) -> Self {
        Self {
            config: config.clone(),
            waiting: Arc::new(Mutex::new(Expiring::new(config.tickets_max))),
            random: SystemRandom::new(),
        }
    }

    /// Makes a ticket: 43 characters of base64url, and when it is no longer good.
    ///
    /// # Errors
    ///
    /// See [`TicketError`].
    pub fn issue(
        &self,
        request: TicketRequest,
        now: UnixTime,
    ) -> Result<(String, UnixTime), TicketError> {
        let longest = self.config.time.0;
        let time = request.time.unwrap_or(longest);
        if time < Duration::from_secs(1) || time > longest {
            return Err(TicketError::Time(longest.as_secs()));
        }
        let mut claims = request.claims;
        if let Some(subject) = request.subject {
            claims.insert("sub".into(), Value::String(subject));
        }
        let bytes = serde_json::to_vec(&claims).map_err(|_| TicketError::Claims)?;
        if bytes.len() > CLAIMS_BYTES_MAX {
            return Err(TicketError::Claims);
        }
        let mut random = [0; 2 * HALF];
        self.random
            .fill(&mut random)
            .map_err(|_| TicketError::Random)?;
        let (mark, secret) = halves(random);
        let end = now.plus(time);
        let waiting = Waiting {
            secret,
            claims: Arc::new(claims),
            expires: request.expires,
            issued: now,
            is_held: false,
        };
        let entered = self.waiting.lock().insert(mark, waiting, end, now);
        entered.map_err(|_| TicketError::Full)?;
        Ok((URL_SAFE_NO_PAD.encode(random), end))
    }

    /// Authenticates a request by its ticket, which no other request can use then,
    /// unless this one gives it back.
    ///
    /// # Errors
    ///
    /// When there is none, or when it is not good.
    pub fn authenticate(
        &self,
        request: &Request<'_>,
        now: UnixTime,
    ) -> Result<(Identity, Spending), Denied> {
        let invalid = |error: &dyn fmt::Display| Denial::TicketInvalid.because(error);
        let found = find(request, &self.config.lookup).map_err(|error| invalid(&error))?;
        let found = found.ok_or_else(|| Denial::TicketMissing.because("no ticket"))?;
        let shown = self.hold(&found, now);
        let shown = shown.ok_or_else(|| invalid(&"there is no such ticket, or not any more"))?;
        let edits = self.edits(&shown.claims).map_err(|error| invalid(&error))?;
        let identity = Identity {
            expires: shown.expires,
            issued: Some(shown.issued),
            edits: edits.without_subprotocols(secret_subprotocols(request, &self.config.lookup)),
            claims: (*shown.claims).clone(),
            body_sha256: None,
        };
        Ok((identity, shown.spending))
    }

    fn edits(&self, claims: &Map<String, Value>) -> Result<Edits, crate::edits::EditError> {
        let pass: &ClaimPass = &self.config.claims;
        Edits::new(pass, Some(claims))
    }

    fn hold(&self, text: &str, now: UnixTime) -> Option<Shown> {
        let mut random = [0; 2 * HALF];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut random).ok()?;
        if length != random.len() {
            return None;
        }
        let (mark, secret) = halves(random);
        let mut waiting = self.waiting.lock();
        let found = waiting.get_mut(mark, now)?;
        // A guess must not end a ticket.
        if !same(&found.secret, &secret) || found.is_held {
            return None;
        }
        found.is_held = true;
        let held = Held {
            waiting: Arc::clone(&self.waiting),
            mark,
        };
        Some(Shown {
            claims: Arc::clone(&found.claims),
            expires: found.expires,
            issued: found.issued,
            spending: Spending::ticket(held),
        })
    }

    /// How many are not used for good yet, some ended ones included.
    pub fn count(&self) -> usize {
        self.waiting.lock().count()
    }
}

impl Held {
    /// It was used. One that has ended meanwhile may be forgotten already.
    pub(crate) fn use_up(self) {
        self.waiting.lock().take(self.mark, UnixTime(0));
    }

    /// It was used for nothing, and waits again until its end.
    pub(crate) fn give_back(self) {
        if let Some(waiting) = self.waiting.lock().get_mut(self.mark, UnixTime(0)) {
            waiting.is_held = false;
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

fn halves(random: [u8; 2 * HALF]) -> (Mark, [u8; HALF]) {
    let (mut mark, mut secret) = ([0; HALF], [0; HALF]);
    mark.copy_from_slice(&random[..HALF]);
    secret.copy_from_slice(&random[HALF..]);
    (Mark::from_bytes(mark), secret)
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::HeaderMap;
    use openline_core::units::Period;

    use super::*;
    use crate::revocation::{Revocation, Revocations, RevokedBy};
    use crate::token::Now;

    const NOW: UnixTime = UnixTime(1000);

    fn tickets(tickets_max: usize) -> Tickets {
        Tickets::new(&TicketConfig {
            tickets_max,
            time: Period(Duration::from_secs(30)),
            ..TicketConfig::default()
        })
    }

    fn issue(tickets: &Tickets) -> String {
        let request = TicketRequest {
            subject: Some("ann".into()),
            ..TicketRequest::default()
        };
        tickets.issue(request, NOW).unwrap().0
    }

    fn with_request<T>(query: &str, ask: impl FnOnce(&Request<'_>) -> T) -> T {
        ask(&Request {
            method: "GET",
            host: None,
            path: "/",
            query: Some(query),
            headers: &HeaderMap::new(),
            has_body: false,
        })
    }

    fn redeem(tickets: &Tickets, query: &str, now: u64) -> Result<Identity, Denial> {
        let redeemed = with_request(query, |it| tickets.authenticate(it, UnixTime(now)));
        let (identity, spending) = redeemed.map_err(|denied| denied.denial)?;
        spending.commit();
        Ok(identity)
    }

    #[test]
    fn a_ticket_is_good_once_and_for_a_while() {
        let tickets = tickets(8);
        let (one, two, three) = (issue(&tickets), issue(&tickets), issue(&tickets));
        assert_eq!(one.len(), 43);
        let query = |ticket: &str| format!("ticket={ticket}");
        let ann = redeem(&tickets, &query(&one), 1000).unwrap();
        assert_eq!(ann.subject(), Some("ann"));
        assert_eq!(
            redeem(&tickets, &query(&one), 1000),
            Err(Denial::TicketInvalid)
        );
        assert!(redeem(&tickets, &query(&two), 1029).is_ok());
        assert_eq!(
            redeem(&tickets, &query(&three), 1030),
            Err(Denial::TicketInvalid)
        );
        assert_eq!(redeem(&tickets, "", 1000), Err(Denial::TicketMissing));
        for bad in ["a", &"a".repeat(43), &"a".repeat(10_000), "%00", "!!!"] {
            assert_eq!(
                redeem(&tickets, &query(bad), 1000),
                Err(Denial::TicketInvalid)
            );
        }
    }

    /// A claim `iat` of the ticket's maker is not what counts.
    #[test]
    fn a_ticket_was_made_when_the_host_made_it() {
        let tickets = tickets(8);
        let made = |at: u64| {
            let request = TicketRequest {
                subject: Some("ann".into()),
                claims: Map::from_iter([("iat".to_owned(), Value::from(1))]),
                ..TicketRequest::default()
            };
            let ticket = tickets.issue(request, UnixTime(at)).unwrap().0;
            redeem(&tickets, &format!("ticket={ticket}"), at + 5).unwrap()
        };
        let (old, new) = (made(999), made(1000));
        assert_eq!((old.issued, new.issued), (Some(UnixTime(999)), Some(NOW)));
        let by_subject = Revocation::Subject {
            subject: "ann".into(),
            before: NOW,
            expires: UnixTime(u64::MAX),
        };
        for (entry, by) in [
            (by_subject, RevokedBy::Subject),
            (Revocation::Before(NOW), RevokedBy::Before),
        ] {
            let now = Now {
                wall: NOW,
                steady: Duration::ZERO,
            };
            let mut revoked = Revocations::new(now);
            revoked.revoke(&entry, now).unwrap();
            assert_eq!(revoked.revokes(&old, now), Some(by));
            assert_eq!(revoked.revokes(&new, now), None, "{by:?}");
        }
    }

    #[test]
    fn a_guess_of_the_other_half_does_not_end_it() {
        let tickets = tickets(8);
        let ticket = issue(&tickets);
        let mut guess = URL_SAFE_NO_PAD.decode(&ticket).unwrap();
        guess[31] ^= 1;
        let guess = format!("ticket={}", URL_SAFE_NO_PAD.encode(guess));
        assert_eq!(redeem(&tickets, &guess, 1000), Err(Denial::TicketInvalid));
        assert!(redeem(&tickets, &format!("ticket={ticket}"), 1000).is_ok());
    }

    #[test]
    fn used_by_many_at_the_same_moment_one_passes() {
        let tickets = tickets(100);
        for _ in 0..50 {
            let (ticket, passed, barrier) = (issue(&tickets), AtomicUsize::new(0), Barrier::new(4));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        barrier.wait();
                        if redeem(&tickets, &format!("ticket={ticket}"), 1000).is_ok() {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(passed.into_inner(), 1);
        }
        assert_eq!(tickets.count(), 0);
    }

    #[test]
    fn a_request_that_is_refused_later_gives_its_ticket_back() {
        let tickets = tickets(1);
        let query = format!("ticket={}", issue(&tickets));
        let hold = |now| with_request(&query, |it| tickets.authenticate(it, UnixTime(now)));
        let plain = TicketRequest::default;
        for now in [1000, 1029] {
            let (ann, spending) = hold(now).unwrap();
            assert_eq!(ann.subject(), Some("ann"));
            // Meanwhile no other request has it, and its place is taken.
            assert_eq!(redeem(&tickets, &query, now), Err(Denial::TicketInvalid));
            let another = tickets.issue(plain(), UnixTime(now));
            assert_eq!(another, Err(TicketError::Full));
            drop(spending);
        }
        // Given back, it ends when it would have ended.
        assert_eq!(redeem(&tickets, &query, 1030), Err(Denial::TicketInvalid));
        let spending = hold(1029).unwrap().1;
        let later = UnixTime(1030);
        assert!(tickets.issue(plain(), later).is_ok(), "it is forgotten");
        drop(spending);
        assert_eq!(redeem(&tickets, &query, 1029), Err(Denial::TicketInvalid));
        assert_eq!(tickets.count(), 1);
    }

    #[test]
    fn their_number_their_time_and_their_claims_are_bounded() {
        let tickets = tickets(2);
        issue(&tickets);
        issue(&tickets);
        let plain = TicketRequest::default;
        assert_eq!(tickets.issue(plain(), NOW), Err(TicketError::Full));
        assert!(
            tickets.issue(plain(), UnixTime(1090)).is_ok(),
            "they have ended"
        );
        let time = |milliseconds| TicketRequest {
            time: Some(Duration::from_millis(milliseconds)),
            ..plain()
        };
        let later = UnixTime(5000);
        assert_eq!(
            tickets.issue(time(30_001), later),
            Err(TicketError::Time(30))
        );
        assert_eq!(tickets.issue(time(999), later), Err(TicketError::Time(30)));
        assert!(tickets.issue(time(30_000), later).is_ok());
        let claims = |bytes: usize| {
            // {"a":"…"} has eight bytes beside the text.
            let text = Value::String("a".repeat(bytes - 8));
            TicketRequest {
                claims: Map::from_iter([("a".to_owned(), text)]),
                ..plain()
            }
        };
        assert!(tickets.issue(claims(CLAIMS_BYTES_MAX), later).is_ok());
        let past = tickets.issue(claims(CLAIMS_BYTES_MAX + 1), UnixTime(9000));
        assert_eq!(past, Err(TicketError::Claims));
    }
}
