//! Requests to the admin interface: decides who is answered, and leads each to
//! its part.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use openline_admission::peer::Peer;
use openline_gateway::reserved::{Answer, RESERVED_PATH, RequestBody, Reserved, is_reserved};
use serde::Serialize;
use tokio::task::JoinHandle;

use crate::access::{self, Scope, Token};
use crate::body::Body;
use crate::page::{self, PageListener};
use crate::problem::Problem;
use crate::query::Query;
use crate::routes::{self, Operation};
use crate::{Context, aliases, config, connections, functions, host};

/// One request that may be answered.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) context: &'a Context,
    /// The parameters of the path, decoded.
    pub(crate) values: Vec<String>,
    pub(crate) query: Query,
    pub(crate) body: Body<'a>,
}

/// What an endpoint answers.
pub(crate) type Answered = Result<Answer, Problem>;

/// Answers what the admin interface is asked.
#[derive(Debug)]
pub(crate) struct Interface(pub(crate) Arc<Context>);

impl Reserved for Interface {
    fn answer(&self, request: Request<RequestBody>, peer: Peer) -> BoxFuture<'_, Answer> {
        answer(&self.0, request, peer).boxed()
    }
}

/// Answers a probe here, and has the workers answer everything else: this may
/// be the one thread that still runs.
async fn answer(context: &Arc<Context>, request: Request<RequestBody>, peer: Peer) -> Answer {
    if let Some(answer) = context.gateway.probe(request.uri().path()) {
        return answer;
    }
    let asked = Arc::clone(context);
    let answering = async move { work(&asked, request, &peer).await };
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

async fn work(context: &Context, request: Request<RequestBody>, peer: &Peer) -> Answer {
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

async fn respond(context: &Context, parts: &Parts, body: RequestBody, peer: &Peer) -> Answered {
    let path = parts.uri.path();
    let table = context.gateway.services().table();
    let scope = if path == "/" || page::is_asset(path) {
        Scope::Page
    } else {
        Scope::Interface
    };
    // That of the configuration as it was last read: one that has leaked is
    // changed without ending a connection.
    let token = table.config.admin_token.as_deref().map(Token::new);
    access::check(token.as_ref(), &parts.headers, peer, scope)?;
    if path == "/" {
        return Ok(to_the_page());
    }
    if is_reserved(path) {
        let content = context.page.content(parts, PageListener::Admin);
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
            patience: table.config.request_timeout,
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
pub(crate) async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = T> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(change).await.map_err(|_| Problem::internal())
}

/// JSON, with a line's end for terminals.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
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
    let page = HeaderValue::from_static(RESERVED_PATH);
    answer.headers_mut().insert(LOCATION, page);
    answer
}
