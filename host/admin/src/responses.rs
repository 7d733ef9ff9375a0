//! The description of the interface except its routes, and the errors that each
//! kind of route may answer.

use std::collections::BTreeMap;

use utoipa::openapi::{Ref, RefOr, Response};
use utoipa::{IntoResponses, OpenApi};

use crate::problem::Written;

/// Everything except the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Openline's admin interface",
        description = "Functions, versions, aliases, triggers, API keys, channels, connections, and the configuration in force. Every path that has GET answers HEAD, too. Keys of the query and of JSON that are not described here are errors. Other methods are answered with 405 and other paths with 404, with the same shape of errors.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((
        url = "http://127.0.0.1:18080",
        description = "At the port of `listen` plus 10,000, unless the configuration says otherwise."
    )),
    security(("token" = []), ()),
    tags(
        (name = "host"),
        (name = "functions"),
        (name = "versions"),
        (name = "aliases"),
        (name = "triggers"),
        (name = "keys"),
        (name = "channels"),
        (name = "connections")
    ),
    components(schemas(Written))
)]
pub(crate) struct Base;

/// The errors of every request.
pub(crate) struct Refused;
/// The errors of a path that contains a name.
pub(crate) struct NotFound;
/// The errors of a change.
pub(crate) struct NotChanged;
/// The errors of a request with a body.
pub(crate) struct BadBody;
/// The error for a body that can be read but asks for something impossible.
pub(crate) struct Unprocessable;

fn errors<const N: usize>(statuses: [u16; N]) -> BTreeMap<String, RefOr<Response>> {
    let one = |status: u16| {
        let named = Ref::from_response_name(format!("E{status}"));
        (status.to_string(), RefOr::Ref(named))
    };
    statuses.into_iter().map(one).collect()
}

impl IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        errors([400, 401, 403])
    }
}

impl IntoResponses for NotFound {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        errors([400, 401, 403, 404])
    }
}

impl IntoResponses for NotChanged {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        errors([400, 401, 403, 404, 409, 503])
    }
}

impl IntoResponses for BadBody {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        errors([408, 413, 415])
    }
}

impl IntoResponses for Unprocessable {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        errors([422])
    }
}

/// The meaning of each error.
pub(crate) const ERRORS: [(&str, &str); 10] = [
    ("E400", "A name, the query or the body cannot be read."),
    ("E401", "The token is missing or wrong."),
    (
        "E403",
        "Only this machine, and no page of another origin, may ask without a token.",
    ),
    ("E404", "There is nothing with this name."),
    ("E408", "The body did not arrive in time."),
    ("E409", "The present state does not allow it."),
    ("E413", "The body is too large."),
    ("E415", "The path does not take this content type."),
    (
        "E422",
        "The request is understood but cannot be carried out.",
    ),
    ("E503", "The host failed; nothing has changed."),
];
