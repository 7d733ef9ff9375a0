//! The operations on a deployment. Each happens completely or leaves the
//! deployment as it was.

use super::{
    ALIASES_MAX, AliasRecord, DRAIN_PACE_MAX, Deployment, DeploymentError, HISTORY_MAX, Migration,
    NOTE_BYTES_MAX, Share, VersionRecord, shares,
};
use crate::digest::{DIGEST_LETTERS_MIN, Digest};
use crate::name::{AliasName, TriggerName};
use crate::trigger::{TRIGGERS_MAX, Trigger};

/// The changes that a deploy made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// The version is new.
    pub version_is_new: bool,
    /// The alias points elsewhere than before, or is new.
    pub alias_moved: bool,
}

impl Deployment {
    /// Adds a version and points an alias to it: with `weight` of a hundred
    /// connections, which the alias's other versions give up in proportion, or
    /// with all of them. A version that already exists keeps its record, and
    /// only the alias moves.
    ///
    /// # Errors
    ///
    /// When the weight is not 1 to 100, when it is less than 100 and no other
    /// version of the alias can take the rest, when the note is too long, and
    /// when there are too many aliases.
    pub fn deploy(
        &mut self,
        record: VersionRecord,
        alias: &AliasName,
        weight: Option<u32>,
        migration: Option<Migration>,
    ) -> Result<Deployed, DeploymentError> {
        check_note(&record)?;
        let digest = record.digest;
        let current = self.aliases.get(alias).map_or(&[][..], AliasRecord::shares);
        let shares =
            match weight.unwrap_or(shares::WHOLE) {
                shares::WHOLE => shares::whole(digest),
                weight @ 1..shares::WHOLE => shares::with_weight(current, digest, weight)
                    .ok_or_else(|| DeploymentError::NothingBeside {
                        alias: alias.clone(),
                        rest: shares::WHOLE - weight,
                    })?,
                weight => return Err(DeploymentError::Weight(weight)),
            };
        let alias_moved = self.point(alias, shares, migration)?;
        let version_is_new = self.version(&digest).is_none();
        if version_is_new {
            self.versions.push(record);
        }
        Ok(Deployed {
            version_is_new,
            alias_moved,
        })
    }

    /// Points an alias, which may be new, to versions by weight. The order of
    /// those that stay does not change, so that few connections move.
    ///
    /// # Errors
    ///
    /// When a weight is 0, when the weights do not add up to 100, when a
    /// version does not exist or is named twice, and when there are too many
    /// aliases.
    pub fn set_alias(
        &mut self,
        alias: &AliasName,
        shares: &[Share],
        migration: Option<Migration>,
    ) -> Result<(), DeploymentError> {
        shares::check(shares, |version| self.version(version).is_some())?;
        let current = self.aliases.get(alias).map_or(&[][..], AliasRecord::shares);
        let shares = shares::ordered(current, shares);
        self.point(alias, shares, migration).map(|_| ())
    }

    /// Sets how many of an alias's connections are drained in a second; `None`
    /// means the host's own pace.
    ///
    /// # Errors
    ///
    /// When there is no such alias, and when the pace is 0 or past
    /// [`DRAIN_PACE_MAX`].
    pub fn set_drain_pace(
        &mut self,
        alias: &AliasName,
        connections_per_second: Option<u32>,
    ) -> Result<(), DeploymentError> {
        check_pace(connections_per_second)?;
        self.alias_mut(alias)?.drain_connections_per_second = connections_per_second;
        Ok(())
    }

    /// Gives all connections of an alias to one version: to the canary, which
    /// is the share that was added last, or to the named one.
    ///
    /// # Errors
    ///
    /// When there is no such alias or version, and when no version is named
    /// and all connections go to one already.
    pub fn promote(
        &mut self,
        alias: &AliasName,
        version: Option<Digest>,
    ) -> Result<Digest, DeploymentError> {
        let record = self.alias_mut(alias)?;
        let version = match (version, &record.shares[..]) {
            (Some(version), _) => version,
            (None, [_, .., canary]) => canary.version,
            (None, _) => return Err(DeploymentError::NoCanary(alias.clone())),
        };
        if self.version(&version).is_none() {
            return Err(DeploymentError::NoVersion(version));
        }
        self.point(alias, shares::whole(version), None)?;
        Ok(version)
    }

    /// Points an alias to where it pointed before, and takes that entry from
    /// its history, so that the next rollback goes further back.
    ///
    /// # Errors
    ///
    /// When there is no such alias, and when it never pointed elsewhere.
    pub fn rollback(&mut self, alias: &AliasName) -> Result<(), DeploymentError> {
        let record = self.alias_mut(alias)?;
        let before = record.before.pop();
        record.shares = before.ok_or_else(|| DeploymentError::NoBefore(alias.clone()))?;
        Ok(())
    }

    /// Sets a trigger of a running host, and returns whether it is new. The
    /// caller checks whether it goes together with all others.
    ///
    /// # Errors
    ///
    /// When there are too many.
    pub fn set_trigger(&mut self, trigger: Trigger) -> Result<bool, DeploymentError> {
        let place = self
            .triggers
            .binary_search_by(|other| other.name.cmp(&trigger.name));
        match place {
            Ok(place) => self.triggers[place] = trigger,
            Err(_) if self.triggers.len() >= TRIGGERS_MAX => {
                return Err(DeploymentError::TooManyTriggers);
            }
            Err(place) => self.triggers.insert(place, trigger),
        }
        Ok(place.is_err())
    }

