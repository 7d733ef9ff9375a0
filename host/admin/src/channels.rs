//! Channels: lists them, shows one with its members, history and values,
//! publishes, forgets a history, and ends subscriptions.
//!
//! Without `function` in the query a channel is one that functions share; with
//! it, the channel that the function means by the name. Nothing here makes a
//! channel except a publish. One answer is bounded by [`PAGE_MAX`] entries and,
//! where it has publications, by about [`PAGE_BYTES_MAX`] of data.

use std::sync::Arc;

use http::StatusCode;
use openline_broker::channel::Room;
use openline_broker::log::{PageLimit, PageQuery};
use openline_broker::position::Position;
use openline_broker::publication::Publication;
use openline_broker::terms::Found;
use openline_channels::hub::Hub;
use openline_channels::reading::ChannelView;
use openline_channels::space::Space;
use openline_channels::wakeups::Wakeups;
use openline_control::schema;
use openline_core::channel::ChannelPattern;
use openline_core::limits::FunctionLimits;
use openline_core::name::{ChannelName, ConnectionId, FunctionName};

use crate::call::Call;
use crate::channel_views::{
    Channel, Channels, Details, History, MemberView, Members, Outcome, PublicationView, Publish,
    Unsubscribed, Values,
};
use crate::context::Context;
use crate::json::json;
use crate::problem::{Answered, Problem, nothing};
use crate::responses::{BadBody, NotChanged, NotFound, Unprocessable};

/// How many entries a page has by default: more than a person reads.
const PAGE: usize = 100;
/// The most entries of a page.
const PAGE_MAX: usize = 1000;
/// The bytes of data after which a page ends. One publication may be larger.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// What a body has beside its data, at most: the names, and tags at their bounds.
const PARTS_BYTES_MAX: usize = crate::body::JSON_BYTES_MAX;
/// How many bytes JSON needs for one byte of text, at most: `\u0000`.
const ESCAPED: usize = 6;

/// The channels that a request is about.
#[derive(Debug)]
pub(crate) struct Place {
    /// The function's; none for those that functions share.
    hub: Option<Arc<Hub>>,
    shared: Arc<Space>,
    /// Those of the function's alias that takes the largest messages.
    pub(crate) limits: Arc<FunctionLimits>,
}

/// The channels of a function, or those that functions share.
pub(crate) fn place(context: &Context, function: Option<&FunctionName>) -> Result<Place, Problem> {
    let services = context.gateway.services();
    let shared = Arc::clone(services.shared());
    let Some(name) = function else {
        return Ok(Place {
            hub: None,
            shared,
            limits: Arc::default(),
        });
    };
    let aliases = services.aliases();
    // A function that was removed may still end, behind one of the same name.
    let Some(first) = aliases.iter().find(|alias| alias.function() == name) else {
        // Says that there is none, or that it does not load.
        context.deployer.function(name)?;
        let problem = Problem::new(409, "not_loaded", "the function is not loaded");
        return Err(problem.hint("`/v1/functions` says why its version does not load"));
    };
    let hub = Arc::clone(first.hub());
    let its = aliases.iter().filter(|it| Arc::ptr_eq(it.hub(), &hub));
    let largest = its.map(|alias| alias.limits());
    let largest = largest.max_by_key(|limits| limits.message_bytes);
    Ok(Place {
        hub: Some(hub),
        shared,
        limits: largest.unwrap_or_default(),
    })
}

impl Place {
    /// The channels of one name. A name that no function shares has none.
    pub(crate) fn space(&self, name: &ChannelName) -> Result<&Arc<Space>, Problem> {
        match &self.hub {
            Some(hub) => Ok(hub.space(name)),
            None if self.shared.find(name).is_shared => Ok(&self.shared),
            None => Err(
                Problem::new(404, "not_shared", "functions share no channel of this name")
                    .hint("name the function whose channel it is, as in `?function=chat`"),
            ),
        }
    }

    /// The terms of a channel.
    fn terms(&self, name: &ChannelName) -> Found {
        match &self.hub {
            Some(hub) => hub.terms(name),
            None => self.shared.find(name),
        }
    }

