//! Tokens that are not good any more, although they have not ended: by their
//! name (`jti`), their subject (`sub`), or the moment before which they were
//! made (`iat`).
//!
//! An entry is forgotten when the last token that it could be about has ended,
//! also with the longest leeway that a trigger may have, and even if the clock on
//! the wall was ahead for a time. Each takes the same room, and whether a token is
//! revoked takes constant time. Bounded by [`REVOCATIONS_MAX`]. The caller
//! [keeps](kept) what must survive the process.

#[path = "revocation_kept.rs"]
mod kept;

use openline_core::authentication::{LEEWAY_MAX, UnixTime};

use crate::earliest::Earliest;
use crate::expiring::{Expiring, Mark};
use crate::identity::Identity;
use crate::token::Now;

pub use kept::KeptRevocation;

/// Entries, of names and of subjects, each: a million revoked tokens take about
/// 100 MB, and more than that is a change of keys.
pub const REVOCATIONS_MAX: usize = 1 << 20;
/// The longest name or subject that is revoked, in bytes; no longer one fits
/// into a token.
const NAME_BYTES_MAX: usize = 8 << 10;

/// What is revoked.
#[derive(Debug)]
pub struct Revocations {
    tokens: Expiring<()>,
    /// Tokens of a subject that were made before this moment.
    subjects: Expiring<UnixTime>,
    /// All tokens that were made before this moment.
    before: Option<UnixTime>,
    earliest: Earliest,
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// One token.
    Token {
        /// Its `jti`.
        id: String,
        /// When it ends (`exp`): until then, and for the longest leeway, the entry
        /// is in force.
        expires: UnixTime,
    },
    /// All tokens of a subject that were made before a moment.
    Subject {
        /// Their `sub`.
        subject: String,
        /// The moment. Tokens without `iat` count as made before it. Tickets have
        /// the time at which the host made them.
        before: UnixTime,
        /// When the last of them ends, as with one token.
        expires: UnixTime,
    },
    /// All tokens that were made before a moment.
    Before(UnixTime),
}

/// Why a token is revoked, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokedBy {
    /// By its name.
    #[error("the token's `jti` is revoked")]
    Token,
    /// By its subject.
    #[error("tokens of this `sub` that are as old are revoked")]
    Subject,
    /// By its age.
    #[error("tokens that are as old are revoked")]
    Before,
}

/// Why an entry cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// [`REVOCATIONS_MAX`] entries are in force.
    #[error("there are {REVOCATIONS_MAX} revocations already: change the keys instead")]
    Full,
    /// Longer than a token.
    #[error("no token has so long a `jti` or `sub`")]
    Long,
    /// No entry has this form.
    #[error(
        "not `jti NAME UNTIL`, `sub NAME BEFORE UNTIL` or `before TIME`, with times as in `2026-12-31T23:59:59Z`"
    )]
    Form,
}

impl Revocations {
    /// Nothing is revoked.
    pub fn new(now: Now) -> Self {
        Self::with_max(REVOCATIONS_MAX, now)
    }

    fn with_max(entries_max: usize, now: Now) -> Self {
        Self {
            tokens: Expiring::new(entries_max),
            subjects: Expiring::new(entries_max),
            before: None,
            earliest: Earliest::new(now),
        }
    }

