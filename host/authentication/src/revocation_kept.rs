//! Revocations as they are kept: by marks, so that each has the same size and no
//! name of a peer is on the disk.

use openline_core::authentication::UnixTime;

use super::{Revocation, RevocationError, Revocations, RevokedBy};
use crate::expiring::Mark;
use crate::token::Now;

/// One revocation that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptRevocation {
    /// What it is about.
    pub by: RevokedBy,
    /// The mark of the token or the subject; nothing where age decides.
    pub mark: [u8; 16],
    /// Tokens that were made before this moment are revoked; 0 for a single token.
    pub before: UnixTime,
    /// By then, every token that it could be about has ended.
    pub end: UnixTime,
}

impl Revocations {
    /// An entry as it is in force, together with what was revoked before; `None`
    /// if it is not in force, because it has ended.
    pub fn kept(&self, entry: &Revocation) -> Option<KeptRevocation> {
        let never = UnixTime(u64::MAX);
        match entry {
            Revocation::Token { id, .. } => {
                let mark = Mark::of(&[id]);
                self.tokens.known(mark).map(|((), end)| KeptRevocation {
                    by: RevokedBy::Token,
                    mark: mark.bytes(),
                    before: UnixTime(0),
                    end: *end,
                })
            }
            Revocation::Subject { subject, .. } => {
                let mark = Mark::of(&[subject]);
                let known = self.subjects.known(mark);
                known.map(|(before, end)| KeptRevocation {
                    by: RevokedBy::Subject,
                    mark: mark.bytes(),
                    before: *before,
                    end: *end,
                })
            }
            Revocation::Before(_) => self.before.map(|before| KeptRevocation {
                by: RevokedBy::Before,
                mark: [0; 16],
                before,
                end: never,
            }),
        }
    }

    /// Puts a revocation that was kept into force again, unless it has ended
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// When there are too many.
    pub fn restore(&mut self, kept: KeptRevocation, now: Now) -> Result<(), RevocationError> {
        let KeptRevocation {
            by,
            mark,
            before,
            end,
        } = kept;
        let mark = Mark::from_bytes(mark);
        match by {
            RevokedBy::Token => self.enter_token(mark, end, now),
            RevokedBy::Subject => self.enter_subject(mark, before, end, now),
            RevokedBy::Before => {
                self.before = self.before.max(Some(before));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openline_core::authentication::LEEWAY_MAX;

    use super::*;

    const NOW: Now = at(1000);

    const fn at(wall: u64) -> Now {
        Now {
            wall: UnixTime(wall),
            steady: Duration::from_secs(wall),
        }
    }

    fn entries() -> [Revocation; 3] {
        [
            Revocation::Token {
                id: "one".into(),
                expires: UnixTime(2000),
            },
            Revocation::Subject {
                subject: "ann".into(),
                before: UnixTime(900),
                expires: UnixTime(3000),
            },
            Revocation::Before(UnixTime(800)),
        ]
    }

    #[test]
    fn what_was_kept_is_revoked_again() {
        let mut first = Revocations::new(NOW);
        let mut next = Revocations::new(NOW);
        for entry in entries() {
            assert_eq!(first.kept(&entry), None, "it is not in force");
            first.revoke(&entry, NOW).unwrap();
            next.restore(first.kept(&entry).unwrap(), NOW).unwrap();
            assert_eq!(next.kept(&entry), first.kept(&entry));
        }
        assert_eq!(next.count(), 3);
        let mut late = Revocations::new(NOW);
        for entry in entries() {
            late.restore(first.kept(&entry).unwrap(), at(2000 + LEEWAY_MAX.as_secs()))
                .unwrap();
        }
        assert_eq!(late.count(), 2, "one has ended");
    }

    #[test]
    fn the_later_of_two_is_kept() {
        let subject = |before, expires| Revocation::Subject {
            subject: "ann".into(),
            before: UnixTime(before),
            expires: UnixTime(expires),
        };
        let mut revocations = Revocations::new(NOW);
        revocations.revoke(&subject(900, 2000), NOW).unwrap();
        let second = subject(500, 3000);
        revocations.revoke(&second, NOW).unwrap();
        let kept = revocations.kept(&second).unwrap();
        let end = UnixTime(3000).plus(LEEWAY_MAX);
        assert_eq!((kept.before, kept.end), (UnixTime(900), end));
        revocations
            .restore(
                KeptRevocation {
                    before: UnixTime(1),
                    ..kept
                },
                NOW,
            )
            .unwrap();
        assert_eq!(revocations.kept(&second), Some(kept));
        let ended = subject(900, 1000 - LEEWAY_MAX.as_secs());
        let mut none = Revocations::new(NOW);
        none.revoke(&ended, NOW).unwrap();
        assert_eq!(none.kept(&ended), None);
    }

    #[test]
    fn no_more_are_restored_than_can_be_in_force() {
        let kept = |number: u8| KeptRevocation {
            by: RevokedBy::Token,
            mark: [number; 16],
            before: UnixTime(0),
            end: UnixTime(2000),
        };
        let mut revocations = Revocations::with_max(2, NOW);
        assert_eq!(revocations.restore(kept(1), NOW), Ok(()));
        assert_eq!(revocations.restore(kept(2), NOW), Ok(()));
        assert_eq!(
            revocations.restore(kept(3), NOW),
            Err(RevocationError::Full)
        );
        assert_eq!(revocations.restore(kept(2), NOW), Ok(()));
    }
}
