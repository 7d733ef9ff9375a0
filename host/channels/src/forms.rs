//! The encodings of one publication: one for each dialect that a subscriber of
//! this node speaks, made when the first such subscriber is there, and shared by
//! all.
//!
//! Bounded by the publication and one encoding of it for each dialect.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::OnceLock;

use bytestring::ByteString;
use openline_broker::channel::Backlog;
use openline_broker::presence::Member;
use openline_broker::publication::{Data, Publication};
use openline_core::dialect::DialectName;
use openline_core::message::{Compress, Message};
use openline_dialects::rest::Stored;
use openline_dialects::{
    DataView, Dialect, MemberView, PositionView, PublicationView, Recovery, Subscribed, Tags, sse,
};

use crate::shared::SharedMessage;
use crate::sync::{AtomicU64, Ordering};

/// The raw form, and one for each dialect.
const FORMS: usize = 1 + DialectName::COUNT;

/// The encodings of a publication, as far as they were needed.
#[derive(Debug)]
pub(crate) struct Forms<'a> {
    publication: &'a Publication,
    compress: Compress,
    /// Whether subscribers count on it.
    counts: bool,
    made: [Option<Arc<SharedMessage>>; FORMS],
}

impl<'a> Forms<'a> {
    /// None is made yet.
    pub(crate) fn new(publication: &'a Publication, compress: Compress, counts: bool) -> Self {
        Self {
            publication,
            compress,
            counts,
            made: [const { None }; FORMS],
        }
    }

    /// The encoding for the connections of a dialect, or for those without one.
    pub(crate) fn of(&mut self, dialect: Option<DialectName>) -> &Arc<SharedMessage> {
        let index = dialect.map_or(0, |dialect| 1 + dialect as usize);
        let (publication, compress, counts) = (self.publication, self.compress, self.counts);
        self.made[index].get_or_insert_with(|| {
            let message = self::publication(dialect, publication);
            match counts {
                true => SharedMessage::counted(message, compress),
                false => SharedMessage::with(message, compress),
            }
        })
    }
}

/// The dialect of a name; none for streams of events, which answer nobody.
pub fn spoken(name: DialectName) -> Option<Dialect> {
    match name {
        DialectName::Pushflo => Some(Dialect::Pushflo),
        DialectName::Centrifugo => Some(Dialect::Centrifugo),
        DialectName::Events | DialectName::HeldEvents => None,
    }
}

/// A message of a function, in the frame that a peer of a dialect gets.
pub fn spoken_message(name: DialectName, message: Message) -> Message {
    match (spoken(name), name) {
        (Some(dialect), _) => {
            let data = data_of(message);
            Message::Text(dialect.message(data_view(&data)))
        }
        (None, DialectName::HeldEvents) => Message::Text(match &message {
            Message::Text(text) => sse::text(text),
            Message::Binary(bytes) => sse::binary(bytes),
        }),
        (None, _) => message,
    }
}

/// A publication for one peer, in the words of its dialect if it has one.
pub fn publication(dialect: Option<DialectName>, publication: &Publication) -> Message {
    match dialect {
        None => raw(&publication.data),
        Some(dialect) => Message::Text(spoken_form(publication, dialect)),
    }
}

fn spoken_form(publication: &Publication, name: DialectName) -> ByteString {
    match spoken(name) {
        Some(dialect) => with_view(publication, |view| dialect.publication(view)),
        None if name == DialectName::HeldEvents => held_event(publication),
        None => event(publication),
    }
}

/// A publication as an event of a stream: all of it, with its position as the
/// event's id.
pub fn event(publication: &Publication) -> ByteString {
    with_stored(publication, |stored| {
        sse::publication(stored, sse::Form::Document)
    })
}

/// A publication as an event of a held answer: its data alone, with its position as
/// the event's id.
pub fn held_event(publication: &Publication) -> ByteString {
    with_stored(publication, |stored| {
        sse::publication(stored, sse::Form::Data)
    })
}

