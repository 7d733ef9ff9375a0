//! Calls of HTTP handlers: from a request of the gateway to the resources of
//! `wasi:http` that a guest gets, and from its answer back. Both call styles.

use std::sync::Arc;

use http_body_util::BodyExt;
use openline_outbound::Hops;
use wasmtime::AsContextMut;
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::bindings::http::types as plain;
use wasmtime_wasi_http::p3::bindings::http::types as asynchronous;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView, p3};

use super::exchange::bodies::Awaited;
use super::exchange::{
    Request, RequestBodyError, RequestOutcome, RequestReply, ResponseBody, WrittenBody,
};
use super::store::StoreData;

/// What becomes of the transfer of a request's body.
type Transfer = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// The arguments of a plain call. The answer goes to `reply` when the guest sets
/// it, in the middle of the call.
pub(super) fn plain_arguments(
    data: &mut StoreData,
    request: Request,
    reply: &RequestReply,
) -> wasmtime::Result<(
    Resource<plain::IncomingRequest>,
    Resource<plain::ResponseOutparam>,
)> {
    let Request {
        request,
        is_https,
        exchange,
    } = request;
    // A plain call has no other beside it.
    data.calls.begin(Hops::of(request.headers()), true);
    let request = request.map(|body| Awaited::new(body, Arc::clone(&exchange)));
    let scheme = match is_https {
        true => plain::Scheme::Https,
        false => plain::Scheme::Http,
    };
    let mut http = data.http();
    let request = http.new_incoming_request(scheme, request)?;
    let reply = reply.clone();
    let out = http.new_response_outparam_from_callback(move |answer| {
        let outcome = match answer {
            Ok(response) => {
                exchange.answer();
                let response = ResponseBody::new(response.map(written), exchange, None);
                RequestOutcome::Answered(response)
            }
            Err(code) => RequestOutcome::Invalid(refused(&code)),
        };
        reply.give(outcome);
    })?;
    Ok((request, out))
}

/// The argument of an asynchronous call, and what becomes of its body. `is_alone`
/// says that the instance answers no other request meanwhile.
pub(super) fn async_argument(
    data: &mut StoreData,
    request: Request,
    is_alone: bool,
) -> wasmtime::Result<(Resource<asynchronous::Request>, Transfer)> {
    let Request {
        request, exchange, ..
    } = request;
    data.calls.begin(Hops::of(request.headers()), is_alone);
    let request = request.map(|body| Awaited::new(body, exchange));
    let http = data.http();
    let (request, transfer) = p3::Request::from_http(http.hooks, request);
    Ok((http.table.push(request)?, Box::new(transfer)))
}

/// The answer of an asynchronous call.
pub(super) fn async_answer(
    mut store: impl AsContextMut<Data = StoreData>,
    response: Resource<asynchronous::Response>,
    transfer: Transfer,
) -> wasmtime::Result<http::Response<WrittenBody>> {
    let response = {
        let mut store = store.as_context_mut();
        store.data_mut().http().table.delete(response)?
    };
    let response = response.into_http(store, Box::into_pin(transfer))?;
    Ok(response.map(written))
}

/// How a function says that it has no answer, for the log.
pub(super) fn refused(code: &impl std::fmt::Debug) -> String {
    format!("it is an error of the function: {code:?}")
}

fn written(body: WasiBody) -> WrittenBody {
    body.map_err(|error| error.to_string()).boxed_unsync()
}

impl From<RequestBodyError> for Error {
    fn from(error: RequestBodyError) -> Self {
        match error {
            RequestBodyError::TooLarge(bytes) => Self::HttpRequestBodySize(Some(bytes)),
            RequestBodyError::Incomplete => Self::ConnectionTerminated,
            RequestBodyError::Malformed => Self::HttpProtocolError,
            RequestBodyError::Slow => Self::ConnectionTimeout,
        }
    }
}
