//! The keys of a trigger's authentication; see [`keys`](super::keys).

use super::key_row::{self, Key};
use crate::limits::Effect::NewConnections;

/// A key, whose change concerns new connections.
const fn key(
    table: &'static str,
    name: &'static str,
    default: &'static str,
    about: &'static str,
) -> Key {
    key_row::key(table, name, default, NewConnections, about)
}

/// The table of keys for tokens.
const JWT: &str = "[function.trigger.jwt]";
/// The table of signatures.
const SIGNATURE: &str = "[function.trigger.signature]";
/// The table of one caller's key.
const CALLER: &str = "[[function.trigger.signature.keys]]";
/// The table of tickets.
const TICKET: &str = "[function.trigger.ticket]";

/// The table of tokens that come in the first message.
const FIRST_MESSAGE: &str = "[function.trigger.first_message]";

/// All these keys, in the order of the file.
pub(super) const AUTHENTICATION: &[Key] = &[
    key(
        "[[function.trigger]]",
        "auth",
        "none, with a warning where others reach the host",
        "how the trigger authenticates requests: `jwt`, `first-message`, `signature`, `ticket`, or `none`, which says that the function checks peers itself or takes all. Each method but `none` has a table of its own below",
    ),
    key(
        JWT,
        "keys",
        "none",
        "the public keys (JSON Web Keys) of those who sign tokens, at most 64. Exactly one of `keys`, `keys_file`, `jwks_url` and `secret` is given",
    ),
    key(
        JWT,
        "keys_file",
        "none",
        "a file with a JSON Web Key Set. Keys with the same `kid` differ in `kty` or `alg`. Relative to the file",
    ),
    key(
        JWT,
        "jwks_url",
        "none",
        "the address of a JSON Web Key Set, `https`, or `http` on this machine. The host fetches it in the background. A set in which two different keys have the same `kid`, `kty` and `alg` is refused as a whole, and the keys before it stay",
    ),
    key(
        JWT,
        "jwks_refresh",
        "10 min",
        "how often it is fetched, 30 s to 24 h. A token that no key verifies hastens the next fetch, at most every 30 s",
    ),
    key(
        JWT,
        "jwks_stale",
        "1 d",
        "how long the keys stay in force while it cannot be fetched, `jwks_refresh` to 30 d; then tokens are refused with 503",
    ),
    key(
        JWT,
        "secret",
        "none",
        "the place of a secret that the issuer shares: `\"env:NAME\"` or `\"file:PATH\"`, relative to the file",
    ),
    key(
        JWT,
        "previous_secret",
        "none",
        "the place of the secret before it",
    ),
    key(
        JWT,
        "valid_until",
        "none",
        "the last moment at which `previous_secret` is good, as in `\"2027-01-31T00:00:00Z\"`",
    ),
    key(
        JWT,
        "algorithms",
        "all that fit the keys; HS256 with `secret`",
        "the algorithms that are good, of HS256, RS256, PS256, ES256, each also with 384 and 512, and EdDSA",
    ),
    key(
        JWT,
        "issuer",
        "any",
        "the issuers that are good (`iss`): one or a list, at most 32",
    ),
    key(
        JWT,
        "audience",
        "any",
        "the audiences of which a token must have one (`aud`): one or a list, at most 32. The host warns of a `jwks_url` without them",
    ),
    key(
        JWT,
        "leeway",
        "30 s",
        "how much the clocks of issuer and host may differ, at most 5 min",
    ),
    key(
        JWT,
        "required",
        "`[\"exp\"]`",
        "the claims that a token must have, at most 32",
    ),
    key(
        JWT,
        "token_type",
        "any",
        "what `typ` must be, as in `\"at+jwt\"`",
    ),
    key(
        JWT,
        "lookup",
        "`\"header:Authorization:Bearer \"`",
        "where the token is, in Function Compute's syntax: `header:NAME:PREFIX`, `cookie:NAME`, `query:NAME`, with commas between them, the first that is there; and `subprotocol:PREFIX` for browsers: the function sees no entry with that prefix",
    ),
    key(
        JWT,
        "claims",
        "none",
        "the claims that are passed on to the function with the request, in Function Compute's syntax: `header:CLAIM:NAME`, `query:…`, `cookie:…`, with commas between them. Whatever the peer sent under these names, or under names that programs take for them, as `x_user` for `x-user`, is removed, on `unchecked` paths as well. `query::` passes all claims under their own names, and removes the peer's whole query",
    ),
    key(
        JWT,
        "unchecked",
        "none",
        "the paths that are not checked, as in `[\"/public/*\"]`, at most 64. Not with `checked`",
    ),
    key(
        JWT,
        "checked",
        "all",
        "the only paths that are checked, at most 64. Not with `unchecked`",
    ),
    key(
        JWT,
        "expired_close_code",
        "1008",
        "the code with which a connection is closed when its token expires: 1008, or one of 3000 to 4999",
    ),
    key(
        JWT,
        "renewal_prefix",
        "none",
        "a text message that begins so has a new token for its connection behind it. It does not reach the function",
    ),
    key(
        SIGNATURE,
        "accept",
        "`[\"openline\"]`",
        "the forms of signatures that are taken: `openline`, `fc` (Function Compute 2.0), `acs3` (Alibaba Cloud)",
    ),
    key(
        SIGNATURE,
        "signed_headers",
        "none",
        "the headers that must be signed besides `host`, the date and the nonce, at most 32. Pre-signed URLs sign no headers and are refused then; not with `fc`",
    ),
    key(
        SIGNATURE,
        "window",
        "15 min",
        "how much the date of a signature may differ from now, either way, 1 s to 1 h",
    ),
    key(
        SIGNATURE,
        "nonces_max",
        "262144",
        "how many nonces the host remembers for the function, each for up to twice `window`, at most 16777216 of about 90 bytes; while there are as many, requests are refused. Of several triggers of a function the widest `window` and the largest `nonces_max` count",
    ),
    key(
        SIGNATURE,
        "presigned_time_max",
        "1 h",
        "how long a pre-signed URL may be valid, 1 s to 7 d",
    ),
    key(
        CALLER,
        "id",
        "–",
        "the public name of a caller's key: 1 to 128 visible characters without `,`, `:`, `=` and `/`. At most 256 keys",
    ),
    key(
        CALLER,
        "secret",
        "–",
        "the place of its secret of at least 16 bytes: `\"env:NAME\"` or `\"file:PATH\"`, relative to the file",
    ),
    key(
        CALLER,
        "not_after",
        "none",
        "the last moment at which the key is good; then its connections are closed",
    ),
    key(
        CALLER,
        "security_token",
        "none",
        "the place of the token of a temporary key, which every request must carry",
    ),
    key(
        CALLER,
        "subject",
        "the `id`",
        "the subject of its requests: the claim `sub`",
    ),
    key(
        TICKET,
        "lookup",
        "`\"query:ticket,subprotocol:ticket.\"`",
        "where the ticket is, written like `lookup` of `[function.trigger.jwt]`",
    ),
    key(
        TICKET,
        "time",
        "30 s",
        "how long a ticket is good unless its maker says less, 1 s to 10 min",
    ),
    key(
        TICKET,
        "tickets_max",
        "8192",
        "how many tickets may wait to be used, at most 1048576, each with up to 8 KiB of claims",
    ),
    key(
        TICKET,
        "claims",
        "none",
        "the claims that are passed on to the function with the request, written like `claims` of `[function.trigger.jwt]`",
    ),
    key(
        FIRST_MESSAGE,
        "timeout",
        "10 s",
        "how long a connection waits for its token, 100 ms to 1 h; then it is closed with 1008 and `token_missing`",
    ),
    key(
        FIRST_MESSAGE,
        "message_bytes_max",
        "16 KiB",
        "how large the first message may be, 1 KiB to 16 KiB; a larger one closes the connection with 1009",
    ),
    key(
        FIRST_MESSAGE,
        "field",
        "none: the text is the token",
        "where the token is in a first message that is a JSON object: a key, or keys with dots between them, as in `\"payload.token\"`",
    ),
    key(
        FIRST_MESSAGE,
        "prefix",
        "none",
        "the text before the token, as in `\"Bearer \"`; a message without it has no token",
    ),
    key(
        FIRST_MESSAGE,
        "subprotocols",
        "none",
        "the subprotocols that the host agrees to before the function is asked, the preferred one first, at most 32. The function sees the one that was agreed on, and can choose no other",
    ),
];
