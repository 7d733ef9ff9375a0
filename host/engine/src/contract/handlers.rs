//! Which handlers a component exports, and how each of them is called.
//!
//! A handler is an interface that a component exports for the host to call. The
//! contract has most handlers twice: one interface for each call style. So which
//! handlers there are and how they are called are two facts, and a component may
//! export several handlers. [`INTERFACES`] bounds what it may export.

use std::collections::BTreeMap;

pub use openline_core::deployment::CallStyle;

/// An interface that a component exports for the host to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Handler {
    /// The handshakes and events of WebSocket connections.
    WebSocket,
    /// Alarms that are due.
    Alarm,
    /// The end of an idle instance.
    Hibernation,
    /// Requests that a rule of the firewall has it decide about.
    Firewall,
    /// Publications of channels that wake the function.
    Channel,
    /// What peers of connections call, and wait for.
    Rpc,
    /// Requests of HTTP: an interface of WASI, not of the contract.
    Http,
}

/// An interface of the contract that a component may export.
#[derive(Debug)]
struct Interface {
    handler: Handler,
    style: CallStyle,
    name: &'static str,
}

pub(crate) const WEBSOCKET: &str = "openline:websocket/websocket-handler@0.2.0";
pub(crate) const ASYNC_WEBSOCKET: &str = "openline:websocket/async-websocket-handler@0.2.0";
pub(crate) const FIREWALL: &str = "openline:firewall/firewall@0.2.0";
pub(crate) const ASYNC_FIREWALL: &str = "openline:firewall/async-firewall@0.2.0";
pub(crate) const CHANNEL: &str = "openline:channels/channel-handler@0.2.0";
pub(crate) const ASYNC_CHANNEL: &str = "openline:channels/async-channel-handler@0.2.0";
pub(crate) const HTTP: &str = "wasi:http/incoming-handler@0.2.0";
pub(crate) const ASYNC_HTTP: &str = "wasi:http/handler@0.3.0";

const INTERFACES: [Interface; 13] = {
    use CallStyle::{Async, Plain};
    use Handler::{Alarm, Channel, Firewall, Hibernation, Http, Rpc, WebSocket};
    const fn interface(handler: Handler, style: CallStyle, name: &'static str) -> Interface {
        Interface {
            handler,
            style,
            name,
        }
    }
    [
        interface(WebSocket, Plain, WEBSOCKET),
        interface(WebSocket, Async, ASYNC_WEBSOCKET),
        interface(Alarm, Plain, "openline:alarms/alarm-handler@0.2.0"),
        interface(Alarm, Async, "openline:alarms/async-alarm-handler@0.2.0"),
        interface(
            Hibernation,
            Plain,
            "openline:state/hibernation-handler@0.2.0",
        ),
        interface(Firewall, Plain, FIREWALL),
        interface(Firewall, Async, ASYNC_FIREWALL),
        interface(Channel, Plain, CHANNEL),
        interface(Channel, Async, ASYNC_CHANNEL),
        interface(Rpc, Plain, "openline:channels/rpc-handler@0.2.0"),
        interface(Rpc, Async, "openline:channels/async-rpc-handler@0.2.0"),
        interface(Http, Plain, HTTP),
        interface(Http, Async, ASYNC_HTTP),
    ]
};

/// The handlers that a component exports, each with its call style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handlers(BTreeMap<Handler, CallStyle>);

/// Why the host cannot serve a component with such exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unserved {
    /// It exports no handler of WebSockets, of HTTP, of the firewall or of channels.
    NoHandler,
    /// It exports one of these handlers in each call style.
    BothHandlers,
    /// It exports these interfaces of the contract, which the host would never
    /// call.
    NotCalled(Vec<String>),
}

// === impl Interface ===

impl Interface {
    /// The interface that an export is, in this version or a later one that only
    /// adds to it (Semantic Versioning: below 1.0 the minor number says so).
    fn of(export: &str) -> Option<&'static Self> {
        let parts = |text: &str| {
            let (name, version) = text.split_once('@')?;
            let (series, patch) = version.rsplit_once('.')?;
            let is_number = !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| (name.to_owned(), series.to_owned()))
        };
        let export = parts(export)?;
        let same = |ours: &&Self| parts(ours.name).as_ref() == Some(&export);
        INTERFACES.iter().find(same)
    }

    /// Whether instances that make their calls in a style call it. The call of
    /// `hibernate` is an instance's last and has no other beside it, so every
    /// instance can make it. A plain call that answers a request waits for its peer,
    /// and would keep all others of an asynchronous instance from going on.
    fn is_called_in(&self, style: CallStyle) -> bool {
        self.style == style || self.handler == Handler::Hibernation
    }
}

// === impl Handlers ===