    /// Removes a trigger of a running host.
    ///
    /// # Errors
    ///
    /// When there is none of this name.
    pub fn remove_trigger(&mut self, name: &TriggerName) -> Result<(), DeploymentError> {
        let place = self.triggers.iter().position(|other| other.name == *name);
        let place = place.ok_or_else(|| DeploymentError::NoTrigger(name.clone()))?;
        self.triggers.remove(place);
        Ok(())
    }

    /// Removes a version, also from the histories of aliases.
    ///
    /// # Errors
    ///
    /// When there is no such version, and when an alias points to it.
    pub fn remove_version(&mut self, version: &Digest) -> Result<(), DeploymentError> {
        if self.version(version).is_none() {
            return Err(DeploymentError::NoVersion(*version));
        }
        if let Some((alias, _)) = self.aliases.iter().find(|(_, it)| it.points_to(version)) {
            return Err(DeploymentError::InUse {
                version: *version,
                alias: alias.clone(),
            });
        }
        self.forget(version);
        Ok(())
    }

    /// Removes an alias. Any but the last can be removed, even `live`: a
    /// function needs one to have a version to serve. The caller checks whether
    /// a route leads to it.
    ///
    /// # Errors
    ///
    /// When there is no such alias, and when it is the last one.
    pub fn remove_alias(&mut self, alias: &AliasName) -> Result<(), DeploymentError> {
        if !self.aliases.contains_key(alias) {
            return Err(DeploymentError::NoAlias(alias.clone()));
        }
        if self.aliases.len() == 1 {
            return Err(DeploymentError::LastAlias(alias.clone()));
        }
        self.aliases.remove(alias);
        Ok(())
    }

    /// The one version whose digest begins with `prefix`.
    ///
    /// # Errors
    ///
    /// When the prefix has fewer than [`DIGEST_LETTERS_MIN`] letters or others
    /// than `0-9a-f`, and when no version or more than one matches.
    pub fn find_version(&self, prefix: &str) -> Result<Digest, DeploymentError> {
        let shown = || prefix.chars().take(64).collect();
        let letter = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if prefix.len() < DIGEST_LETTERS_MIN || !prefix.bytes().all(letter) {
            return Err(DeploymentError::NotPrefix(shown()));
        }
        let found: Vec<Digest> = self
            .versions
            .iter()
            .map(|version| version.digest)
            .filter(|digest| digest.to_string().starts_with(prefix))
            .collect();
        match found[..] {
            [] => Err(DeploymentError::NotFound(shown())),
            [digest] => Ok(digest),
            _ => Err(DeploymentError::Ambiguous {
                prefix: shown(),
                count: found.len(),
            }),
        }
    }

    /// Removes the oldest versions until there are at most `most`, and returns
    /// the removed ones. A version stays if an alias points to it or would
    /// after a rollback, or if `keep` says so; more than `most` may then
    /// remain.
    pub fn trim(&mut self, most: usize, keep: impl Fn(&Digest) -> bool) -> Vec<Digest> {
        let needed = |version: &Digest| {
            self.aliases.values().any(|alias| {
                let next = alias.before.last();
                alias.points_to(version) || next.is_some_and(|next| shares::name(next, version))
            })
        };
        let removed: Vec<Digest> = self
            .versions
            .iter()
            .map(|version| version.digest)
            .filter(|version| !needed(version) && !keep(version))
            .take(self.versions.len().saturating_sub(most))
            .collect();
        for version in &removed {
            self.forget(version);
        }
        removed
    }

    fn alias_mut(&mut self, alias: &AliasName) -> Result<&mut AliasRecord, DeploymentError> {
        self.aliases
            .get_mut(alias)
            .ok_or_else(|| DeploymentError::NoAlias(alias.clone()))
    }

    /// Points an alias to checked shares and remembers where it pointed.
    /// Returns whether it moved.
    fn point(
        &mut self,
        alias: &AliasName,
        shares: Vec<Share>,
        migration: Option<Migration>,
    ) -> Result<bool, DeploymentError> {
        let Some(record) = self.aliases.get_mut(alias) else {
            if self.aliases.len() == ALIASES_MAX {
                return Err(DeploymentError::TooManyAliases);
            }
            let record = AliasRecord {
                shares,
                migration,
                drain_connections_per_second: None,
                before: Vec::new(),
            };
            self.aliases.insert(alias.clone(), record);
            return Ok(true);
        };
        record.migration = migration.or(record.migration);
        if record.shares == shares {
            return Ok(false);
        }
        if record.before.len() == HISTORY_MAX {
            record.before.remove(0);
        }
        record
            .before
            .push(std::mem::replace(&mut record.shares, shares));
        Ok(true)
    }

    /// Removes a version to which no alias points, also from the histories.
    fn forget(&mut self, version: &Digest) {
        self.versions.retain(|other| other.digest != *version);
        for alias in self.aliases.values_mut() {
            alias.before.retain(|shares| !shares::name(shares, version));
            // Without equal neighbours, so that a rollback always changes
            // something.
            alias.before.dedup();
            if alias.before.last() == Some(&alias.shares) {
                alias.before.pop();
            }
        }
    }
}

pub(super) fn check_note(record: &VersionRecord) -> Result<(), DeploymentError> {
    match record.note.as_ref().map(String::len) {
        Some(bytes) if bytes > NOTE_BYTES_MAX => Err(DeploymentError::Note(bytes)),
        _ => Ok(()),
    }
}

pub(super) fn check_pace(connections_per_second: Option<u32>) -> Result<(), DeploymentError> {
    match connections_per_second {
        Some(pace) if !(1..=DRAIN_PACE_MAX).contains(&pace) => Err(DeploymentError::Pace(pace)),
        _ => Ok(()),
    }
}
