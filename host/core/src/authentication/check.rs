//! The rules between the keys of a trigger's authentication, and the ranges of
//! its numbers.

use std::time::Duration;

use super::paths::CHECKED_PATHS_MAX;
use super::shapes::{
    ACCESS_KEYS_MAX, AuthMethod, Authentication, FirstMessageConfig, HOUR, JWK_KEYS_MAX,
    JWKS_TIME_MIN, JwtConfig, LEEWAY_MAX, NAMES_MAX, SignatureConfig, SignatureForm,
    TICKET_TIME_MAX, TicketConfig,
};
use super::{Lookup, PathPattern, SecretSource};
use crate::affinity::is_token;
use crate::limits::RECEIVED_FREE_BYTES;
use crate::table_error::{TableError, error};

/// The longest that a pre-signed URL is valid, as with S3.
const PRESIGNED_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The longest issuer, audience or other word, in bytes.
const WORD_BYTES_MAX: usize = 1024;

/// The algorithms by which a token may be signed (RFC 7518 and 8037). `none` is
/// not one of them.
const ALGORITHMS: [&str; 13] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "ES512", "EdDSA",
];

/// Checks that a number or a time is within its range.
fn within<T: PartialOrd + Copy>(
    key: &'static str,
    value: T,
    range: std::ops::RangeInclusive<T>,
    words: &'static str,
) -> Result<(), TableError> {
    if range.contains(&value) {
        return Ok(());
    }
    let name = key.rsplit('.').next().unwrap_or(key);
    error(key, format!("`{name}` is out of its range"), words)
}

/// Checks the length of a list, and that its words are neither empty nor long.
fn words(key: &'static str, list: &[String]) -> Result<(), TableError> {
    let name = key.rsplit('.').next().unwrap_or(key);
    if list.len() > NAMES_MAX {
        let what = format!("`{name}` has more than {NAMES_MAX} entries");
        return error(key, what, "keep those that are in use");
    }
    if list
        .iter()
        .any(|word| word.is_empty() || word.len() > WORD_BYTES_MAX)
    {
        let what =
            format!("`{name}` has an entry that is empty or longer than {WORD_BYTES_MAX} bytes");
        return error(key, what, "remove the entry");
    }
    Ok(())
}

// === impl Authentication ===

impl Authentication {
    /// Checks the rules between the keys of all tables.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with the key to blame.
    pub fn check(&self) -> Result<(), TableError> {
        let by_token = matches!(self.method, AuthMethod::Jwt | AuthMethod::FirstMessage);
        let has = [
            ("jwt", self.jwt.is_some(), by_token),
            (
                "signature",
                self.signature.is_some(),
                self.method == AuthMethod::Signature,
            ),
            (
                "ticket",
                self.ticket.is_some(),
                self.method == AuthMethod::Ticket,
            ),
            (
                "first_message",
                self.first_message.is_some(),
                self.method == AuthMethod::FirstMessage,
            ),
        ];
        for (key, given, used) in has {
            if given && !used {
                let what = format!("the table `{key}` has no effect with this `auth`");
                return error(
                    key,
                    what,
                    "set `auth` to what the table is for, or remove the table",
                );
            }
        }
        if by_token && self.jwt.is_none() {
            let hint = "add [function.trigger.jwt] with `keys_file`, `jwks_url` or `secret`";
            return error("auth", "`auth` needs keys for its tokens", hint);
        }
        if self.method == AuthMethod::Signature && self.signature.is_none() {
            let hint = "add [[function.trigger.signature.keys]] with `id` and `secret`";
            return error("auth", "`auth` needs keys for its signatures", hint);
        }
        self.jwt.as_ref().map_or(Ok(()), |jwt| jwt.check())?;
        if self.method == AuthMethod::FirstMessage
            && self
                .jwt
                .as_ref()
                .is_some_and(|jwt| jwt.lookup != Lookup::bearer())
        {
            let what = "`lookup` has no effect: the token comes in the first message";
            let hint = "remove it; `field` and `prefix` of `first_message` say where the token is";
            return error("jwt.lookup", what, hint);
        }
        self.signature.as_ref().map_or(Ok(()), |it| it.check())?;
        self.ticket.as_ref().map_or(Ok(()), |it| it.check())?;
        self.first_message.as_ref().map_or(Ok(()), |it| it.check())
    }

