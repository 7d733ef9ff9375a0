//! What browsers may do with answers: whether pages of other sites may read
//! them, and that those of a shared host are saved and not shown.
//!
//! Bounded by the lists of [`cors`]; nothing here waits.

use http::header::{
    CONTENT_DISPOSITION, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use openline_admission::cors;
use openline_admission::services::Service;

use crate::reserved::Answer;

/// The answer to a preflight, with these headers.
pub(crate) fn preflight(headers: HeaderMap) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    *answer.headers_mut() = headers;
    answer
}

/// Lets pages read an answer to a request with these headers, as its trigger
/// says.
pub(crate) fn expose(headers: &mut HeaderMap, asked: &HeaderMap, led: Option<&Service>) {
    if let Some(cors) = led.and_then(|service| service.trigger.cors.as_ref()) {
        cors::expose(cors, asked, headers);
    }
}

/// Headers by which one answer changes what a browser does with the whole host.
const OF_THE_HOST: [HeaderName; 2] = [
    HeaderName::from_static("clear-site-data"),
    STRICT_TRANSPORT_SECURITY,
];

/// Makes a browser save a function's answer and not show it, so that no page of
/// one owner runs with the cookies and the storage of all others on the host.
/// Nor is it taken for a script that does not call itself one, or changes what
/// the browser keeps for the others.
pub(crate) fn save(headers: &mut HeaderMap) {
    let is_saved = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        let kind = bytes.split(|byte| *byte == b';').next();
        kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"attachment"))
    };
    let mut named = headers.get_all(CONTENT_DISPOSITION).iter();
    // With several, browsers differ in which one they take.
    let is_kept = named.next().is_some_and(is_saved) && named.next().is_none();
    if !is_kept {
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for name in &OF_THE_HOST {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_saved_whatever_the_function_says() {
        for (own, expected) in [
            (&[][..], "attachment"),
            (&["inline"], "attachment"),
            (&["attachmentx"], "attachment"),
            (&["Attachment; filename=a"], "Attachment; filename=a"),
            (&["attachment", "inline"], "attachment"),
            (&["inline", "attachment"], "attachment"),
            (&["; attachment"], "attachment"),
        ] {
            let mut headers = HeaderMap::new();
            for value in own {
                headers.append(CONTENT_DISPOSITION, HeaderValue::from_static(value));
            }
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("no"));
            save(&mut headers);
            let all: Vec<_> = headers.get_all(CONTENT_DISPOSITION).iter().collect();
            assert_eq!(all, [expected], "{own:?}");
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(headers.get_all(X_CONTENT_TYPE_OPTIONS).iter().count(), 1);
        }
    }

    #[test]
    fn no_owner_speaks_for_the_whole_host() {
        let mut headers = HeaderMap::new();
        for name in ["clear-site-data", "strict-transport-security", "x-own"] {
            headers.append(name, HeaderValue::from_static("1"));
            headers.append(name, HeaderValue::from_static("2"));
        }
        save(&mut headers);
        assert_eq!(headers.get_all("x-own").iter().count(), 2);
        assert!(OF_THE_HOST.iter().all(|name| !headers.contains_key(name)));
    }
}
