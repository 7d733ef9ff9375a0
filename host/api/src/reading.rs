//! What several protocols read of channels: lists of them, and publications as
//! the dialects show them.
//!
//! Bounded: a page has at most [`PAGE_BYTES`] of publications. A list looks at all
//! names of its spaces, so it runs on a thread that may wait.

use std::sync::Arc;

use bytestring::ByteString;
use openline_admission::keys::Key;
use openline_broker::publication::Publication as Kept;
use openline_channels::forms;
use openline_channels::reading::ChannelView;
use openline_core::key::Scope;
use openline_core::name::ChannelName;
use openline_dialects::Tags;
use openline_dialects::rest::{ApiError, Stored};

use crate::access::Place;
use crate::failed::Failed;

/// Bytes of publications on one page.
pub(crate) const PAGE_BYTES: usize = 4 << 20;

/// Channels in the order of their names that a key may read and that are asked
/// for. Looks at all names.
pub(crate) fn list(
    place: &Place,
    key: &Key,
    after: Option<&ChannelName>,
    limit: usize,
    fits: impl Fn(&str) -> bool,
) -> Vec<ChannelView> {
    let mut found = Vec::new();
    for (space, _) in place.spaces() {
        let is_wanted = |name: &ChannelName| {
            fits(name.as_str())
                && place
                    .space(key, Scope::Read, name)
                    .is_ok_and(|of| Arc::ptr_eq(&of, &space))
        };
        found.extend(space.channels(after, limit, is_wanted));
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found.truncate(limit);
    found
}

/// Runs what looks at much on a thread that may wait.
pub(crate) async fn looked<T: Send + 'static>(
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failed> {
    let looked = tokio::task::spawn_blocking(look).await;
    looked.map_err(|_| ApiError::Internal.into())
}

/// Shows publications in the words of the dialects.
pub(crate) fn with_all<T>(publications: &[Kept], show: impl FnOnce(&[Stored<'_>]) -> T) -> T {
    let owned: Vec<_> = publications.iter().map(Owned::of).collect();
    let stored = publications.iter().zip(&owned);
    let stored: Vec<_> = stored
        .map(|(publication, owned)| owned.stored(publication))
        .collect();
    show(&stored)
}

/// What a view of a publication borrows beside the publication.
#[derive(Debug)]
pub(crate) struct Owned {
    position: Option<String>,
    id: String,
    sender: Option<String>,
    tags: OwnedTags,
}

/// Tags as the dialects see them.
#[derive(Debug)]
struct OwnedTags(Vec<(ByteString, ByteString)>);

impl Tags for OwnedTags {
    fn each(&self, show: &mut dyn FnMut(&str, &str)) {
        for (name, value) in &self.0 {
            show(name, value);
        }
    }
}

impl Owned {
    pub(crate) fn of(publication: &Kept) -> Self {
        let id = forms::with_view(publication, |view| view.id.to_owned());
        Self {
            position: publication.position.map(|it| it.to_string()),
            id,
            sender: publication
                .sender
                .as_ref()
                .map(|it| it.connection.to_string()),
            tags: OwnedTags(publication.tags.as_slice().to_vec()),
        }
    }

    fn stored<'a>(&'a self, publication: &'a Kept) -> Stored<'a> {
        let sender = publication.sender.as_ref().zip(self.sender.as_deref());
        let view = openline_dialects::PublicationView {
            channel: publication.channel.as_str(),
            offset: publication.position.map_or(0, |it| it.offset),
            id: &self.id,
            event: publication.event.as_deref(),
            data: forms::data_view(&publication.data),
            tags: (!self.tags.0.is_empty()).then_some(&self.tags as &dyn Tags),
            sender: sender.map(|(sender, connection)| openline_dialects::MemberView {
                connection,
                user: sender.user.as_deref().unwrap_or_default(),
                connection_info: None,
                channel_info: None,
            }),
            time_ms: publication.time.0,
        };
        Stored {
            view,
            position: self.position.as_deref(),
            key: publication.key.as_deref(),
            removed: publication.removed,
        }
    }
}

/// A number of a count.
pub(crate) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