    /// Checks what is set from outside of the host, beside [`check`](Self::check):
    /// its paths are the host's, and no secret is among its keys, because it is
    /// kept with the deployment.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with the key to blame.
    pub fn check_remote(&self) -> Result<(), TableError> {
        let hint = "write it as the host sees it, from `/` on";
        if let Some(jwt) = &self.jwt {
            if jwt
                .keys
                .iter()
                .any(|key| key.kty == "oct" || key.k.is_some())
            {
                let what = "a secret among `keys` would be kept with the deployment";
                let hint =
                    "put it into a variable or a file of the host, and name that in `secret`";
                return error("jwt.keys", what, hint);
            }
            if jwt.keys_file.as_ref().is_some_and(|it| it.is_relative()) {
                return error("jwt.keys_file", "`keys_file` is a relative path", hint);
            }
            let secrets = [&jwt.secret, &jwt.previous_secret];
            if secrets.into_iter().flatten().any(SecretSource::is_relative) {
                return error(
                    "jwt.secret",
                    "the place of a secret is a relative path",
                    hint,
                );
            }
        }
        let keys = self.signature.iter().flat_map(|it| &it.keys);
        let mut places = keys.flat_map(|key| [Some(&key.secret), key.security_token.as_ref()]);
        if places.any(|place| place.is_some_and(SecretSource::is_relative)) {
            let what = "the place of a secret is a relative path";
            return error("signature.keys", what, hint);
        }
        Ok(())
    }
}

// === impl JwtConfig ===

impl JwtConfig {
    /// Whether a path in its one spelling is checked.
    pub fn checks(&self, path: &str) -> bool {
        let matches = |list: &[PathPattern]| list.iter().any(|pattern| pattern.matches(path));
        if self.checked.is_empty() {
            !matches(&self.unchecked)
        } else {
            matches(&self.checked)
        }
    }

    fn check(&self) -> Result<(), TableError> {
        self.check_sources()?;
        let lists = [
            ("jwt.algorithms", &self.algorithms),
            ("jwt.issuer", &self.issuer),
            ("jwt.audience", &self.audience),
            ("jwt.required", &self.required),
        ];
        for (key, list) in lists {
            words(key, list)?;
        }
        if let Some(other) = self
            .algorithms
            .iter()
            .find(|it| !ALGORITHMS.contains(&&***it))
        {
            let shown: String = other.chars().take(40).collect();
            let what = format!("`{shown}` is not an algorithm for tokens");
            let hint = "one of HS256, RS256, PS256, ES256, each also with 384 or 512, and EdDSA";
            return error("jwt.algorithms", what, hint);
        }
        if !self.checked.is_empty() && !self.unchecked.is_empty() {
            let hint = "keep `unchecked` to check all other paths, or `checked` to check no others";
            return error(
                "jwt.checked",
                "`checked` and `unchecked` exclude each other",
                hint,
            );
        }
        for (key, list) in [
            ("jwt.checked", &self.checked),
            ("jwt.unchecked", &self.unchecked),
        ] {
            if list.len() > CHECKED_PATHS_MAX {
                let what = format!("a list has at most {CHECKED_PATHS_MAX} paths");
                return error(
                    key,
                    what,
                    "a last `*`, as in \"/public/*\", stands for many",
                );
            }
        }
        within(
            "jwt.leeway",
            self.leeway.0,
            Duration::ZERO..=LEEWAY_MAX,
            "at most 5 min",
        )?;
        let code = self.expired_close_code;
        if code != 1008 && !(3000..=4999).contains(&code) {
            let what = format!("connections cannot be closed with {code} when their token expires");
            return error(
                "jwt.expired_close_code",
                what,
                "1008, or one of 3000 to 4999",
            );
        }
        match &self.renewal_prefix {
            Some(prefix) if prefix.is_empty() || prefix.len() > 128 => {
                let hint = "a text that no other message begins with, as in \"openline-token:\"";
                error(
                    "jwt.renewal_prefix",
                    "`renewal_prefix` has 1 to 128 bytes",
                    hint,
                )
            }
            _ => Ok(()),
        }
    }

