//! The routes of the admin interface, each with its description.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request};
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::body::Body;
use crate::document::{self, Base};
use crate::problem::Problem;
use crate::query::Query;
use crate::{Context, aliases, config, connections, functions, host};

/// One request that may be answered.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) context: Arc<Context>,
    /// The parameters of the path, decoded, in its order.
    pub(crate) values: Vec<String>,
    pub(crate) query: Query,
    pub(crate) body: Body,
}

/// All routes with their descriptions.
pub(crate) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(host::host))
        .routes(routes!(config::config))
        .routes(routes!(host::state))
        .routes(routes!(host::openapi))
        .routes(routes!(functions::list))
        .routes(routes!(functions::show, functions::remove))
        .routes(routes!(functions::versions, functions::deploy))
        .routes(routes!(functions::remove_version))
        .routes(routes!(aliases::list))
        .routes(routes!(aliases::set, aliases::remove))
        .routes(routes!(aliases::promote))
        .routes(routes!(aliases::rollback))
        .routes(routes!(connections::list))
        .routes(routes!(connections::show))
        .routes(routes!(connections::send))
        .routes(routes!(connections::close))
}

/// All that the interface answers below `/v1/`.
pub(crate) fn router(context: Arc<Context>) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(async || nothing_here())
        .method_not_allowed_fallback(not_allowed)
        .with_state(context)
}

/// No route has the path.
pub(crate) fn nothing_here() -> Problem {
    Problem::new(404, "not_found", "there is nothing on this path")
}

/// The path is there, with other methods.
async fn not_allowed(path: MatchedPath) -> Problem {
    let allowed = document::allowed(path.as_str());
    let problem = Problem::new(405, "method_not_allowed", "this is not done here")
        .hint(format!("this path takes {allowed}"));
    // Only names of methods are in it.
    match allowed.parse() {
        Ok(value) => problem.header(http::header::ALLOW, value),
        Err(_) => problem,
    }
}

impl FromRequest<Arc<Context>> for Call {
    type Rejection = Problem;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let params = RawPathParams::from_request_parts(&mut parts, context).await;
        let params = params.map_err(|_| {
            Problem::bad(
                "bad_name",
                "a name in the path is not UTF-8 after percent-decoding",
            )
        })?;
        let values = params.iter().map(|(_, value)| value.to_owned()).collect();
        let path = parts.extensions.get::<MatchedPath>();
        let keys = path.map_or(&[][..], |path| {
            document::keys(parts.method.as_str(), path.as_str())
        });
        let query = Query::parse(parts.uri.query(), keys)?;
        let table = context.gateway.services().table();
        Ok(Self {
            context: Arc::clone(context),
            values,
            query,
            body: Body {
                incoming: body,
                headers: parts.headers,
                patience: table.config.request_timeout,
            },
        })
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.answer().into_response()
    }
}