    /// Reads a list, of which each line is an entry, an empty line, or a comment
    /// that begins with `#`.
    ///
    /// # Errors
    ///
    /// The number of the first line that is wrong, counted from 1, and why. The
    /// entries before it are not kept: half a list is no list.
    pub fn parse(text: &str, now: Now) -> Result<Self, (usize, RevocationError)> {
        let mut revocations = Self::new(now);
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                let read = Revocation::parse(line);
                let entered = read.and_then(|entry| revocations.revoke(&entry, now));
                entered.map_err(|error| (index + 1, error))?;
            }
        }
        Ok(revocations)
    }

    /// Revokes. Whatever has been revoked before stays revoked: if the same
    /// thing is revoked twice, the later moment counts.
    ///
    /// # Errors
    ///
    /// See [`RevocationError`].
    pub fn revoke(&mut self, entry: &Revocation, now: Now) -> Result<(), RevocationError> {
        match entry {
            Revocation::Token { id: name, .. } | Revocation::Subject { subject: name, .. }
                if name.len() > NAME_BYTES_MAX =>
            {
                Err(RevocationError::Long)
            }
            Revocation::Token { id, expires } => {
                self.enter_token(Mark::of(&[id]), expires.plus(LEEWAY_MAX), now)
            }
            Revocation::Subject {
                subject,
                before,
                expires,
            } => {
                let end = expires.plus(LEEWAY_MAX);
                self.enter_subject(Mark::of(&[subject]), *before, end, now)
            }
            Revocation::Before(moment) => {
                self.before = self.before.max(Some(*moment));
                Ok(())
            }
        }
    }

    /// Enters a token until `end`, unless that has come.
    fn enter_token(&mut self, mark: Mark, end: UnixTime, now: Now) -> Result<(), RevocationError> {
        let earliest = self.earliest.see(now);
        if end <= earliest {
            return Ok(());
        }
        let entered = self.tokens.insert(mark, (), end, earliest);
        // Before a new one is refused, the clock on the wall decides which have
        // ended: otherwise one that was behind by years would fill the list.
        let entered = entered.or_else(|_| self.tokens.insert(mark, (), end, now.wall));
        entered.map_err(|_| RevocationError::Full)
    }

    /// Enters a subject until `end`, unless that has come.
    fn enter_subject(
        &mut self,
        mark: Mark,
        before: UnixTime,
        end: UnixTime,
        now: Now,
    ) -> Result<(), RevocationError> {
        let earliest = self.earliest.see(now);
        if end <= earliest {
            return Ok(());
        }
        let known = self.subjects.get(mark, earliest);
        let before = known.map_or(before, |known| before.max(*known));
        let entered = self.subjects.insert(mark, before, end, earliest);
        let entered = entered.or_else(|_| self.subjects.insert(mark, before, end, now.wall));
        entered.map_err(|_| RevocationError::Full)
    }

    /// Whether an identity is revoked, and by what. Also asked for connections
    /// that are open, after each change.
    pub fn revokes(&self, identity: &Identity, now: Now) -> Option<RevokedBy> {
        let now = self.earliest.at(now);
        // A token that does not say when it was made may be as old as any.
        let made = identity.issued.unwrap_or(UnixTime(0));
        let token = identity.token_id().map(|id| Mark::of(&[id]));
        if token.is_some_and(|mark| self.tokens.get(mark, now).is_some()) {
            return Some(RevokedBy::Token);
        }
        if self.subjects.count() > 0
            && let Some(subject) = identity.subject()
            && let Some(before) = self.subjects.get(Mark::of(&[subject]), now)
            && made < *before
        {
            return Some(RevokedBy::Subject);
        }
        let before = self.before.filter(|before| made < *before);
        before.map(|_| RevokedBy::Before)
    }

    /// The earliest moment that it may be: by this one, and not by the clock on
    /// the wall, revocations that are kept elsewhere are forgotten.
    pub fn earliest(&self, now: Now) -> UnixTime {
        self.earliest.at(now)
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.tokens.count() + self.subjects.count() + usize::from(self.before.is_some())
    }
}