/// Shows a publication with its position as text.
pub fn with_stored<T>(publication: &Publication, show: impl FnOnce(&Stored<'_>) -> T) -> T {
    let position = publication.position.map(|position| position.to_string());
    with_view(publication, |view| {
        show(&Stored {
            view: *view,
            position: position.as_deref(),
            key: publication.key.as_deref(),
            removed: publication.removed,
        })
    })
}

/// The message of a publication for a peer without a dialect: its data and
/// nothing else.
pub fn raw(data: &Data) -> Message {
    match data {
        Data::Text(text) | Data::Json(text) => Message::Text(text.clone()),
        Data::Binary(bytes) => Message::Binary(bytes.clone()),
    }
}

/// The data of a message.
pub fn data_of(message: Message) -> Data {
    match message {
        Message::Text(text) => Data::Text(text),
        Message::Binary(bytes) => Data::Binary(bytes),
    }
}

/// A publication's data in the words of the dialects. Text is looked at: it may
/// be JSON.
pub fn data_view(data: &Data) -> DataView<'_> {
    match data {
        Data::Text(text) => DataView::of_text(text),
        Data::Json(text) => DataView::Json(text),
        Data::Binary(bytes) => DataView::Binary(bytes),
    }
}

/// Shows a publication in the words of the dialects.
pub fn with_view<T>(publication: &Publication, show: impl FnOnce(&PublicationView<'_>) -> T) -> T {
    show(&Shown::new(publication).view())
}

/// Shows publications in the words of the dialects, in their order.
pub fn with_views<T>(
    publications: &[Publication],
    show: impl FnOnce(&[PublicationView<'_>]) -> T,
) -> T {
    let shown: Vec<_> = publications.iter().map(Shown::new).collect();
    let views: Vec<_> = shown.iter().map(Shown::view).collect();
    show(&views)
}

/// What a view of a publication refers to.
struct Shown<'a> {
    publication: &'a Publication,
    id: Cow<'a, str>,
    connection: Option<String>,
    tags: &'a [(ByteString, ByteString)],
}

impl<'a> Shown<'a> {
    fn new(publication: &'a Publication) -> Self {
        let id = match (&publication.id, publication.position) {
            (Some(id), _) => Cow::Borrowed(&**id),
            (None, Some(position)) => Cow::Owned(position.to_string()),
            (None, None) => Cow::Owned(unique()),
        };
        let sender = publication.sender.as_ref();
        Self {
            publication,
            id,
            connection: sender.map(|sender| sender.connection.to_string()),
            tags: publication.tags.as_slice(),
        }
    }

    fn view(&self) -> PublicationView<'_> {
        let publication = self.publication;
        let sender = publication.sender.as_ref().zip(self.connection.as_deref());
        PublicationView {
            channel: publication.channel.as_str(),
            offset: publication.position.map_or(0, |position| position.offset),
            id: &self.id,
            event: publication.event.as_deref(),
            data: data_view(&publication.data),
            tags: (!self.tags.is_empty()).then_some(&self.tags as &dyn Tags),
            sender: sender.map(|(sender, connection)| MemberView {
                connection,
                user: sender.user.as_deref().unwrap_or_default(),
                connection_info: None,
                channel_info: None,
            }),
            time_ms: publication.time.0,
        }
    }
}

/// What a subscriber gets before anything new, in the words of its dialect: what
/// `announce` makes of the outcome of its subscription, and publications that are
/// not part of that.
pub fn greeting(
    dialect: DialectName,
    backlog: &Backlog,
    announce: impl FnOnce(&Subscribed<'_>) -> ByteString,
) -> Vec<Message> {
    let joined = Joined::new(backlog);
    let first = announce(&joined.outcome(&joined.views()));
    let first = std::iter::once(Message::Text(first));
    first.chain(unannounced(dialect, backlog)).collect()
}

/// The publications of a backlog that are not part of the outcome of its
/// subscription: those of a peer that is new, or has lost some.
pub fn unannounced(
    dialect: DialectName,
    backlog: &Backlog,
) -> impl Iterator<Item = Message> + use<'_> {
    let rest = match backlog.recovered {
        Some(true) => &[][..],
        _ => &backlog.publications[..],
    };
    rest.iter().map(move |it| publication(Some(dialect), it))
}

/// The outcome of a subscription in the words of the dialects. Publications are
/// part of it if they are all that was missed.
#[expect(missing_debug_implementations, reason = "it has views")]
pub struct Joined<'a> {
    backlog: &'a Backlog,
    epoch: Option<String>,
    recovered: Vec<Shown<'a>>,
}