    /// The same, if the channel is there.
    fn present(&self, name: &ChannelName) -> Result<&Arc<Space>, Problem> {
        let space = self.space(name)?;
        match space.has(name) {
            true => Ok(space),
            false => Err(no_channel()),
        }
    }
}

fn no_channel() -> Problem {
    let problem = Problem::new(404, "no_channel", "there is no channel of this name");
    problem.hint("it is there while it has subscribers or remembers something; see `/v1/channels`")
}

fn not_kept(what: &str) -> Problem {
    let message = format!("the channel keeps no {what}");
    Problem::new(409, "not_kept", message).hint("its terms are in the host's configuration")
}

impl Call {
    /// The function in the query, whose channels are meant.
    pub(crate) fn owner(&self) -> Result<Option<FunctionName>, Problem> {
        let name = self.query.text("function").map(FunctionName::new);
        Ok(name.transpose()?)
    }

    /// The channels that the query names.
    fn place(&self) -> Result<Place, Problem> {
        place(&self.context, self.owner()?.as_ref())
    }

    /// The name of the channel in the path.
    pub(crate) fn channel(&self) -> Result<ChannelName, Problem> {
        Ok(ChannelName::new(&self.values[0])?)
    }

    fn page_limit(&self) -> Result<usize, Problem> {
        let form = format!("1 to {PAGE_MAX}");
        let limit = self.query.parsed("limit", &form, |text| {
            text.parse()
                .ok()
                .filter(|limit| (1..=PAGE_MAX).contains(limit))
        })?;
        Ok(limit.unwrap_or(PAGE))
    }
}

/// Cuts what was found, of which one more was asked for than the page has. Returns
/// the last entry if there is another page after it.
fn cut<T>(found: &mut Vec<T>, limit: usize) -> Option<&T> {
    let has_more = found.len() > limit;
    found.truncate(limit);
    found.last().filter(|_| has_more)
}

/// Runs something that looks at many names on a thread that may take its time.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Problem::internal())
}

#[utoipa::path(
    get,
    path = "/v1/channels",
    operation_id = "channels",
    tag = "channels",
    summary = "Channels of a function, or those that functions share",
    params(
        ("function" = Option<schema::FunctionName>, Query, description = "The function's own channels; without it, those that functions share."),
        ("pattern" = Option<String>, Query, description = "Channels that match this pattern, such as `room:*`."),
        ("after" = Option<String>, Query, description = "Channels after this name."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "The most channels in the answer; 100 by default.")
    ),
    responses(
        (status = 200, description = "A page, by name.", body = Channels),
        NotFound
    )
)]
pub(crate) async fn list(call: Call) -> Answered {
    let limit = call.page_limit()?;
    let after = call.query.text("after").map(ChannelName::new).transpose()?;
    let pattern = call.query.text("pattern").map(ChannelPattern::new);
    let pattern = pattern.transpose().map_err(|error| {
        Problem::bad("bad_query", error).hint("write it as a configuration does, such as `room:*`")
    })?;
    let place = call.place()?;
    let space = match &place.hub {
        Some(hub) => Arc::clone(hub.own()),
        None => Arc::clone(&place.shared),
    };
    let looking = move || {
        let is_wanted = |name: &ChannelName| pattern.as_ref().is_none_or(|it| it.matches(name));
        space.channels(after.as_ref(), limit + 1, is_wanted)
    };
    let mut found: Vec<ChannelView> = aside(looking).await?;
    let next = cut(&mut found, limit);
    let next = next.map(|last| last.name.as_str().to_owned());
    let channels = found.iter().map(Channel::new).collect();
    Ok(json(StatusCode::OK, &Channels { channels, next }))
}

#[utoipa::path(
    get,
    path = "/v1/channels/{channel}",
    operation_id = "channel",
    tag = "channels",
    summary = "A channel",
    params(
        ("channel" = String, Path, description = "The channel, percent-encoded."),
        ("function" = Option<schema::FunctionName>, Query, description = "The function whose channel it is.")
    ),
    responses(
        (status = 200, description = "The channel.", body = Details),
        NotFound
    )
)]
pub(crate) async fn show(call: Call) -> Answered {
    let (name, place) = (call.channel()?, call.place()?);
    let space = place.present(&name)?;
    let view = space.view(&name).ok_or_else(no_channel)?;
    let details = Details::new(&view, &place.terms(&name), space.counts(&name));
    Ok(json(StatusCode::OK, &details))
}

