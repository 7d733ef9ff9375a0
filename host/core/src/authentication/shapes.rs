//! The tables of a trigger's authentication.
//!
//! serde reads a table; [`Authentication::check`] then finds what no single key
//! shows.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ClaimPass, Lookup, PathPattern, SecretSource, UnixTime};
use crate::limits::RECEIVED_FREE_BYTES;
use crate::units::{ByteSize, Period};

/// Keys of one set: an issuer has two or three, one for each kind of key and
/// the one before it.
pub const JWK_KEYS_MAX: usize = 64;
/// Access keys of one trigger: callers, not users.
pub const ACCESS_KEYS_MAX: usize = 256;
/// Issuers, audiences, required claims, algorithms and signed headers, each.
pub const NAMES_MAX: usize = 32;
/// The most that clocks may differ. RFC 7519 section 4.1.4: "usually no more
/// than a few minutes".
pub const LEEWAY_MAX: Duration = Duration::from_secs(5 * 60);
/// The longest that a ticket is valid. It travels in a URL, which is logged.
pub const TICKET_TIME_MAX: Duration = Duration::from_secs(10 * 60);
/// The shortest time between two fetches of a key set that nothing asks for.
pub const JWKS_TIME_MIN: Duration = Duration::from_secs(30);
/// The most a signature's date may differ from now, and the longest wait for a
/// first message.
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);

/// How a trigger authenticates its requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthMethod {
    /// It takes all.
    #[default]
    None,
    /// By a token (RFC 7519) in the request.
    Jwt,
    /// By a signature of the request.
    Signature,
    /// By a token in the connection's first message.
    FirstMessage,
    /// By a ticket that was made a moment before and is used once.
    Ticket,
}

/// The authentication of one trigger: `auth` and its tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Authentication {
    /// `auth`.
    pub method: AuthMethod,
    /// For `jwt` and `first-message`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Box<JwtConfig>>,
    /// For `signature`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Box<SignatureConfig>>,
    /// For `ticket`. Without it the defaults hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Box<TicketConfig>>,
    /// For `first-message`. Without it the defaults hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_message: Option<Box<FirstMessageConfig>>,
}

/// `[function.trigger.jwt]`: which tokens are good, and where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JwtConfig {
    /// The public keys, or shared ones. One of `keys`, `keys_file`, `jwks_url`
    /// and `secret` is given.
    pub keys: Vec<Jwk>,
    /// A file with a JSON Web Key Set.
    pub keys_file: Option<PathBuf>,
    /// The address of a JSON Web Key Set: https, or http on this machine.
    pub jwks_url: Option<String>,
    /// How often the set is fetched. Issuers announce a key hours before they
    /// use it, and an unknown one is fetched at once.
    #[serde(serialize_with = "shown")]
    pub jwks_refresh: Period,
    /// How long keys stay in force when the set cannot be fetched: a day, the
    /// longest outage that goes unnoticed.
    #[serde(serialize_with = "shown")]
    pub jwks_stale: Period,
    /// A secret that the issuer shares.
    pub secret: Option<SecretSource>,
    /// The secret before it.
    pub previous_secret: Option<SecretSource>,
    /// The last moment at which `previous_secret` is good.
    pub valid_until: Option<UnixTime>,
    /// The algorithms that are good, of those that fit the keys; all if empty.
    /// With `secret`: HS256 if empty.
    pub algorithms: Vec<String>,
    /// The issuers that are good (`iss`); any if empty.
    #[serde(deserialize_with = "one_or_many")]
    pub issuer: Vec<String>,
    /// The audiences that are good (`aud`), one of which the token must have; any
    /// if empty.
    #[serde(deserialize_with = "one_or_many")]
    pub audience: Vec<String>,
    /// The most that the clocks of issuer and host may differ: half a minute,
    /// more than clocks do that are set by NTP.
    #[serde(serialize_with = "shown")]
    pub leeway: Period,
    /// Claims that a token must have. `exp` by default, because a token that
    /// never ends is a password.
    pub required: Vec<String>,
    /// What `typ` must be, as in `at+jwt` (RFC 9068); anything if absent.
    pub token_type: Option<String>,
    /// Where the token is; `Authorization: Bearer` by default.
    pub lookup: Lookup,
    /// The claims that the request carries on.
    pub claims: ClaimPass,
    /// The paths that are not checked; all others are. Not with `checked`.
    pub unchecked: Vec<PathPattern>,
    /// The only paths that are checked. Not with `unchecked`.
    pub checked: Vec<PathPattern>,
    /// The close code of a connection whose token has expired: 1008, or one of
    /// 3000 to 4999.
    pub expired_close_code: u16,
    /// A text message that begins so carries a new token for its connection, and
    /// does not reach the function.
    pub renewal_prefix: Option<String>,
}

