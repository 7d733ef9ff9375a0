//! The whole engine, tested from its front door: what connections learn when
//! instances end, and how they share instances. This file has the connections,
//! and a runtime whose imports have a defect.

use std::sync::Arc;
use std::time::Duration;

use openline_channels::budget::HostBudget;
use openline_channels::connection::{Facts, Item, Next, SocketOwner};
use openline_core::config::{FunctionConfig, ServerConfig};
use openline_core::event::{Event, UpgradeRequest};
use openline_core::message::Message;
use openline_core::name::FunctionName;
use openline_core::route::Route;

use wasmtime::component::{Linker, Resource};

use crate::contract::bindings::common;
use crate::contract::bindings::connections::HostConnection;
use crate::contract::handlers::CallStyle;
use crate::contract::handles::Handle;
use crate::deadlocks::watch_for_deadlocks;
use crate::front::alias::Alias;
use crate::front::binding::{Binding, Outcome};
use crate::front::runtime::{Runtime, RuntimeOptions};
use crate::instance::imports;
use crate::instance::store::StoreData;

mod endings;
mod inspections;
mod queues;
mod rooms;

const DEFECT: &str = "have the host panic";

/// Imports, one of which panics for a certain text: a defect of the host that a
/// function can reach.
fn with_a_defect(linker: &mut Linker<StoreData>, style: CallStyle) -> wasmtime::Result<()> {
    imports::add_to_linker(linker, style)?;
    linker.allow_shadowing(true);
    let mut connections = linker.instance("openline:websocket/connections@0.2.0")?;
    connections.func_wrap(
        "[method]connection.send",
        |mut store, (connection, message): (Resource<Handle>, common::Message)| {
            if matches!(&message, common::Message::Text(text) if text == DEFECT) {
                panic!("this is the defect that was asked for");
            }
            Ok((store.data_mut().send(connection, message)?,))
        },
    )
}

struct Line {
    owner: SocketOwner,
    binding: Binding,
}

impl Line {
    async fn open(function: &Arc<Alias>) -> Self {
        Self::ask(function, UpgradeRequest::default()).await
    }

    /// Opens a connection in a room, which is the affinity value.
    async fn open_in(function: &Arc<Alias>, room: &str) -> Self {
        let request = UpgradeRequest {
            route_params: vec![("room".into(), room.into())],
            ..UpgradeRequest::default()
        };
        Self::ask(function, request).await
    }

    async fn ask(function: &Arc<Alias>, request: UpgradeRequest) -> Self {
        let accepted = function.upgrade(request).await.unwrap().unwrap();
        let budget = HostBudget::new(1 << 20, 1 << 20).function();
        let owner = SocketOwner::new(Facts::default(), function.limits(), budget);
        let binding = function.bind(Arc::clone(owner.connection()), accepted.place);
        let mut line = Self { owner, binding };
        line.give(Event::Open);
        assert_eq!(line.outcome().await, Outcome::Done);
        line
    }

    fn give(&mut self, event: Event) {
        self.binding.dispatch(event).unwrap();
    }

    fn text(&mut self, text: &'static str) {
        self.give(Event::Messages(vec![Message::Text(text.into())]));
    }

    async fn outcome(&mut self) -> Outcome {
        let told = std::future::poll_fn(|cx| {
            self.owner.register(cx.waker());
            match self.binding.outcome() {
                Some(outcome) => std::task::Poll::Ready(outcome),
                None => std::task::Poll::Pending,
            }
        });
        let told = tokio::time::timeout(Duration::from_secs(20), told).await;
        told.expect("every event gets an outcome")
    }

    /// Checks that the function echoes.
    async fn is_served(&mut self, text: &'static str) {
        self.text(text);
        assert_eq!(self.outcome().await, Outcome::Done);
        let echo = Item::Message(Message::Text(text.into()));
        assert_eq!(self.owner.next(), Next::Item(echo));
    }
}

/// A runtime with this many instances.
fn runtime_of(instances: u32) -> Arc<Runtime> {
    watch_for_deadlocks();
    let options = RuntimeOptions {
        instances,
        ..RuntimeOptions::new(&ServerConfig::default(), None)
    };
    Arc::new(Runtime::linking(options, with_a_defect).unwrap())
}

fn config() -> FunctionConfig {
    let name = FunctionName::new("echo").unwrap();
    FunctionConfig::new(name, None, Route::new("/").unwrap())
}