#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/members",
    operation_id = "channelMembers",
    tag = "channels",
    summary = "Members of a channel with presence, by pages",
    params(
        ("channel" = String, Path, description = "The channel, percent-encoded."),
        ("function" = Option<schema::FunctionName>, Query, description = "The function whose channel it is."),
        ("after" = Option<schema::ConnectionId>, Query, description = "Members after this connection."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "The most members in the answer; 100 by default.")
    ),
    responses(
        (status = 200, description = "A page, by connection.", body = Members),
        NotChanged
    )
)]
pub(crate) async fn members(call: Call) -> Answered {
    let (name, place, limit) = (call.channel()?, call.place()?, call.page_limit()?);
    let form = "the id of a connection, as `next` has it";
    let after = call.query.parsed("after", form, ConnectionId::parse)?;
    let space = place.present(&name)?;
    let found = space.members(&name, after, limit + 1);
    let mut found = found.ok_or_else(|| not_kept("presence"))?;
    let next = cut(&mut found, limit);
    let next = next.map(|last| last.connection.to_string());
    let members = found.iter().map(MemberView::new).collect();
    Ok(json(StatusCode::OK, &Members { members, next }))
}

#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/history",
    operation_id = "channelHistory",
    tag = "channels",
    summary = "Publications that a channel keeps, by pages",
    params(
        ("channel" = String, Path, description = "The channel, percent-encoded."),
        ("function" = Option<schema::FunctionName>, Query, description = "The function whose channel it is."),
        ("since" = Option<String>, Query, description = "Publications after this position, or before it in reverse."),
        ("reverse" = Option<bool>, Query, description = "From new to old."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "The most publications in the answer; 100 by default. A page also ends after 1 MiB of data.")
    ),
    responses(
        (status = 200, description = "A page.", body = History),
        NotChanged
    )
)]
pub(crate) async fn history(call: Call) -> Answered {
    let (name, place, count) = (call.channel()?, call.place()?, call.page_limit()?);
    let form = "a position, as an answer has it";
    let since = call
        .query
        .parsed("since", form, |text| text.parse::<Position>().ok())?;
    let reverse = call.query.flag("reverse")?;
    let space = place.present(&name)?;
    let limit = PageLimit {
        count,
        bytes: PAGE_BYTES_MAX,
    };
    let page = space.history(&name, PageQuery { since, reverse }, limit);
    let page = page.map_err(|error| {
        Problem::new(409, "unrecoverable", error.to_string()).hint(format!(
            "begin without `since`; the channel is at {}",
            error.top
        ))
    })?;
    let page = page.ok_or_else(|| not_kept("history"))?;
    Ok(json(StatusCode::OK, &History::new(&page)))
}

#[utoipa::path(
    delete,
    path = "/v1/channels/{channel}/history",
    operation_id = "clearChannelHistory",
    tag = "channels",
    summary = "Forget the history of a channel",
    params(
        ("channel" = String, Path, description = "The channel, percent-encoded."),
        ("function" = Option<schema::FunctionName>, Query, description = "The function whose channel it is.")
    ),
    description = "Positions go on. Values of keys and subscribers stay.",
    responses(
        (status = 204, description = "They are forgotten."),
        NotFound
    )
)]
pub(crate) async fn clear(call: Call) -> Answered {
    let (name, place) = (call.channel()?, call.place()?);
    match place.space(&name)?.clear(&name) {
        true => Ok(nothing()),
        false => Err(no_channel()),
    }
}

