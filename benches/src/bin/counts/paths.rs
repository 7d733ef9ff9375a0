//! The paths that are counted: what each does, how often, and in which order.
//! A path is run `rounds` and then twice `rounds` times in one process, after a
//! warm-up; the difference is what `rounds` cost, without beginning and end.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use openline_benches::{Line, function_with_cache};
use openline_channels::budget::HostBudget;
use openline_channels::connection::{Facts, Next, SocketOwner};
use openline_channels::hub::Hub;
use openline_channels::space::Publishing;
use openline_channels::wakeups::Wakeups;
use openline_core::event::Event;
use openline_core::limits::{FunctionLimits, InstancePolicy};
use openline_core::message::Message;
use openline_core::name::ChannelName;
use openline_engine::alias::Alias;

use crate::host::{Host, Peer};

/// A chat line, or a small event.
pub(crate) const PAYLOAD_BYTES: usize = 125;

/// The number of subscribers that get a fanned-out message.
const SUBSCRIBERS: usize = 1000;

/// Instances that there is room for: few, so that the pools' address space is
/// small enough for valgrind.
const INSTANCES: u32 = 1;

/// Which function a path goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    Plain,
    Async,
}

/// The work of a path in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Hands so many messages to the function, without a socket.
    Dispatch(Echo, usize),
    /// Sends so many messages with one write and waits for the replies: the
    /// host's whole path, from the socket to the function and back.
    Gateway(Echo, usize),
    /// Opens a connection and closes it.
    Upgrade(Echo),
    /// Publishes a message to all subscribers of a channel.
    FanOut,
}

/// A path with its name in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountedPath {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// How often it is run: enough for 0.1 %, and a multiple of 32, the blocks
    /// in which the runtime's queues are allocated.
    pub(crate) rounds: usize,
}

const fn path(name: &'static str, kind: Kind, rounds: usize) -> CountedPath {
    CountedPath { name, kind, rounds }
}

/// All paths. The figures are for one message, but of `upgrade` for one
/// connection and of `fan-out` for one message to all subscribers.
pub(crate) const PATHS: [CountedPath; 11] = [
    path("dispatch/plain/1", Kind::Dispatch(Echo::Plain, 1), 960),
    path("dispatch/plain/16", Kind::Dispatch(Echo::Plain, 16), 320),
    path("dispatch/async/1", Kind::Dispatch(Echo::Async, 1), 960),
    path("dispatch/async/16", Kind::Dispatch(Echo::Async, 16), 320),
    path("gateway/plain/1", Kind::Gateway(Echo::Plain, 1), 960),
    path("gateway/plain/16", Kind::Gateway(Echo::Plain, 16), 320),
    path("gateway/async/1", Kind::Gateway(Echo::Async, 1), 960),
    path("gateway/async/16", Kind::Gateway(Echo::Async, 16), 320),
    path("upgrade/plain", Kind::Upgrade(Echo::Plain), 64),
    path("upgrade/async", Kind::Upgrade(Echo::Async), 64),
    path("fan-out/1000", Kind::FanOut, 32),
];

impl CountedPath {
    /// Messages, or connections, of one round.
    pub(crate) fn units(&self) -> usize {
        match self.kind {
            Kind::Dispatch(_, batch) | Kind::Gateway(_, batch) => batch,
            Kind::Upgrade(_) | Kind::FanOut => 1,
        }
    }
}

/// A path that is ready to be run.
pub(crate) enum Ready {
    Dispatch(Line, usize),
    Gateway(Peer),
    Upgrade(Host),
    FanOut(Room),
}

impl Ready {
    /// `cache` is the folder of compiled components.
    pub(crate) async fn new(kind: Kind, cache: &Path) -> anyhow::Result<Self> {
        Ok(match kind {
            Kind::Dispatch(echo, batch) => {
                Self::Dispatch(Line::open(&load(echo, cache).await?).await?, batch)
            }
            Kind::Gateway(echo, batch) => {
                let host = Host::start(load(echo, cache).await?)?;
                Self::Gateway(Peer::open(&host, batch).await?)
            }
            Kind::Upgrade(echo) => {
                let host = Host::start(load(echo, cache).await?)?;
                Self::Upgrade(host)
            }
            Kind::FanOut => Self::FanOut(Room::new()?),
        })
    }

    pub(crate) async fn run(&mut self, rounds: usize) -> anyhow::Result<()> {
        match self {
            Self::Dispatch(line, batch) => dispatch(line, *batch, rounds).await,
            Self::Gateway(peer) => peer.rounds(rounds).await,
            Self::Upgrade(host) => {
                for _ in 0..rounds {
                    Peer::open(host, 1).await?.close().await?;
                }
                Ok(())
            }
            Self::FanOut(room) => room.rounds(rounds),
        }
    }
}

async fn load(echo: Echo, cache: &Path) -> anyhow::Result<Arc<Alias>> {
    let component = match echo {
        Echo::Plain => openline_guests::ECHO,
        Echo::Async => openline_guests::ECHO_ASYNC,
    };
    let policy = InstancePolicy {
        instances: INSTANCES,
        ..InstancePolicy::default()
    };
    function_with_cache(component, policy, Some(cache.to_owned())).await
}

async fn dispatch(line: &mut Line, batch: usize, rounds: usize) -> anyhow::Result<()> {
    let payload = Message::Binary(vec![7; PAYLOAD_BYTES].into());
    for _ in 0..rounds {
        let messages = vec![payload.clone(); batch];
        line.event(Event::Messages(messages)).await?;
        anyhow::ensure!(
            line.drain() == batch,
            "an echo has another number of messages"
        );
    }
    Ok(())
}

/// A channel with its subscribers, without sockets.
pub(crate) struct Room {
    hub: Hub,
    channel: ChannelName,
    owners: Vec<SocketOwner>,
    message: Message,
}

impl Room {
    fn new() -> anyhow::Result<Self> {
        let hub = Hub::alone();
        let channel = ChannelName::new("room").context("the channel's name")?;
        let limits = Arc::new(FunctionLimits::default());
        let budget = HostBudget::new(1 << 30, 1 << 30).function();
        let mut owners = Vec::new();
        for _ in 0..SUBSCRIBERS {
            let limits = Arc::clone(&limits);
            let owner = SocketOwner::new(Facts::default(), limits, Arc::clone(&budget));
            hub.join(owner.connection());
            let subscribed = hub.subscribe(owner.connection(), &channel, &mut Wakeups::default());
            anyhow::ensure!(subscribed.is_ok(), "there is room in the channel");
            owners.push(owner);
        }
        Ok(Self {
            hub,
            channel,
            owners,
            message: Message::Binary(vec![7; PAYLOAD_BYTES].into()),
        })
    }

    fn rounds(&self, rounds: usize) -> anyhow::Result<()> {
        for _ in 0..rounds {
            let mut wakeups = Wakeups::default();
            let publishing = Publishing::of(self.message.clone());
            let outcome = self.hub.publish(&self.channel, publishing, &mut wakeups);
            let outcome = outcome.now()?;
            let reached = outcome.local == SUBSCRIBERS as u64;
            anyhow::ensure!(reached, "not all were reached");
            for owner in &self.owners {
                let next = owner.next();
                anyhow::ensure!(matches!(next, Next::Item(_)), "a message is missing");
            }
        }
        Ok(())
    }
}