    /// Where the keys come from.
    fn check_sources(&self) -> Result<(), TableError> {
        let given = [
            !self.keys.is_empty(),
            self.keys_file.is_some(),
            self.jwks_url.is_some(),
            self.secret.is_some(),
        ];
        if given.iter().filter(|it| **it).count() != 1 {
            let what = "tokens need keys from exactly one place";
            let hint = "set one of `keys`, `keys_file`, `jwks_url` and `secret`";
            return error("jwt.keys", what, hint);
        }
        if self.keys.len() > JWK_KEYS_MAX {
            let what = format!("a set has at most {JWK_KEYS_MAX} keys");
            return error("jwt.keys", what, "keep those that are in use");
        }
        if let Some(url) = &self.jwks_url {
            check_url(url)?;
            let day = 24 * HOUR;
            let hint = "30 s to 24 h";
            within(
                "jwt.jwks_refresh",
                self.jwks_refresh.0,
                JWKS_TIME_MIN..=day,
                hint,
            )?;
            let hint = "at least `jwks_refresh`, and at most 30 d";
            within(
                "jwt.jwks_stale",
                self.jwks_stale.0,
                self.jwks_refresh.0..=30 * day,
                hint,
            )?;
        }
        match (&self.secret, &self.previous_secret, self.valid_until) {
            (None, Some(_), _) => {
                let hint = "set `secret` to the new one, or name the only one `secret`";
                error(
                    "jwt.previous_secret",
                    "`previous_secret` is not alone",
                    hint,
                )
            }
            (_, Some(_), None) => {
                let what = "`previous_secret` would be good forever";
                let hint = "set `valid_until` to when the last token signed with it ends";
                error("jwt.previous_secret", what, hint)
            }
            (_, None, Some(_)) => {
                let hint = "it is the end of `previous_secret`: remove it, or add that";
                error("jwt.valid_until", "`valid_until` has no effect", hint)
            }
            _ => Ok(()),
        }
    }
}

/// A URL that is fetched must be authentic: by TLS, or because it never leaves
/// the machine.
fn check_url(url: &str) -> Result<(), TableError> {
    let hint = "write it as in \"https://issuer.example.org/.well-known/jwks.json\"";
    let bad = |what: &str| error("jwt.jwks_url", what, hint);
    if url.len() > 2048 || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return bad("`jwks_url` is too long, or not visible ASCII");
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    if authority.contains('@') || after.contains('#') {
        return bad("`jwks_url` has credentials or a fragment");
    }
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let loopback = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    match scheme {
        _ if host.is_empty() => bad("`jwks_url` names no host"),
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        "http" => bad("`jwks_url` is not https, so that others could replace the keys on the way"),
        _ => bad("`jwks_url` is not an https URL"),
    }
}

// === impl SignatureConfig ===

