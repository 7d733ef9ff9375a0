//! What to do about a trigger that is not right, in the file and in a running
//! host.

use crate::route::RouteError;
use crate::trigger::{
    CorsError, FUNCTION_COMPUTE, HEADER_NAME_BYTES_MAX, METHODS, MethodsError, TriggerError,
};

/// The way out of an error about a route.
pub fn route_hint(error: &RouteError) -> String {
    match error {
        RouteError::Syntax(_) => "only visible ASCII; percent-encode everything else".into(),
        RouteError::Parameter(_) => {
            "as in \"/chat/{room}\" or \"/files/{*path}\"; a name has letters, digits, `-` and `_`"
                .into()
        }
        RouteError::Reserved => "choose another first segment".into(),
        RouteError::Spelling(..) => {
            "write the path as the host spells it: without doubled slashes, dot segments and needless escapes".into()
        }
    }
}

/// The way out of an error about triggers.
pub fn trigger_hint(error: &TriggerError) -> &'static str {
    match error {
        TriggerError::Conflict { .. } => {
            "give one of them another route, other hosts or other methods"
        }
        TriggerError::Twice(_) => "rename one of them",
        TriggerError::TooMany(_) => "a parameter, as in \"/chat/{room}\", makes one route of many",
        TriggerError::Firewall { .. } => {
            "add a [[firewall]] of that name to the configuration, or have the trigger name another"
        }
        TriggerError::Parameter { .. } => {
            "affinity names a parameter of the route, as `room` in \"/chat/{room}\", or `header:`, `query:`, `cookie:` or `claim:` and a name"
        }
        TriggerError::Claim { .. } => {
            "set `auth` of the trigger, as in `auth = \"jwt\"`, or let another part of the request choose"
        }
    }
}

/// The way out of an error about a host.
pub fn host_hint(text: &str) -> &'static str {
    if text == "*" {
        "leave `hosts` out for a trigger on all hosts"
    } else if !text.is_ascii() {
        "write the name in its ASCII form, which begins with `xn--`"
    } else if text.contains("://") || text.contains('/') {
        "write the name alone, as in \"chat.example.org\""
    } else if text.contains(':') {
        "write the name without a port, as in \"chat.example.org\""
    } else {
        "write a name, as in \"chat.example.org\", or all below one, as in \"*.example.org\""
    }
}

/// The way out of an error about an origin.
pub const ORIGIN_HINT: &str = "write it as in \"https://app.example.org\" or \"https://*.example.org:8443\", without a path; \"*\" stands for all";

/// The way out of an error about methods.
pub fn methods_hint(error: &MethodsError) -> String {
    let all = METHODS.join(", ");
    match error {
        MethodsError::Empty => {
            "a WebSocket needs \"GET\"; leave `methods` out for that alone".into()
        }
        MethodsError::Unknown(_) => format!("in upper case, one of {all}"),
    }
}

/// The way out of an error about `cors`.
pub fn cors_hint(error: &CorsError) -> String {
    match error {
        CorsError::Word(_) => format!(
            "write \"{FUNCTION_COMPUTE}\", or a table with `allow_origins` and the other keys"
        ),
        CorsError::NoOrigins => {
            "name the origins whose pages may read answers, or leave `cors` out".into()
        }
        CorsError::TooManyOrigins => {
            "a pattern, as in \"https://*.example.org\", stands for many".into()
        }
        CorsError::Origin(_) => ORIGIN_HINT.into(),
        CorsError::Methods(_) => {
            let all = METHODS.join(", ");
            format!("in upper case, some of {all}; without `allow_methods`, those of the trigger")
        }
        CorsError::NotTaken(word) => {
            format!("add \"{word}\" to `methods` of the trigger, or remove it here")
        }
        CorsError::TooManyHeaders(_) => "without credentials, \"*\" stands for all".into(),
        CorsError::Header(..) => {
            format!("as in \"content-type\", with at most {HEADER_NAME_BYTES_MAX} bytes")
        }
        CorsError::Credentials("allow_origins") => {
            "a page of any site could read with its visitor's cookies: list the origins, as in \"https://*.example.org\", or leave `allow_credentials` out".into()
        }
        CorsError::Credentials(_) => {
            "with credentials, browsers take `*` for a name: list the headers".into()
        }
        CorsError::Period(_) | CorsError::MaxAge(_) => {
            "as in \"1 h\"; no browser keeps the result of a preflight for more than a day".into()
        }
    }
}