#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/values",
    operation_id = "channelValues",
    tag = "channels",
    summary = "Values of a keyed channel, by pages",
    params(
        ("channel" = String, Path, description = "The channel, percent-encoded."),
        ("function" = Option<schema::FunctionName>, Query, description = "The function whose channel it is."),
        ("after" = Option<u64>, Query, description = "Values that were changed after this offset."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "The most values in the answer; 100 by default. A page also ends after 1 MiB of data.")
    ),
    responses(
        (status = 200, description = "A page, in the order of the last changes.", body = Values),
        NotChanged
    )
)]
pub(crate) async fn values(call: Call) -> Answered {
    let (name, place, limit) = (call.channel()?, call.place()?, call.page_limit()?);
    let form = "a whole number";
    let after = call.query.parsed("after", form, |text| text.parse().ok())?;
    let space = place.present(&name)?;
    // One more, to know whether there are more; bytes end the page below.
    let at_most = PageLimit {
        count: limit + 1,
        bytes: usize::MAX,
    };
    let found = space.values(&name, after.unwrap_or(0), at_most);
    let mut found = found.ok_or_else(|| not_kept("values by key"))?;
    let fits = fitting(&found, limit);
    let next = cut(&mut found, fits);
    let next = next.and_then(|last| last.position).map(|it| it.offset);
    let values = found.iter().map(PublicationView::new).collect();
    Ok(json(StatusCode::OK, &Values { values, next }))
}

/// How many publications fit into a page: at least one.
fn fitting(publications: &[Publication], limit: usize) -> usize {
    let mut bytes = 0;
    let fits = publications.iter().take(limit).take_while(|publication| {
        let is_first = bytes == 0;
        bytes += publication.data.bytes().max(1);
        is_first || bytes <= PAGE_BYTES_MAX
    });
    fits.count()
}

#[utoipa::path(
    post,
    path = "/v1/channels/{channel}/publications",
    operation_id = "publish",
    tag = "channels",
    summary = "Publish on a channel",
    params(
        ("channel" = String, Path, description = "The channel, percent-encoded."),
        ("function" = Option<schema::FunctionName>, Query, description = "The function whose channel it is.")
    ),
    request_body = Publish,
    responses(
        (status = 200, description = "What became of it.", body = Outcome),
        NotChanged,
        BadBody,
        Unprocessable
    )
)]
pub(crate) async fn publish(call: Call) -> Answered {
    let (name, place) = (call.channel()?, call.place()?);
    let space = Arc::clone(place.space(&name)?);
    call.body.is(&["application/json"])?;
    let context = Arc::clone(&call.context);
    let _place = context.messages.acquire().await;
    let data_bytes = place.limits.message_bytes;
    let most = data_bytes * ESCAPED + PARTS_BYTES_MAX;
    let bytes = call.body.read(most, "a publication (message_bytes)");
    let publish: Publish = crate::body::shaped(&bytes.await?)?;
    let publishing = publish.publishing()?;
    // A channel that is not there has nobody who would check it.
    let room = Room {
        data_bytes,
        growth_bytes: usize::MAX,
    };
    let is_keyed = place.terms(&name).terms.keyed.is_some();
    publishing.request.check(is_keyed, &room)?;
    let outcome = space.publish_and_wait(&name, publishing).await?;
    Ok(json(StatusCode::OK, &Outcome::new(&outcome)))
}

#[utoipa::path(
    delete,
    path = "/v1/channels/{channel}/subscribers/{id}",
    operation_id = "unsubscribe",
    tag = "channels",
    summary = "End the subscription of a connection",
    params(
        ("channel" = String, Path, description = "The channel, percent-encoded."),
        ("id" = schema::ConnectionId, Path, description = "The connection."),
        ("function" = Option<schema::FunctionName>, Query, description = "The function whose channel it is.")
    ),
    responses(
        (status = 200, description = "What the request changed.", body = Unsubscribed),
        NotFound
    )
)]
pub(crate) async fn unsubscribe(call: Call) -> Answered {
    let (name, place) = (call.channel()?, call.place()?);
    let id = ConnectionId::parse(&call.values[1]).ok_or_else(Problem::no_connection)?;
    let space = place.space(&name)?;
    let hubs = match &place.hub {
        Some(hub) => vec![Arc::clone(hub)],
        None => {
            let functions = call.context.gateway.services().functions();
            functions.iter().map(|it| Arc::clone(it.hub())).collect()
        }
    };
    let found = hubs.iter().find_map(|hub| Some((hub, hub.get(id)?)));
    let (hub, connection) = found.ok_or_else(Problem::no_connection)?;
    // A function that does not share the name may have a channel of its own.
    let is_same = Arc::ptr_eq(hub.space(&name), space);
    let unsubscribed = is_same && hub.dismiss(&connection, &name, &mut Wakeups::default());
    Ok(json(StatusCode::OK, &Unsubscribed { unsubscribed }))
}
