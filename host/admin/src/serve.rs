//! Decides which requests to the admin interface are answered, and leads each
//! to its part.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_LENGTH, HeaderValue, LOCATION};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use openline_admission::peer::Peer;
use openline_gateway::answer_body::AnswerBody;
use openline_gateway::reserved::{Answer, RESERVED_PATH, RequestBody, Reserved, is_reserved};
use tokio::task::JoinHandle;
use tower::ServiceExt;

use crate::access::{self, LetIn, Scope};
use crate::context::Context;
use crate::page::{self, PageListener};
use crate::problem::Problem;
use crate::router::{nothing_here, router};
use crate::watching::Streamed;

/// Answers requests to the admin interface.
#[derive(Debug)]
pub(crate) struct Interface {
    context: Arc<Context>,
    router: Router,
}

impl Interface {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        let router = router(Arc::clone(&context));
        Self { context, router }
    }
}

impl Reserved for Interface {
    fn answer(
        &self,
        request: Request<RequestBody>,
        peer: Peer,
    ) -> BoxFuture<'_, Response<AnswerBody>> {
        answer(self, request, peer).boxed()
    }
}

/// Answers a probe here, because this may be the only thread that still runs,
/// and lets the workers answer everything else.
async fn answer(
    interface: &Interface,
    request: Request<RequestBody>,
    peer: Peer,
) -> Response<AnswerBody> {
    let context = &interface.context;
    let (method, path) = (request.method(), request.uri().path());
    if let Some(answer) = context.gateway.probe(method, path) {
        return answer.map(Into::into);
    }
    let Ok(_place) = context.working.try_acquire() else {
        let problem = Problem::new(503, "busy", "the host has too many requests to answer");
        return problem
            .hint("try again; where `/.openline/live` says that the host hangs, see its log")
            .answer()
            .map(Into::into);
    };
    let (asked, router) = (Arc::clone(context), interface.router.clone());
    let answering = async move { work(&asked, router, request, &peer).await };
    let mut answering = UntilDropped(context.workers.spawn(answering));
    let answered = (&mut answering.0).await;
    answered.unwrap_or_else(|_| {
        let problem = Problem::new(500, "internal", "the host failed to answer");
        let answer = problem.hint("see the host's log").answer();
        answer.map(Into::into)
    })
}

/// A task that is aborted when this is dropped.
struct UntilDropped<T>(JoinHandle<T>);

impl<T> Drop for UntilDropped<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn work(
    context: &Context,
    router: Router,
    request: Request<RequestBody>,
    peer: &Peer,
) -> Response<AnswerBody> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answered = Box::pin(respond(context, router, request, peer)).await;
    let answer = answered.unwrap_or_else(|problem| problem.answer().map(Into::into));
    let status = answer.status().as_u16();
    if matches!(method, Method::GET | Method::HEAD) {
        tracing::debug!(%peer, %method, path, status, "admin");
    } else {
        // Each change is logged with its peer.
        tracing::info!(%peer, %method, path, status, "admin");
    }
    answer
}

async fn respond(
    context: &Context,
    router: Router,
    request: Request<RequestBody>,
    peer: &Peer,
) -> Result<Response<AnswerBody>, Problem> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path();
    let table = context.gateway.services().table();
    let scope = if path == "/" || page::is_asset(path) {
        Scope::Page
    } else {
        Scope::Interface
    };
    // The token of the configuration as it was last read, so that a leaked
    // token can be changed without ending a connection.
    let let_in = LetIn::by(table.config.admin_token.as_deref());
    access::check(let_in.token(), &parts.uri, &parts.headers, peer, scope)?;
    if path == "/" {
        return Ok(to_the_page().map(Into::into));
    }
    if is_reserved(path) {
        let content = context.page.content(&parts, PageListener::Admin);
        let answer = content.unwrap_or_else(|refusal| refusal.answer());
        return Ok(answer.map(Into::into));
    }
    // The router would take an empty segment for a name.
    if path.split('/').skip(1).any(str::is_empty) {
        return Err(nothing_here());
    }
    let head = parts.method == Method::HEAD;
    parts.extensions.insert(let_in);
    let routed = router.oneshot(Request::from_parts(parts, Body::new(body)));
    let Ok(response) = routed.await;
    let (mut parts, body) = response.into_parts();
    if !head {
        // hyper sets the length when it writes the answer.
        parts.headers.remove(CONTENT_LENGTH);
    }
    // Who asks for the head of a stream has no use for its body.
    if let Some(stream) = Streamed::take(&mut parts).filter(|_| !head) {
        return Ok(Response::from_parts(parts, stream));
    }
    // Other endpoints answer with complete bodies, so this takes no waiting.
    let body = body.collect().await.map_err(|_| Problem::internal())?;
    let body = Full::new(body.to_bytes());
    Ok(Response::from_parts(parts, body.into()))
}

fn to_the_page() -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let page = HeaderValue::from_static(RESERVED_PATH);
    answer.headers_mut().insert(LOCATION, page);
    answer
}
