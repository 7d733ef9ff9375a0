//! Reads the lists of firewalls again when their files change.
//!
//! Files are looked at every [`LOOK_AGAIN`], like those of certificates, and read
//! when two looks in a row have found the same: one that a program still writes
//! is not complete.
//! Whatever is wrong with a new file, all lists stay as they are; a file that
//! was wrong is read again when it has changed once more. Reading lists, and
//! giving back the memory of those that were replaced, happens on threads that
//! serve no connection. Bounded: two states of all lists, and the one that is
//! being read.

use std::sync::Arc;
use std::time::Duration;

use openline_admission::services::Services;
use openline_firewall::list::ListKind;
use openline_firewall::rules::Firewalls;
use openline_hint::Hint;
use tokio::task::spawn_blocking;

use crate::lists::{Lists, Look, Stamps};
use crate::telemetry::tell;

/// How often the files are looked at: tools replace lists every few minutes at
/// most, and a person who blocks an address wants to see that soon.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Reads lists again whenever their files change.
pub(crate) async fn watch(services: Arc<Services>, lists: Arc<Lists>) {
    let mut tried = None;
    let mut seen = Stamps::new();
    // Keeps what was in force for one more look, so that no request is the last
    // to let go of a large list.
    let mut before = lists.current();
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        let current = lists.current();
        let old = std::mem::replace(&mut before, Arc::clone(&current));
        let looking = spawn_blocking({
            let current = Arc::clone(&current);
            move || {
                drop(old);
                let look = current.look(&seen, tried.as_ref());
                (look, tried)
            }
        });
        // It fails only where the host is ending.
        let Ok((look, last)) = looking.await else {
            return;
        };
        seen = Stamps::new();
        tried = match look {
            Look::Same => last,
            Look::Changing(now) => {
                seen = now;
                last
            }
            Look::Read(read) => {
                if services.put_lists(read.firewalls.clone()) {
                    tell_sizes(&current.firewalls, &read.firewalls);
                    lists.put_instead(&current, read);
                    tell("read the lists of firewalls again");
                }
                None
            }
            Look::Wrong(error, stamps) => {
                tell(&error.explained());
                tell("lists not replaced: the firewalls go on with those that they have");
                Some(stamps)
            }
        };
    }
}

/// Says how many entries each list in a file has, and had, if that has changed:
/// and louder if it has lost more than half of them.
fn tell_sizes(before: &Firewalls, after: &Firewalls) {
    for ((name, before), (_, after)) in before.listed().zip(after.listed()) {
        let (had, has) = (before.len(), after.len());
        let entries = match after.kind() {
            ListKind::Networks => "ranges of addresses",
            ListKind::Texts => "texts",
        };
        if has < had.div_ceil(2) {
            tell(&format!(
                "warning: the list `{name}` has {has} {entries}, and had {had}\n  hint: replace a file by renaming a complete one over it"
            ));
        } else if had != has {
            tell(&format!(
                "the list `{name}` has {has} {entries}, and had {had}"
            ));
        }
    }
}
