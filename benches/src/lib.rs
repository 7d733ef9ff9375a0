//! The parts that the criterion benchmarks share: a loaded function, and one
//! of its connections, without a socket.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use openline_channels::budget::HostBudget;
use openline_channels::connection::{Facts, Item, Next, SocketOwner};
use openline_channels::hub::Hub;
use openline_core::config::{FunctionConfig, ServerConfig};
use openline_core::event::{Event, UpgradeRequest};
use openline_core::limits::InstancePolicy;
use openline_core::name::FunctionName;
use openline_core::route::Route;
use openline_engine::alias::{Accepted, Alias};
use openline_engine::binding::{Binding, Outcome};
use openline_engine::runtime::{Runtime, RuntimeOptions};
use openline_store::Store;

/// Loads a component as a function.
pub async fn function(component: &str, instance: InstancePolicy) -> anyhow::Result<Arc<Alias>> {
    function_with_cache(component, instance, None).await
}

/// The same, compiled only once for a folder of compiled components. It is the
/// only function of its runtime, so that there is one trial at a time.
pub async fn function_with_cache(
    component: &str,
    instance: InstancePolicy,
    cache: Option<PathBuf>,
) -> anyhow::Result<Arc<Alias>> {
    let options = RuntimeOptions {
        instances: instance.instances,
        trials: 1,
        ..RuntimeOptions::new(&ServerConfig::default(), cache)
    };
    let runtime = Arc::new(Runtime::new(options)?);
    let config = FunctionConfig {
        instance,
        ..FunctionConfig::new(FunctionName::new("bench")?, None, Route::new("/bench")?)
    };
    let bytes = std::fs::read(component).with_context(|| component.to_owned())?;
    let hub = Arc::new(Hub::alone());
    let commons = runtime.commons(&config.name, &Store::memory(1 << 30), hub);
    Ok(Alias::to(
        runtime.load(&config, bytes, &commons, None).await?,
    ))
}

/// A connection whose socket is the benchmark.
#[derive(Debug)]
pub struct Line {
    /// The socket owner's side of the connection that the function writes to.
    pub owner: SocketOwner,
    binding: Binding,
}

impl Line {
    /// Opens a connection the way the gateway does, without a socket.
    pub async fn open(function: &Arc<Alias>) -> anyhow::Result<Self> {
        let Ok(Accepted { place, .. }) = function.upgrade(UpgradeRequest::default()).await? else {
            anyhow::bail!("the function refuses the connection");
        };
        let budget = HostBudget::new(1 << 30, 1 << 30).function();
        let owner = SocketOwner::new(Facts::default(), function.limits(), budget);
        function.hub().join(owner.connection());
        let binding = function.bind(Arc::clone(owner.connection()), place);
        let mut line = Self { owner, binding };
        line.event(Event::Open).await?;
        Ok(line)
    }

    /// Hands an event to the function and waits for its return.
    pub async fn event(&mut self, event: Event) -> anyhow::Result<()> {
        let mut outcome = self.binding.dispatch(event).err();
        std::future::poll_fn(|cx| {
            self.owner.register(cx.waker());
            outcome = outcome.or_else(|| self.binding.outcome());
            if outcome.is_some() {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
        match outcome {
            Some(Outcome::Done) => Ok(()),
            other => anyhow::bail!("the event was not handled: {other:?}"),
        }
    }

    /// Takes what the function wrote; answers how many messages there were.
    pub fn drain(&self) -> usize {
        std::iter::from_fn(|| match self.owner.next() {
            Next::Item(Item::Message(message)) => Some(message),
            _ => None,
        })
        .count()
    }
}
