//! A host in this process with one function, and what it answers: held answers
//! that the requests describe. The function is real.

use std::net::SocketAddr;
use std::time::Duration;

use http::HeaderName;
use openline_admission::admit::{self, Asks, Decision, Noted};
use openline_admission::normalise::normalise;
use openline_admission::peer::Peer;
use openline_admission::services::{Led, Services};
use openline_broker::terms::TermsTable;
use openline_channels::hub::Hub;
use openline_channels::space::Publishing;
use openline_core::channel::{ChannelPattern, ChannelTable, ChannelTerms, HistoryTerms};
use openline_core::config::{FunctionConfig, ServerConfig};
use openline_core::limits::FunctionLimits;
use openline_core::message::Compress;
use openline_core::name::FunctionName;
use openline_core::route::Route;
use openline_core::trigger::Trigger;
use openline_engine::alias::Alias;
use openline_engine::runtime::{Runtime, RuntimeOptions};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::super::*;
use crate::http::serve_requests;

/// How long anything may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn within<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A host with one function, which answers as its requests say.
pub(super) struct Host {
    pub(super) address: SocketAddr,
    pub(super) alias: Arc<Alias>,
    pub(super) gateway: Arc<Gateway>,
    accepting: JoinHandle<()>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Host {
    pub(super) async fn with(
        component: &str,
        limit: impl FnOnce(&mut FunctionLimits),
        server: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let route = Route::new("/chat/{room}").unwrap();
        let name = FunctionName::new("held").unwrap();
        let mut config = FunctionConfig::new(name, None, route.clone());
        limit(&mut config.limit);
        let options = RuntimeOptions {
            instances: 4,
            ..RuntimeOptions::new(&ServerConfig::default(), None)
        };
        let runtime = Arc::new(Runtime::new(options).unwrap());
        let bytes = std::fs::read(component).unwrap();
        let alias = Alias::to(runtime.load_alone(&config, bytes).await.unwrap());
        let mut config = ServerConfig {
            close_timeout: Duration::from_millis(500),
            ..ServerConfig::default()
        };
        server(&mut config);
        let led = Led {
            trigger: Trigger::new(route),
            alias: Arc::clone(&alias),
            authenticator: None,
        };
        let services = Arc::new(Services::new(config, vec![led]).unwrap());
        let gateway = Arc::new(Gateway::new(services));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&gateway)));
        Self {
            address,
            alias,
            gateway,
            accepting,
        }
    }

    pub(super) async fn chat() -> Self {
        Self::with(openline_guests::CHAT, |_| {}, |_| {}).await
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        self.alias.hub()
    }

    /// The only connection.
    pub(super) fn connection(&self) -> Arc<Connection> {
        let mut all = self.hub().snapshot();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    /// Sends a text to all.
    pub(super) fn broadcast(&self, text: &'static str) {
        let mut wakeups = Wakeups::default();
        let message = Message::Text(text.into());
        self.hub()
            .broadcast((&message, Compress::Configured), None, &mut wakeups);
    }

    pub(super) fn publish(&self, channel: &str, message: Message) {
        let name = ChannelName::new(channel).unwrap();
        let mut wakeups = Wakeups::default();
        let publishing = Publishing::of(message);
        drop(self.hub().publish(&name, publishing, &mut wakeups));
    }

    /// Gives all channels whose names begin with `kept` a history.
    pub(super) fn keep(&self) {
        let own = ChannelTable {
            pattern: ChannelPattern::new("kept-*").unwrap(),
            terms: ChannelTerms {
                history: Some(HistoryTerms {
                    count: 10,
                    bytes: 1 << 20,
                    time: None,
                }),
                recovery: true,
                ..ChannelTerms::default()
            },
            functions: None,
        };
        let table = TermsTable::new(self.alias.function(), &[own], &[]);
        self.hub().set_table(table.unwrap());
    }

    /// Waits until nothing is left of all connections.
    pub(super) async fn is_empty(&self) {
        let empty = async {
            loop {
                let table = self.gateway.services().table();
                let counted = table.services[0].ledger.connections();
                if self.hub().connections() == 0 && counted == 0 && self.gateway.sockets() == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("all to be gone", empty).await;
        assert_eq!(self.gateway.requests(), 0);
    }

    /// Waits until a connection has ended for this reason, as often as that.
    pub(super) async fn ended(&self, label: &str, count: u64) {
        let ended = async {
            while self
                .gateway
                .tally()
                .ended()
                .get(label)
                .copied()
                .unwrap_or(0)
                < count
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within(label, ended).await;
    }

    /// Waits until the peers of all connections have been told of the first bytes,
    /// and their tasks have their sockets.
    pub(super) async fn held(&self, connections: usize) {
        let held = async {
            while self.hub().connections() < connections || self.gateway.requests() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("answers to be held", held).await;
    }
}

pub(super) async fn accept(listener: TcpListener, gateway: Arc<Gateway>) {
    loop {
        let (stream, address) = listener.accept().await.unwrap();
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move {
            let permit = Arc::new(gateway.permit(address).await.unwrap());
            let peer = Peer::at(address);
            let answer = |request: http::Request<crate::arriving::Arriving>, id| {
                let place = Place::Connection(Arc::clone(&permit));
                let (gateway, peer) = (Arc::clone(&gateway), peer.clone());
                async move { Ok(respond(&gateway, request.into_parts().0, id, &peer, place).await) }
            };
            serve_requests(stream, &peer, &gateway, permit.slot(), answer).await;
        });
    }
}

/// What a function answers whose answer a request describes.
pub(super) async fn respond(
    gateway: &Arc<Gateway>,
    mut parts: Request,
    id: crate::request_id::RequestId,
    peer: &Peer,
    place: Place,
) -> Response<AnswerBody> {
    let normal = normalise(&mut parts).unwrap();
    let asked = Asked {
        id,
        parts: &parts,
        peer,
    };
    let services = gateway.services();
    let (table, mut noted) = (services.table(), Noted::default());
    let request = (&normal, &parts);
    let admitting = admit::admit::<_, Refusal>(
        services,
        &table,
        request,
        peer,
        (&id, &mut noted),
        |_, _| Ok((Asks::Answer, ())),
    );
    let admitted = match admitting.await {
        Ok(Decision::Ask(admitted, ())) => admitted,
        Ok(Decision::Preflight(_)) => panic!("no request is a preflight"),
        Err(refusal) => return refusal.answer_to(id).map(Into::into),
    };
    let (mut head, ()) = Response::new(()).into_parts();
    let mut first = Bytes::new();
    for (name, value) in &parts.headers {
        match name.as_str().strip_prefix("x-") {
            Some("first") => first = Bytes::copy_from_slice(value.as_bytes()),
            Some("first-bytes") => {
                first = vec![b'x'; value.to_str().unwrap().parse().unwrap()].into();
            }
            Some("status") => head.status = value.to_str().unwrap().parse().unwrap(),
            Some(name) => {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                head.headers.append(name, value.clone());
            }
            None => {}
        }
    }
    let limits = admitted.service.alias.limits();
    let hold = match Hold::take(&mut head.headers, &limits) {
        Ok(Some(hold)) => hold,
        Ok(None) => return Response::from_parts(head, AnswerBody::Whole(Full::new(first))),
        Err(why) => return Refusal::Answer(why).answer_to(id).map(Into::into),
    };
    let served = admitted.service.alias.unseated(None).unwrap();
    let holding = Holding {
        service: admitted.service,
        caller: Caller::of(&asked, admitted.params, admitted.identity),
        places: admitted.places,
        place,
        served,
        hold,
        head,
        first,
        is_head: parts.method == http::Method::HEAD,
    };
    match super::super::hold(gateway, holding).await {
        Ok(answer) => answer,
        Err(refusal) => refusal.answer_to(id).map(Into::into),
    }
}