impl<'a> Joined<'a> {
    /// The outcome with this backlog.
    pub fn new(backlog: &'a Backlog) -> Self {
        let recovered = match backlog.recovered {
            Some(true) => &backlog.publications[..],
            _ => &[],
        };
        Self {
            backlog,
            epoch: backlog.position.map(|position| position.epoch.to_string()),
            recovered: recovered.iter().map(Shown::new).collect(),
        }
    }

    /// Its publications, for [`outcome`](Self::outcome).
    pub fn views(&self) -> Vec<PublicationView<'_>> {
        self.recovered.iter().map(Shown::view).collect()
    }

    /// The outcome, with its [`views`](Self::views).
    pub fn outcome<'v>(&'v self, views: &'v [PublicationView<'v>]) -> Subscribed<'v> {
        let position = self.backlog.position.zip(self.epoch.as_deref());
        let position = position.map(|(position, epoch)| PositionView {
            epoch,
            offset: position.offset,
        });
        Subscribed {
            position,
            recoverable: position.is_some(),
            recovery: match self.backlog.recovered {
                None => Recovery::NotAsked,
                Some(true) => Recovery::Recovered(views),
                Some(false) => Recovery::Failed,
            },
            ttl_s: None,
            data: None,
        }
    }
}

/// Shows members in the words of the dialects, in their order.
pub fn with_members<T>(members: &[Member], show: impl FnOnce(&[MemberView<'_>]) -> T) -> T {
    let names: Vec<_> = members.iter().map(|it| it.connection.to_string()).collect();
    let views: Vec<_> = members.iter().zip(&names).map(member_view).collect();
    show(&views)
}

fn member_view<'a>((member, connection): (&'a Member, &'a String)) -> MemberView<'a> {
    let info = member.info.as_ref().and_then(|info| match info {
        Data::Json(text) => Some(&**text),
        _ => None,
    });
    MemberView {
        connection,
        user: member.user.as_deref().unwrap_or_default(),
        connection_info: None,
        channel_info: info,
    }
}

/// Shows a member in the words of the dialects.
pub fn with_member<T>(member: &Member, show: impl FnOnce(&MemberView<'_>) -> T) -> T {
    let connection = member.connection.to_string();
    show(&member_view((member, &connection)))
}

/// What others are told of a member, in the words of a dialect that has such
/// news.
pub(crate) fn news(
    dialect: DialectName,
    channel: &str,
    member: &Member,
    joins: bool,
) -> Option<ByteString> {
    let dialect = spoken(dialect)?;
    with_member(member, |view| match joins {
        true => dialect.joined(channel, view),
        false => dialect.left(channel, view),
    })
}

/// An identity for a publication of a channel that does not count, for clients
/// that must have one: unique in this process, and in all with great probability.
fn unique() -> String {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let process = PROCESS.get_or_init(random);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{process:016x}.{number:x}")
}

/// Random bits.
pub(crate) fn random() -> u64 {
    let mut bits = [0; 8];
    getrandom::fill(&mut bits).expect("the operating system has random numbers");
    u64::from_ne_bytes(bits)
}