impl SignatureConfig {
    fn check(&self) -> Result<(), TableError> {
        if self.accept.is_empty() {
            let hint = "as in `accept = [\"openline\", \"fc\", \"acs3\"]`";
            return error("signature.accept", "`accept` names no form", hint);
        }
        if !(1..=ACCESS_KEYS_MAX).contains(&self.keys.len()) {
            let what = format!("signatures need 1 to {ACCESS_KEYS_MAX} keys");
            let hint = "a key is for a caller; users of a page get tokens or tickets";
            return error("signature.keys", what, hint);
        }
        for (at, key) in self.keys.iter().enumerate() {
            let letter = |byte: u8| byte.is_ascii_graphic() && !b",:=/".contains(&byte);
            if !(1..=128).contains(&key.id.len()) || !key.id.bytes().all(letter) {
                let what = "an access key's id has 1 to 128 visible characters, none of `,:=/`";
                return error("signature.keys", what, "choose another id");
            }
            if self.keys[..at].iter().any(|other| other.id == key.id) {
                let what = format!("two access keys have the id `{}`", key.id);
                return error(
                    "signature.keys",
                    what,
                    "give the newer one an id of its own",
                );
            }
        }
        words("signature.signed_headers", &self.signed_headers)?;
        if !self
            .signed_headers
            .iter()
            .all(|name| name.bytes().all(is_token))
        {
            let hint = "names of headers, as in [\"x-user\"]";
            return error(
                "signature.signed_headers",
                "an entry is no name of a header",
                hint,
            );
        }
        if !self.signed_headers.is_empty() && self.accept.contains(&SignatureForm::Fc) {
            let what = "the form `fc` does not sign the headers of `signed_headers`";
            let hint = "remove \"fc\" from `accept`, or remove `signed_headers`";
            return error("signature.signed_headers", what, hint);
        }
        let second = Duration::from_secs(1);
        within(
            "signature.window",
            self.window.0,
            second..=HOUR,
            "1 s to 1 h",
        )?;
        let hint = "1 to 16777216; each takes about 90 bytes";
        within("signature.nonces_max", self.nonces_max, 1..=1 << 24, hint)?;
        let (key, range) = ("signature.presigned_time_max", second..=PRESIGNED_MAX);
        within(key, self.presigned_time_max.0, range, "1 s to 7 d")
    }
}

// === impl TicketConfig ===

impl TicketConfig {
    fn check(&self) -> Result<(), TableError> {
        let range = Duration::from_secs(1)..=TICKET_TIME_MAX;
        within("ticket.time", self.time.0, range, "1 s to 10 min")?;
        let hint = "1 to 1048576; each may keep 8 KiB of claims";
        within("ticket.tickets_max", self.tickets_max, 1..=1 << 20, hint)
    }
}

// === impl FirstMessageConfig ===

impl FirstMessageConfig {
    fn check(&self) -> Result<(), TableError> {
        let range = Duration::from_millis(100)..=HOUR;
        let (key, timeout) = ("first_message.timeout", self.timeout.0);
        within(key, timeout, range, "100 ms to 1 h")?;
        let (key, bytes) = ("first_message.message_bytes_max", self.message_bytes_max.0);
        let most = RECEIVED_FREE_BYTES as u64;
        within(key, bytes, 1 << 10..=most, "1 KiB to 16 KiB")?;
        if let Some(field) = &self.field
            && (field.len() > 128 || field.split('.').any(str::is_empty))
        {
            let what = "`field` has 1 to 128 bytes, and something before and after each dot";
            let hint = "a key, as in \"token\" or \"payload.token\"; leave it out for a bare token";
            return error("first_message.field", what, hint);
        }
        if let Some(prefix) = &self.prefix
            && !(1..=128).contains(&prefix.len())
        {
            let hint = "what stands before the token, as in \"Bearer \"; leave it out for none";
            let what = "`prefix` has 1 to 128 bytes";
            return error("first_message.prefix", what, hint);
        }
        let key = "first_message.subprotocols";
        words(key, &self.subprotocols)?;
        if !self.subprotocols.iter().all(|it| it.bytes().all(is_token)) {
            let hint = "names as in [\"chat.v2\", \"chat.v1\"]";
            return error(key, "an entry is no name of a subprotocol", hint);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