impl Revocation {
    /// Reads `jti NAME UNTIL`, `sub NAME BEFORE UNTIL` or `before TIME`. Names are
    /// between spaces; a name with spaces is written with `%20`.
    ///
    /// # Errors
    ///
    /// When the line has another form.
    pub fn parse(line: &str) -> Result<Self, RevocationError> {
        let words: Vec<_> = line.split_whitespace().take(5).collect();
        let time = |text: &str| UnixTime::parse(text).map_err(|_| RevocationError::Form);
        let name = |text: &str| crate::request::decoded(text).ok_or(RevocationError::Form);
        match *words {
            ["jti", id, expires] => Ok(Self::Token {
                id: name(id)?,
                expires: time(expires)?,
            }),
            ["sub", subject, before, expires] => Ok(Self::Subject {
                subject: name(subject)?,
                before: time(before)?,
                expires: time(expires)?,
            }),
            ["before", moment] => Ok(Self::Before(time(moment)?)),
            _ => Err(RevocationError::Form),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    /// A moment at which the clock on the wall is right.
    fn at(wall: UnixTime) -> Now {
        Now {
            wall,
            steady: wall.since(UnixTime(NOW.0 - 1000)),
        }
    }

    fn identity(claims: serde_json::Value) -> Identity {
        Identity {
            issued: claims["iat"].as_u64().map(UnixTime),
            claims: claims.as_object().unwrap().clone(),
            ..Identity::default()
        }
    }

    fn list(text: &str) -> Result<Revocations, (usize, RevocationError)> {
        Revocations::parse(text, at(NOW))
    }

    #[test]
    fn by_name_by_subject_and_by_age() {
        let until = NOW.plus(Duration::from_secs(60));
        let text = format!("# revoked\n\njti a%20b {until}\nsub ann {NOW} {until}\n");
        let revoked = list(&text).unwrap();
        let by = |claims| revoked.revokes(&identity(claims), at(NOW));
        assert_eq!(by(json!({"jti": "a b"})), Some(RevokedBy::Token));
        assert_eq!(by(json!({"jti": "a"})), None);
        let made = NOW.0;
        let subject = Some(RevokedBy::Subject);
        assert_eq!(by(json!({"sub": "ann", "iat": made - 1})), subject);
        assert_eq!(by(json!({"sub": "ann"})), subject);
        assert_eq!(by(json!({"sub": "ann", "iat": made})), None);
        assert_eq!(by(json!({"sub": "bob", "iat": made - 1})), None);
        assert_eq!(by(json!({})), None);
        for claims in [json!({"jti": "a b"}), json!({"sub": "ann"})] {
            let by = |wall| revoked.revokes(&identity(claims.clone()), at(wall));
            let end = until.plus(LEEWAY_MAX);
            assert!(by(until).is_some(), "a leeway may let it in");
            assert!(by(UnixTime(end.0 - 1)).is_some());
            assert_eq!(by(end), None, "it has ended by itself");
        }
        let all = list(&format!("before {NOW}\nbefore 2020-01-01T00:00:00Z")).unwrap();
        let by = |claims| all.revokes(&identity(claims), at(NOW));
        assert_eq!(by(json!({"iat": made - 1})), Some(RevokedBy::Before));
        assert_eq!(by(json!({})), Some(RevokedBy::Before));
        assert_eq!(by(json!({"iat": made})), None);
    }

    fn token(id: &str, expires: UnixTime) -> Revocation {
        Revocation::Token {
            id: id.into(),
            expires,
        }
    }

    fn subject(subject: &str, expires: UnixTime) -> Revocation {
        Revocation::Subject {
            subject: subject.into(),
            before: NOW,
            expires,
        }
    }

    /// It passes for as long as a trigger's leeway says, and may be revoked then.
    #[test]
    fn what_ended_within_the_longest_leeway_can_be_revoked() {
        for (ago, is_in_force) in [(0, true), (299, true), (300, false)] {
            let mut revoked = Revocations::new(at(NOW));
            let expires = UnixTime(NOW.0 - ago);
            for entry in [token("a", expires), subject("ann", expires)] {
                revoked.revoke(&entry, at(NOW)).unwrap();
            }
            for claims in [json!({"jti": "a"}), json!({"sub": "ann"})] {
                let by = revoked.revokes(&identity(claims), at(NOW));
                assert_eq!(by.is_some(), is_in_force, "{ago}");
            }
        }
    }

    #[test]
    fn a_clock_that_jumps_ahead_and_back_makes_nothing_good_again() {
        let until = NOW.plus(Duration::from_secs(300));
        let mut revoked = Revocations::new(at(NOW));
        for entry in [token("a", until), subject("ann", until)] {
            revoked.revoke(&entry, at(NOW)).unwrap();
        }
        let ahead = Now {
            wall: NOW.plus(Duration::from_secs(3600)),
            ..at(NOW.plus(Duration::from_secs(5)))
        };
        // Others are revoked meanwhile; one would have ended by that clock.
        for entry in [
            token("b", UnixTime(u64::MAX)),
            subject("bob", UnixTime(u64::MAX)),
            token("c", until),
            subject("eve", until),
        ] {
            revoked.revoke(&entry, ahead).unwrap();
        }
        let right = at(NOW.plus(Duration::from_secs(10)));
        for claims in [
            json!({"jti": "a"}),
            json!({"sub": "ann"}),
            json!({"jti": "c"}),
            json!({"sub": "eve"}),
        ] {
            let identity = identity(claims);
            for now in [ahead, right] {
                assert!(revoked.revokes(&identity, now).is_some(), "{identity:?}");
            }
        }
        assert_eq!(revoked.count(), 6);
        assert_eq!(revoked.earliest(ahead), NOW.plus(Duration::from_secs(5)));
        // Each is forgotten in the end.
        let end = at(until.plus(LEEWAY_MAX));
        revoked
            .revoke(&token("d", UnixTime(u64::MAX)), end)
            .unwrap();
        revoked
            .revoke(&subject("dan", UnixTime(u64::MAX)), end)
            .unwrap();
        assert_eq!(revoked.count(), 4);
    }

    /// A clock without a battery may begin in 1970.
    #[test]
    fn a_clock_that_was_behind_fills_no_list() {
        let behind = Now {
            wall: UnixTime(0),
            ..at(NOW)
        };
        let mut revoked = Revocations::with_max(1, behind);
        let until = UnixTime(NOW.0 + 10);
        for entry in [token("a", until), subject("ann", until)] {
            assert_eq!(revoked.revoke(&entry, at(NOW)), Ok(()));
        }
        let end = at(until.plus(LEEWAY_MAX));
        let before = at(UnixTime(end.wall.0 - 1));
        let later = until.plus(2 * LEEWAY_MAX);
        for entry in [token("b", later), subject("bob", later)] {
            assert_eq!(revoked.revoke(&entry, before), Err(RevocationError::Full));
            assert_eq!(revoked.revoke(&entry, end), Ok(()));
        }
        assert_eq!(revoked.count(), 2);
    }

    #[test]
    fn of_two_moments_of_a_subject_the_later_one_counts() {
        let mut revoked = Revocations::new(at(NOW));
        for before in [NOW.0, NOW.0 - 100] {
            let entry = Revocation::Subject {
                subject: "ann".into(),
                before: UnixTime(before),
                expires: UnixTime(NOW.0 + 60),
            };
            revoked.revoke(&entry, at(NOW)).unwrap();
        }
        let ann = identity(json!({"sub": "ann", "iat": NOW.0 - 1}));
        assert_eq!(revoked.revokes(&ann, at(NOW)), Some(RevokedBy::Subject));
    }

    #[test]
    fn a_list_with_a_wrong_line_is_refused_and_names_it() {
        for bad in [
            "jti a",
            "jti a tomorrow",
            "jti a 2027-01-01T00:00:00Z b",
            "sub a 2027-01-01T00:00:00Z",
            "iss a 2027-01-01T00:00:00Z",
            "jti a%2 2027-01-01T00:00:00Z",
            "before",
        ] {
            let text = format!("{}{bad}\n", "# fine\n".repeat(299));
            assert_eq!(
                list(&text).err(),
                Some((300, RevocationError::Form)),
                "{bad}"
            );
        }
        let name = |bytes: usize| format!("jti {} 2099-01-01T00:00:00Z", "a".repeat(bytes));
        assert!(list(&name(NAME_BYTES_MAX)).is_ok());
        let long = list(&name(NAME_BYTES_MAX + 1)).err();
        assert_eq!(long, Some((1, RevocationError::Long)));
    }

    #[test]
    fn past_the_limit_only_what_is_there_already_is_taken() {
        let mut revoked = Revocations::with_max(2, at(NOW));
        let mut revoke = |line: &str| {
            let entry = Revocation::parse(&format!("{line} 2099-01-01T00:00:00Z")).unwrap();
            revoked.revoke(&entry, at(NOW))
        };
        for kind in ["jti", "sub"] {
            let before = if kind == "sub" {
                " 2026-01-01T00:00:00Z"
            } else {
                ""
            };
            assert_eq!(revoke(&format!("{kind} a{before}")), Ok(()));
            assert_eq!(revoke(&format!("{kind} b{before}")), Ok(()));
            let past = revoke(&format!("{kind} c{before}"));
            assert_eq!(past, Err(RevocationError::Full));
            assert_eq!(revoke(&format!("{kind} b{before}")), Ok(()));
        }
        assert_eq!(revoked.count(), 4);
    }

    /// A tenth of the limit, because a build for tests is slow; whether one is
    /// revoked does not depend on the number.
    #[test]
    fn many_tokens_are_revoked() {
        let mut revoked = Revocations::new(at(NOW));
        let expires = UnixTime(NOW.0 + 3600);
        let names = (0..100_000).map(|number| format!("t{number}"));
        for id in names {
            revoked
                .revoke(&Revocation::Token { id, expires }, at(NOW))
                .unwrap();
        }
        assert_eq!(revoked.count(), 100_000);
        let by = |id: &str| revoked.revokes(&identity(json!({"jti": id})), at(NOW));
        assert_eq!(by("t77777"), Some(RevokedBy::Token));
        assert_eq!(by("t100000"), None);
    }
}
