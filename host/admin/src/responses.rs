//! The description of the interface but for its routes, and what each of them
//! may answer instead of what was asked for.

use std::collections::BTreeMap;

use utoipa::openapi::{Ref, RefOr, Response};
use utoipa::{IntoResponses, OpenApi};

use crate::problem::Written;

/// All but the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Openline's admin interface",
        description = "Functions, versions, aliases, connections, and the configuration in force. Every path that has GET answers HEAD, too. Keys of the query and of JSON that are not described here are errors. Other methods are answered with 405 and other paths with 404, with the same shape of errors.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((
        url = "http://127.0.0.1:18080",
        description = "One port above `listen`, unless the configuration says otherwise."
    )),
    security(("token" = []), ()),
    tags(
        (name = "host"),
        (name = "functions"),
        (name = "versions"),
        (name = "aliases"),
        (name = "connections")
    ),
    components(schemas(Written))
)]
pub(crate) struct Base;

/// What every request may be answered instead.
pub(crate) struct Refused;
/// The same, of a path with a name in it.
pub(crate) struct NotFound;
/// The same, of a change.
pub(crate) struct NotChanged;
/// What a body may add.
pub(crate) struct BadBody;
/// A body that can be read, and asks for what cannot be.
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

/// What the errors mean.
pub(crate) const ERRORS: [(&str, &str); 10] = [
    ("E400", "A name, the query or the body cannot be read."),
    ("E401", "The token is missing or wrong."),
    (
        "E403",
        "Only this machine, and no page of another origin, may ask without a token.",
    ),
    ("E404", "It is not there."),
    ("E408", "The body does not arrive."),
    ("E409", "Something else stands against it."),
    ("E413", "The body is too large."),
    ("E415", "The body has another type than is read here."),
    ("E422", "It is understood and cannot be done."),
    (
        "E503",
        "The host could not do its part; nothing has changed.",
    ),
];
