//! The routes of the admin interface, each with its description.

use std::sync::Arc;

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::Context;
use crate::responses::Base;
use crate::{
    aliases, channels, config, connections, credentials, functions, host, keys, triggers, watching,
};

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
        .routes(routes!(triggers::list))
        .routes(routes!(triggers::show, triggers::set, triggers::remove))
        .routes(routes!(credentials::ticket))
        .routes(routes!(credentials::revoke))
        .routes(routes!(keys::list, keys::make))
        .routes(routes!(keys::revoke))
        .routes(routes!(channels::list))
        .routes(routes!(channels::show))
        .routes(routes!(channels::members))
        .routes(routes!(channels::history, channels::clear))
        .routes(routes!(channels::values))
        .routes(routes!(channels::publish))
        .routes(routes!(watching::stream))
        .routes(routes!(channels::unsubscribe))
        .routes(routes!(connections::list))
        .routes(routes!(connections::show))
        .routes(routes!(connections::send))
        .routes(routes!(connections::close))
}
