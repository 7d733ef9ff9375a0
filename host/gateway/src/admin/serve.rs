//! The admin interface's listener: accepts, decides who is answered, and leads
//! each request to its part.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::access::{self, Asked, Token};
use super::body::Body;
use super::problem::Problem;
use super::query::Query;
use super::routes::{self, Operation};
use super::{CONNECTIONS_MAX, Context, aliases, config, connections, functions, host};
use crate::requests::Requests;
use crate::rescue::Answer;
use crate::{http as transport, listen, page};

/// How long to wait after a failed accept. The usual cause is a lack of file
/// descriptors, which other connections' ends cure; nobody is in a hurry here.
const BACK_OFF: Duration = Duration::from_millis(500);

/// One request that may be answered.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) context: &'a Context,
    /// The parameters of the path, decoded.
    pub(super) values: Vec<String>,
    pub(super) query: Query,
    pub(super) body: Body<'a>,
}

/// What an endpoint answers.
pub(super) type Answered = Result<Answer, Problem>;

/// Accepts until it is dropped.
pub(super) async fn accept(listener: TcpListener, context: Arc<Context>) {
    let requests = Requests::new(listen::places(CONNECTIONS_MAX));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let context = Arc::clone(&context);
                // No share for each peer: those that it is for have one address.
                let Some(slot) = requests.enter(peer.ip(), 0).await else {
                    continue;
                };
                tokio::spawn(async move {
                    let answer = |request| answer(&context, request, peer);
                    transport::hold(stream, peer, &context.gateway, &slot, answer).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed on the admin interface; trying again");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// Answers a probe here, and has the workers answer everything else: this may
/// be the one thread that still runs.
async fn answer(context: &Arc<Context>, request: Request<Incoming>, peer: SocketAddr) -> Answer {
    if let Some(answer) = page::probe(&context.gateway, request.uri().path()) {
        return answer;
    }
    let Ok(_place) = context.working.try_acquire() else {
        let problem = Problem::new(503, "busy", "the host has too many requests to answer");
        return problem
            .hint("try again; where `/.openline/live` says that the host hangs, see its log")
            .answer();
    };
    let asked = Arc::clone(context);
    let answering = async move { work(&asked, request, peer).await };
    let mut answering = UntilDropped(context.workers.spawn(answering));
    let answered = (&mut answering.0).await;
    answered.unwrap_or_else(|_| {
        let problem = Problem::new(500, "internal", "the host failed to answer");
        problem.hint("see the host's log").answer()
    })
}

/// A task that is aborted when this is dropped.
struct UntilDropped<T>(JoinHandle<T>);

impl<T> Drop for UntilDropped<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn work(context: &Context, request: Request<Incoming>, peer: SocketAddr) -> Answer {
    let (parts, body) = request.into_parts();
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let answered = Box::pin(respond(context, &parts, body, peer)).await;
    let answer = answered.unwrap_or_else(Problem::answer);
    let status = answer.status().as_u16();
    if matches!(method, Method::GET | Method::HEAD) {
        tracing::debug!(%peer, %method, path, status, "admin");
    } else {
        // Who changes what is worth a line.
        tracing::info!(%peer, %method, path, status, "admin");
    }
    answer
}

async fn respond(context: &Context, parts: &Parts, body: Incoming, peer: SocketAddr) -> Answered {
    let path = parts.uri.path();
    let gateway = &context.gateway;
    let asked = if path == "/" || page::is_asset(path) {
        Asked::Page
    } else {
        Asked::Interface
    };
    // That of the configuration as it was last read: one that has leaked is
    // changed without ending a connection.
    let token = gateway
        .table()
        .config
        .admin_token
        .as_deref()
        .map(Token::new);
    access::check(token.as_ref(), &parts.headers, peer, asked)?;
    if path == "/" {
        return Ok(to_the_page());
    }
    if page::is_below(path) {
        let content = page::content(gateway, parts, page::Place::Admin);
        return Ok(content.unwrap_or_else(|refusal| refusal.answer()));
    }
    let (endpoint, values) = routes::find(&parts.method, path)?;
    let call = Call {
        context,
        values,
        query: Query::parse(parts.uri.query(), endpoint.keys)?,
        body: Body {
            incoming: body,
            headers: &parts.headers,
            patience: gateway.table().config.request_timeout,
        },
    };
    dispatch(endpoint.operation, call).await
}

async fn dispatch(operation: Operation, call: Call<'_>) -> Answered {
    match operation {
        Operation::Host => Ok(host::host(&call)),
        Operation::State => Ok(host::state(&call)),
        Operation::OpenApi => Ok(host::openapi()),
        Operation::Config => Ok(config::config(&call)),
        Operation::Functions => Ok(functions::list(&call)),
        Operation::Function => functions::show(&call),
        Operation::RemoveFunction => functions::remove(&call).await,
        Operation::Versions => functions::versions(&call),
        Operation::Deploy => functions::deploy(call).await,
        Operation::RemoveVersion => functions::remove_version(&call).await,
        Operation::Aliases => aliases::list(&call),
        Operation::SetAlias => aliases::set(call).await,
        Operation::RemoveAlias => aliases::remove(&call).await,
        Operation::Promote => aliases::promote(call).await,
        Operation::Rollback => aliases::rollback(&call).await,
        Operation::Connections => connections::list(&call),
        Operation::Connection => connections::show(&call),
        Operation::Send => connections::send(call).await,
        Operation::Close => connections::close(call).await,
    }
}

/// Makes a change to its end, also when whoever asked for it hangs up: half a
/// change is none.
pub(super) async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = T> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(change).await.map_err(|_| {
        Problem::new(500, "internal", "the host failed to make the change")
            .hint("see the host's log")
    })
}

/// JSON, with a line's end for terminals.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let mut body =
        serde_json::to_vec(value).expect("views have only strings and numbers, and texts as keys");
    body.push(b'\n');
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        let name = HeaderName::from_static(name);
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn to_the_page() -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let page = HeaderValue::from_static(page::INDEX_PATH);
    answer.headers_mut().insert(LOCATION, page);
    answer
}