/// One JSON Web Key (RFC 7517). Parameters that no verifier needs are ignored.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Jwk {
    /// `RSA`, `EC`, `OKP` or `oct`.
    pub kty: String,
    /// The name by which tokens find it; at most one key has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The only algorithm that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// `sig`, or absent.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    /// Has `verify`, or is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_ops: Option<Vec<String>>,
    /// The curve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// An RSA modulus, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// An RSA exponent, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// A coordinate, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// The other coordinate, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// A secret, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k: Option<String>,
    /// The private part, which has no place here: it is only read so that it can
    /// be refused.
    #[serde(skip_serializing)]
    pub d: Option<String>,
}

/// `[function.trigger.signature]`: which signatures are good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignatureConfig {
    /// The forms that are taken; ours alone by default.
    pub accept: Vec<SignatureForm>,
    /// The keys of callers, 1 to [`ACCESS_KEYS_MAX`].
    pub keys: Vec<AccessKeyConfig>,
    /// Headers that must be signed beside `host`, the date and the nonce. Forms
    /// that sign no headers are refused then: pre-signed URLs, and [`Fc`].
    ///
    /// [`Fc`]: SignatureForm::Fc
    pub signed_headers: Vec<String>,
    /// The most that a date may differ from now, either way: 15 minutes, as with
    /// Function Compute and AWS.
    #[serde(serialize_with = "shown")]
    pub window: Period,
    /// Nonces that the host remembers for the function, for twice `window`: about
    /// 145 requests a second, in 24 MiB. While it is full, requests are refused. The
    /// largest of the function's triggers counts.
    pub nonces_max: usize,
    /// The longest that a pre-signed URL may be valid: an hour, because whoever
    /// sees it can use it.
    #[serde(serialize_with = "shown")]
    pub presigned_time_max: Period,
}

/// A form of signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureForm {
    /// `OPENLINE-HMAC-SHA256`.
    Openline,
    /// Function Compute 2.0: `FC`. It has no nonce, so a request can be repeated
    /// while its date is good.
    Fc,
    /// Alibaba Cloud's third version: `ACS3-HMAC-SHA256`.
    Acs3,
}

/// `[[function.trigger.signature.keys]]`: one caller's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKeyConfig {
    /// Its public name: visible ASCII without `,`, `:`, `=` and `/`.
    pub id: String,
    /// Its secret.
    pub secret: SecretSource,
    /// The last moment at which it is good.
    #[serde(default)]
    pub not_after: Option<UnixTime>,
    /// The token of a temporary key (STS), which every request must carry.
    #[serde(default)]
    pub security_token: Option<SecretSource>,
    /// The subject of its requests (`sub`); the key's id if absent.
    #[serde(default)]
    pub subject: Option<String>,
}

/// `[function.trigger.ticket]`: tickets of the trigger's function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TicketConfig {
    /// Where the ticket is; `query:ticket` or `subprotocol:ticket.` by default.
    pub lookup: Lookup,
    /// How long a ticket is valid unless its maker says less: half a minute, for
    /// the page that asked for it to open its connection.
    #[serde(serialize_with = "shown")]
    pub time: Period,
    /// Tickets that are not used yet: a thousand a second would take 8 s of
    /// `time` to reach it.
    pub tickets_max: usize,
    /// The claims that the request carries on.
    pub claims: ClaimPass,
}

