//! Leads a request to its endpoint, or answers with an error.

use std::sync::Arc;

use axum::Router;
use axum::extract::MatchedPath;

use crate::context::Context;
use crate::problem::Problem;
use crate::{document, routes};

/// The router of everything below `/v1/`.
pub(crate) fn router(context: Arc<Context>) -> Router {
    let (router, _) = routes::routes().split_for_parts();
    router
        .fallback(async || nothing_here())
        .method_not_allowed_fallback(not_allowed)
        .with_state(context)
}

/// No route has the path.
pub(crate) fn nothing_here() -> Problem {
    Problem::new(404, "not_found", "there is nothing on this path")
}

/// The path exists, but takes other methods.
async fn not_allowed(path: MatchedPath) -> Problem {
    let allowed = document::allowed(path.as_str());
    let problem = Problem::new(
        405,
        "method_not_allowed",
        "this path does not allow the method",
    )
    .hint(format!("this path takes {allowed}"));
    // It contains only names of methods.
    match allowed.parse() {
        Ok(value) => problem.header(http::header::ALLOW, value),
        Err(_) => problem,
    }
}
