//! Checks the head of a function's answer. An answer that breaks the contract is a
//! refusal.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, TE};
use http::response::Parts;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use openline_core::headers::{is_reserved, strip};
use openline_core::limits::{FunctionLimits, HELD_FIRST_BYTES_MAX};
use openline_engine::ResponseBody;

use crate::held::headers::Hold;
use crate::rescue::Refusal;

/// Headers that an answer may have: many more than any function sends, and few
/// enough that they cost the host little.
const HEADERS_MAX: usize = 256;

/// The head of an answer, checked, how it is held if it is, and its body.
pub(super) fn checked(
    answer: Response<ResponseBody>,
    limits: &FunctionLimits,
) -> Result<(Parts, Option<Hold>, ResponseBody), Refusal> {
    let (mut head, body) = answer.into_parts();
    status(head.status)?;
    // How an answer travels is for the host to say.
    strip(&mut head.headers);
    head.headers.remove(TE);
    headers(&head.headers, limits.response_header_bytes)?;
    let hold = Hold::take(&mut head.headers, limits).map_err(Refusal::Answer)?;
    names(&head.headers)?;
    // RFC 9110 section 8.6.
    if head.status == StatusCode::NO_CONTENT {
        head.headers.remove(CONTENT_LENGTH);
    }
    Ok((head, hold, body))
}

/// The first bytes of an answer that is held: all that the function writes, within
/// the time of a call.
pub(super) async fn first_bytes(
    body: ResponseBody,
    limits: &FunctionLimits,
) -> Result<Bytes, Refusal> {
    let body = Limited::new(body, HELD_FIRST_BYTES_MAX);
    let gathered = tokio::time::timeout(limits.handler_timeout, body.collect());
    let Ok(gathered) = gathered.await else {
        let why = "its first bytes are not complete within handler_timeout";
        return Err(Refusal::Answer(why.into()));
    };
    match gathered {
        Ok(gathered) => Ok(gathered.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::Answer(format!(
            "an answer that is held begins with more than {HELD_FIRST_BYTES_MAX} bytes"
        ))),
        Err(error) => Err(Refusal::Answer(error.to_string())),
    }
}

fn status(status: StatusCode) -> Result<(), Refusal> {
    match status.as_u16() {
        200..=599 => Ok(()),
        other => Err(Refusal::Answer(format!(
            "an answer's status is 200 to 599, not {other}"
        ))),
    }
}

fn headers(headers: &HeaderMap, most: usize) -> Result<(), Refusal> {
    if headers.len() > HEADERS_MAX {
        return Err(Refusal::Answer(format!(
            "it has {} headers, more than {HEADERS_MAX}",
            headers.len()
        )));
    }
    let bytes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    let bytes: usize = bytes.sum();
    if bytes > most {
        return Err(Refusal::Answer(format!(
            "its headers have {bytes} bytes, more than {most} (response_header_bytes)"
        )));
    }
    Ok(())
}

/// Checks that no header is the host's.
fn names(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut names = headers.keys();
    match names.find(|name| is_reserved(name)) {
        Some(name) => Err(Refusal::Answer(format!(
            "the header `{name}` belongs to the host"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_status_at_its_bounds_and_past_them() {
        for (code, is_valid) in [
            (199, false),
            (200, true),
            (599, true),
            (600, false),
            (999, false),
        ] {
            let code = StatusCode::from_u16(code).unwrap();
            assert_eq!(status(code).is_ok(), is_valid, "{code}");
        }
    }

    fn some(number: usize) -> HeaderMap {
        let named = (0..number).map(|number| {
            let name = HeaderName::from_bytes(format!("x{number:03}").as_bytes()).unwrap();
            (name, HeaderValue::from_static("v"))
        });
        named.collect()
    }

    #[test]
    fn headers_at_their_number_and_bytes_and_past_them() {
        assert!(headers(&some(HEADERS_MAX), usize::MAX).is_ok());
        assert!(headers(&some(HEADERS_MAX + 1), usize::MAX).is_err());
        assert!(headers(&some(2), 10).is_ok());
        assert!(headers(&some(2), 9).is_err());
    }

    #[test]
    fn a_header_of_the_host_is_refused() {
        for name in ["openline-request-id", "openline_x"] {
            let mut own = HeaderMap::new();
            own.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
            assert!(names(&own).is_err(), "{name}");
        }
    }
}