impl Handlers {
    /// Those among the exports of a component. A function serves WebSocket
    /// connections, answers requests, decides for the firewall or is woken by
    /// channels, so it has one of these handlers, in one call style; its other
    /// handlers have the same.
    pub(crate) fn of(exports: &[String]) -> Result<Self, Unserved> {
        let interfaces = || exports.iter().filter_map(|export| Interface::of(export));
        let style_of = |handler: Handler| {
            let exported = |style: CallStyle| {
                let mut interfaces = interfaces();
                interfaces.any(|it| it.handler == handler && it.style == style)
            };
            match (exported(CallStyle::Plain), exported(CallStyle::Async)) {
                (true, false) => Ok(Some(CallStyle::Plain)),
                (false, true) => Ok(Some(CallStyle::Async)),
                (true, true) => Err(Unserved::BothHandlers),
                (false, false) => Ok(None),
            }
        };
        let websocket = style_of(Handler::WebSocket)?;
        let firewall = style_of(Handler::Firewall)?;
        let channel = style_of(Handler::Channel)?;
        let http = style_of(Handler::Http)?;
        let style = websocket
            .or(firewall)
            .or(channel)
            .or(http)
            .ok_or(Unserved::NoHandler)?;
        // One that is left over from another version would never be called, and
        // its author would look for the reason for long.
        let is_uncalled = |export: &&String| {
            let called = Interface::of(export).is_some_and(|it| {
                let has_peers = it.handler != Handler::Rpc || websocket.is_some();
                it.is_called_in(style) && has_peers
            });
            let is_ours = export.starts_with("openline:");
            let is_http = Interface::of(export).is_some_and(|it| it.handler == Handler::Http);
            (is_ours || is_http) && !called
        };
        let uncalled: Vec<_> = exports.iter().filter(is_uncalled).cloned().collect();
        if !uncalled.is_empty() {
            return Err(Unserved::NotCalled(uncalled));
        }
        let handlers = interfaces().map(|it| (it.handler, it.style));
        Ok(Self(handlers.collect()))
    }

    /// The call style of a handler, if the component exports it.
    pub fn get(&self, handler: Handler) -> Option<CallStyle> {
        self.0.get(&handler).copied()
    }

    /// How instances with these handlers make their calls. One asynchronous
    /// handler is enough to have many calls in flight.
    pub fn call_style(&self) -> CallStyle {
        let mut styles = self.0.values();
        if styles.any(|style| *style == CallStyle::Async) {
            CallStyle::Async
        } else {
            CallStyle::Plain
        }
    }

    /// Whether one of them is of the contract.
    pub(crate) fn has_own(&self) -> bool {
        self.0.keys().any(|handler| *handler != Handler::Http)
    }

