//! One request, as an endpoint gets it.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request};

use crate::access::LetIn;
use crate::body::Body;
use crate::context::Context;
use crate::problem::Problem;
use crate::query::Query;

/// One request that may be answered.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) context: Arc<Context>,
    /// As what it was let in.
    pub(crate) let_in: LetIn,
    /// The parameters of the path, decoded, in its order.
    pub(crate) values: Vec<String>,
    pub(crate) query: Query,
    pub(crate) body: Body,
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
            (context.description.keys)(parts.method.as_str(), path.as_str())
        });
        let query = Query::parse(parts.uri.query(), keys)?;
        // Only requests that were let in come here.
        let let_in = parts.extensions.remove().ok_or_else(Problem::internal)?;
        let table = context.gateway.services().table();
        Ok(Self {
            context: Arc::clone(context),
            let_in,
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
