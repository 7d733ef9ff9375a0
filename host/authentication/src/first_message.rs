//! The token in a connection's first message: the whole text, or a member of a
//! JSON object, behind a prefix.
//!
//! The request itself shows nothing, so until the message has come it has no
//! claims, and nothing under the names of claims. Bounded by
//! `message_bytes_max`.

use openline_core::authentication::FirstMessageConfig;
use serde_json::{Map, Value};

use super::{Now, TokenVerifier};
use crate::denied::{Denial, Denied};
use crate::edits::Edits;
use crate::identity::Identity;
use crate::json;
use crate::jwt::{TOKEN_BYTES_MAX, TokenError};

impl TokenVerifier {
    /// Whether a path, in its one spelling, needs a token.
    pub fn checks(&self, path: &str) -> bool {
        self.config.checks(path)
    }

    /// The identity of a request whose token may come later: no claims, and
    /// nothing of what the peer sent under their names.
    ///
    /// # Errors
    ///
    /// When a name cannot be freed.
    pub fn unproven(&self) -> Result<Identity, Denied> {
        let edits = Edits::new(&self.config.claims, None);
        Ok(Identity {
            edits: edits.map_err(|error| Denial::TokenInvalid.because(error))?,
            ..Identity::default()
        })
    }

    /// Verifies the token in a first message. The identity has the edits of its
    /// request.
    ///
    /// # Errors
    ///
    /// When the message has no token, or no good one.
    pub fn first_message(
        &self,
        config: &FirstMessageConfig,
        message: &str,
        now: Now,
    ) -> Result<Identity, Denied> {
        let token = first_token(config, message)?;
        self.proven(&token, now)
    }
}

/// The token in the first message of a connection.
///
/// # Errors
///
/// When the message has none.
pub fn first_token(config: &FirstMessageConfig, message: &str) -> Result<String, Denied> {
    let missing = |why: &str| Denial::TokenMissing.because(why);
    let limit = usize::try_from(config.message_bytes_max.0).unwrap_or(usize::MAX);
    if message.len() > limit {
        let why = "the first message is larger than `message_bytes_max`";
        return Err(Denial::TokenInvalid.because(why));
    }
    let object;
    let text = match &config.field {
        None => message,
        Some(field) => {
            object = json::object(message.as_bytes())
                .map_err(|_| missing("the first message is not a JSON object"))?;
            member(&object, field)
                .and_then(Value::as_str)
                .ok_or_else(|| missing("the first message has no token"))?
        }
    };
    let text = text.trim();
    let token = match &config.prefix {
        None => text,
        // The text was trimmed, so spaces before the prefix are gone.
        Some(prefix) => text
            .strip_prefix(prefix.trim_start())
            .ok_or_else(|| missing("the token has not the prefix"))?
            .trim_start(),
    };
    if token.is_empty() {
        return Err(missing("the first message has no token"));
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Denial::TokenInvalid.because(TokenError::Long));
    }
    Ok(token.to_owned())
}

/// The value at the end of a path of keys with dots between them.
fn member<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let mut keys = path.split('.');
    let first = object.get(keys.next()?)?;
    keys.try_fold(first, |value, key| value.as_object()?.get(key))
}