    /// The name of a handler's interface, if the component exports it.
    pub(crate) fn interface(&self, handler: Handler) -> Option<&'static str> {
        let style = self.get(handler)?;
        let mut interfaces = INTERFACES.iter();
        let found = interfaces.find(|it| (it.handler, it.style) == (handler, style));
        found.map(|it| it.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALARM: &str = "openline:alarms/alarm-handler@0.2.0";
    const ASYNC_ALARM: &str = "openline:alarms/async-alarm-handler@0.2.0";
    const HIBERNATION: &str = "openline:state/hibernation-handler@0.2.0";

    fn of(exports: &[&str]) -> Result<Handlers, Unserved> {
        let exports: Vec<_> = exports.iter().copied().map(String::from).collect();
        Handlers::of(&exports)
    }

    #[test]
    fn a_later_patch_is_the_same_interface_and_nothing_else_is() {
        for export in [WEBSOCKET, "openline:websocket/websocket-handler@0.2.17"] {
            let handlers = of(&[export]).unwrap();
            assert_eq!(handlers.interface(Handler::WebSocket), Some(WEBSOCKET));
        }
        for export in [
            "",
            "openline:websocket/websocket-handler",
            "openline:websocket/websocket-handler@",
            "openline:websocket/websocket-handler@0.2",
            "openline:websocket/websocket-handler@0.2.",
            "openline:websocket/websocket-handler@0.1.0",
            "openline:websocket/websocket-handler@0.3.0",
            "openline:websocket/websocket-handler@1.2.0",
            "openline:websocket/websocket-handler@0.2.0-rc.1",
            "openline:websocket/websocket-handler@0.2.0-rc1",
            "openline:alarms/websocket-handler@0.2.0",
        ] {
            assert_eq!(of(&[export]), Err(Unserved::NoHandler), "{export}");
        }
    }

    #[test]
    fn each_handler_has_its_call_style_and_an_instance_has_one() {
        let plain = of(&[HIBERNATION, ALARM, WEBSOCKET, "wasi:cli/run@0.2.0"]).unwrap();
        for handler in [Handler::WebSocket, Handler::Alarm, Handler::Hibernation] {
            assert_eq!(plain.get(handler), Some(CallStyle::Plain));
        }
        assert_eq!(plain.call_style(), CallStyle::Plain);

        let asynchronous = of(&[ASYNC_WEBSOCKET, HIBERNATION]).unwrap();
        assert_eq!(asynchronous.get(Handler::WebSocket), Some(CallStyle::Async));
        assert_eq!(asynchronous.get(Handler::Alarm), None);
        assert_eq!(
            asynchronous.get(Handler::Hibernation),
            Some(CallStyle::Plain)
        );
        assert_eq!(asynchronous.call_style(), CallStyle::Async);
        let name = asynchronous.interface(Handler::Hibernation);
        assert_eq!(name, Some(HIBERNATION));
    }

    #[test]
    fn a_firewall_function_needs_no_websocket_handler_and_may_have_one_of_its_style() {
        for (exports, style) in [
            (vec![FIREWALL], CallStyle::Plain),
            (vec![WEBSOCKET, FIREWALL, ALARM], CallStyle::Plain),
            (vec![ASYNC_FIREWALL, HIBERNATION], CallStyle::Async),
            (vec![ASYNC_FIREWALL, ASYNC_WEBSOCKET], CallStyle::Async),
        ] {
            let handlers = of(&exports).unwrap();
            assert_eq!(handlers.get(Handler::Firewall), Some(style));
            assert_eq!(handlers.call_style(), style);
            let has_connections = exports
                .iter()
                .any(|it| it.ends_with("websocket-handler@0.2.0"));
            assert_eq!(handlers.get(Handler::WebSocket).is_some(), has_connections);
        }
        assert_eq!(of(&[FIREWALL, ASYNC_FIREWALL]), Err(Unserved::BothHandlers));
        for (served, other) in [
            (WEBSOCKET, ASYNC_FIREWALL),
            (ASYNC_WEBSOCKET, FIREWALL),
            (FIREWALL, ASYNC_ALARM),
            (FIREWALL, "openline:firewall/firewall@0.3.0"),
        ] {
            let uncalled = Unserved::NotCalled(vec![other.to_owned()]);
            assert_eq!(of(&[served, other]), Err(uncalled));
        }
        let alone = of(&["openline:firewall/firewall@0.1.0", HIBERNATION]);
        assert_eq!(alone, Err(Unserved::NoHandler));
    }

    #[test]
    fn a_channel_handler_stands_alone_or_beside_another_of_its_style() {
        for (exports, style) in [
            (vec![CHANNEL], CallStyle::Plain),
            (vec![WEBSOCKET, CHANNEL], CallStyle::Plain),
            (vec![ASYNC_CHANNEL, HIBERNATION], CallStyle::Async),
            (vec![ASYNC_WEBSOCKET, ASYNC_CHANNEL], CallStyle::Async),
        ] {
            let handlers = of(&exports).unwrap();
            assert_eq!(handlers.get(Handler::Channel), Some(style));
            assert_eq!(handlers.call_style(), style);
        }
        assert_eq!(of(&[CHANNEL, ASYNC_CHANNEL]), Err(Unserved::BothHandlers));
        let uncalled = Unserved::NotCalled(vec![ASYNC_CHANNEL.to_owned()]);
        assert_eq!(of(&[WEBSOCKET, ASYNC_CHANNEL]), Err(uncalled));
    }

    #[test]
    fn an_http_handler_is_of_any_patch_and_stands_alone_or_beside_another() {
        for (exports, style, http) in [
            (vec![HTTP], CallStyle::Plain, CallStyle::Plain),
            (
                vec!["wasi:http/incoming-handler@0.2.12", WEBSOCKET],
                CallStyle::Plain,
                CallStyle::Plain,
            ),
            (vec![ASYNC_HTTP], CallStyle::Async, CallStyle::Async),
            (
                vec![ASYNC_WEBSOCKET, "wasi:http/handler@0.3.1"],
                CallStyle::Async,
                CallStyle::Async,
            ),
        ] {
            let handlers = of(&exports).unwrap();
            assert_eq!(handlers.get(Handler::Http), Some(http), "{exports:?}");
            assert_eq!(handlers.call_style(), style, "{exports:?}");
        }
        assert_eq!(of(&[HTTP, ASYNC_HTTP]), Err(Unserved::BothHandlers));
        for (served, other) in [(WEBSOCKET, ASYNC_HTTP), (ASYNC_WEBSOCKET, HTTP)] {
            let uncalled = Unserved::NotCalled(vec![other.to_owned()]);
            assert_eq!(of(&[served, other]), Err(uncalled));
        }
        for other in [
            "wasi:http/handler@0.3.0-rc-2026-03-15",
            "wasi:http/incoming-handler@0.1.0",
            "wasi:http/proxy@0.2.0",
        ] {
            assert_eq!(of(&[other]), Err(Unserved::NoHandler), "{other}");
        }
    }

    #[test]
    fn what_would_not_be_called_is_named() {
        assert_eq!(
            of(&[WEBSOCKET, ASYNC_WEBSOCKET]),
            Err(Unserved::BothHandlers)
        );
        for (served, other) in [
            (WEBSOCKET, ASYNC_ALARM),
            (ASYNC_WEBSOCKET, ALARM),
            (WEBSOCKET, "openline:http/handler@0.2.0"),
            (WEBSOCKET, "openline:state/hibernation-handler@0.3.0"),
        ] {
            let uncalled = Unserved::NotCalled(vec![other.to_owned()]);
            assert_eq!(of(&[served, HIBERNATION, other]), Err(uncalled));
        }
    }
}