/// `[function.trigger.first_message]`: a token that comes as a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FirstMessageConfig {
    /// How long the host waits for it: ten seconds, for a page that has to fetch
    /// a token first.
    #[serde(serialize_with = "shown")]
    pub timeout: Period,
    /// The largest first message: a token of the largest size, and as much JSON
    /// around it. A peer that has shown nothing takes no more than every
    /// connection may hold.
    #[serde(serialize_with = "shown")]
    pub message_bytes_max: ByteSize,
    /// Where the token is, if the message is a JSON object: a key, or keys with
    /// dots between them; otherwise the whole text is the token.
    pub field: Option<String>,
    /// The text before the token.
    pub prefix: Option<String>,
    /// The subprotocols that the host agrees to, before the function is asked,
    /// the preferred one first.
    pub subprotocols: Vec<String>,
}

fn shown<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::One(one) => vec![one],
        Written::Many(many) => many,
    })
}

// === impl Authentication ===

impl Authentication {
    /// Makes all its paths relative to a folder.
    pub fn be_relative_to(&mut self, folder: &Path) {
        if let Some(jwt) = &mut self.jwt {
            let file = jwt.keys_file.take();
            jwt.keys_file = file.map(|path| folder.join(path));
            let secrets = [&mut jwt.secret, &mut jwt.previous_secret];
            secrets
                .into_iter()
                .flatten()
                .for_each(|it| it.be_relative_to(folder));
        }
        for key in self.signature.iter_mut().flat_map(|it| &mut it.keys) {
            key.secret.be_relative_to(folder);
            if let Some(token) = &mut key.security_token {
                token.be_relative_to(folder);
            }
        }
    }
}

impl AuthMethod {
    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Jwt => "jwt",
            Self::Signature => "signature",
            Self::FirstMessage => "first-message",
            Self::Ticket => "ticket",
        }
    }
}

// === impl JwtConfig ===

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            keys_file: None,
            jwks_url: None,
            jwks_refresh: Period(Duration::from_secs(10 * 60)),
            jwks_stale: Period(Duration::from_secs(24 * 60 * 60)),
            secret: None,
            previous_secret: None,
            valid_until: None,
            algorithms: Vec::new(),
            issuer: Vec::new(),
            audience: Vec::new(),
            leeway: Period(Duration::from_secs(30)),
            required: vec!["exp".into()],
            token_type: None,
            lookup: Lookup::bearer(),
            claims: ClaimPass::default(),
            unchecked: Vec::new(),
            checked: Vec::new(),
            expired_close_code: 1008,
            renewal_prefix: None,
        }
    }
}

impl fmt::Debug for Jwk {
    /// Without the parts that may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwk")
            .field("kty", &self.kty)
            .field("kid", &self.kid)
            .field("alg", &self.alg)
            .field("crv", &self.crv)
            .finish_non_exhaustive()
    }
}

// === impl SignatureConfig ===

impl Default for SignatureConfig {
    fn default() -> Self {
        Self {
            accept: vec![SignatureForm::Openline],
            keys: Vec::new(),
            signed_headers: Vec::new(),
            window: Period(Duration::from_secs(15 * 60)),
            nonces_max: 1 << 18,
            presigned_time_max: Period(HOUR),
        }
    }
}

// === impl TicketConfig ===

impl Default for TicketConfig {
    fn default() -> Self {
        Self {
            lookup: Lookup::ticket(),
            time: Period(Duration::from_secs(30)),
            tickets_max: 1 << 13,
            claims: ClaimPass::default(),
        }
    }
}

// === impl FirstMessageConfig ===

impl Default for FirstMessageConfig {
    fn default() -> Self {
        Self {
            timeout: Period(Duration::from_secs(10)),
            message_bytes_max: ByteSize(RECEIVED_FREE_BYTES as u64),
            field: None,
            prefix: None,
            subprotocols: Vec::new(),
        }
    }
}
