//! The keys of the configuration that are not limits: where each is written,
//! its default, its purpose, and when a change of it takes effect. Together
//! with the rows of [`TABLES`] these are all keys; a test compares both with
//! the keys that a file may have.

pub use super::key_row::Key;
use super::key_row::key;
use super::keys_access::ACCESS;
use super::keys_api::API;
use super::keys_authentication::AUTHENTICATION;
use super::keys_channels::CHANNELS;
use super::{ServerConfig, TABLES};
use crate::limits::Effect::{self, AsBounded, AtOnce, NewConnections, NextEvent, NextStart};

/// The table of the certificates that the host requests itself.
const ACME: &str = "[server.tls.acme]";

/// All these keys, in the order of the file; those of authentication, of API keys
/// and of channels last.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    let others = KEYS.iter().chain(API).chain(AUTHENTICATION).chain(ACCESS);
    others.chain(CHANNELS.into_iter().flatten())
}

const KEYS: &[Key] = &[
    key(
        "[server]",
        "listen",
        "`\"127.0.0.1:8080\"`",
        NextStart,
        "address and port. Loopback, so that a host is exposed only on purpose",
    ),
    key(
        "[server]",
        "public_url",
        "none",
        AtOnce,
        "the address by which peers reach the host, as in `\"https://edge.example.org\"`, with the port and the prefix of a proxy if there are any. Commands, the page and the start show each trigger with it",
    ),
    key(
        "[server]",
        "page",
        "`\"loopback\"`",
        AtOnce,
        "who may open the page: `loopback` (peers on this machine that also address it as such), `everyone`, or `off`",
    ),
    key(
        "[server]",
        "admin",
        "127.0.0.1, at the port of `listen` plus 10,000; a free port if that one is taken",
        NextStart,
        "where the admin interface listens; `\"off\"` turns it off. An address that others can reach needs `admin_token`",
    ),
    key(
        "[server]",
        "probes",
        "none",
        NextStart,
        "address and port of a listener for `/.openline/live` and `/.openline/ready` only. It answers even while the host hangs, as the admin interface does",
    ),
    key(
        "[server]",
        "acme_listen",
        "none",
        NextStart,
        "address and port of a listener that answers challenges of an ACME authority (HTTP-01) and nothing else, without TLS, as in `\"0.0.0.0:80\"`. Authorities ask at port 80 of each host name",
    ),
    key(
        "[server]",
        "admin_token",
        "none",
        AtOnce,
        "the token that requests to the admin interface must bear: at least 16 visible characters",
    ),
    key(
        "[server]",
        "trusted_hops",
        "none",
        NewConnections,
        "addresses and networks of the proxies in front of the host, as in `[\"10.0.0.0/8\"]`. The host believes them when they name their peers, and believes no other peer; at most 256",
    ),
    key(
        "[server]",
        "hop_header",
        "`\"x-forwarded-for\"`",
        NewConnections,
        "the header in which they do: `x-forwarded-for`, `forwarded` (RFC 7239), or `off`. The other one is not read: a proxy that writes one passes on the other as its peer has sent it",
    ),
    key(
        "[server]",
        "proxy_protocol",
        "`\"off\"`",
        NewConnections,
        "whether TCP connections to `listen` begin with a header of the PROXY protocol, version 1 or 2: `off`, `hops` (those of trusted hops do, others do not), or `required` (all do, and others are closed)",
    ),
    key(
        "[server]",
        "data",
        "none",
        NextStart,
        "the data directory: deployed versions, states, durable alarms, API keys. Without one the host forgets all of these when the process ends. One process at a time may use it. Relative to the file",
    ),
    key(
        "[server]",
        "cache",
        "`$XDG_CACHE_HOME/openline`, else `~/.cache/openline`",
        NextStart,
        "compiled components. They are native code that the host runs, so only the host's user may be able to write there. Relative to the file",
    ),
    key(
        "[server]",
        "private_networks",
        "loopback, private and link-local networks",
        NewConnections,
        "the addresses and networks of peers that reach triggers with `internet = false`, as in `[\"10.0.0.0/8\", \"fd00::/8\"]`; at most 256",
    ),
    key(
        "[server]",
        "shared_hosts",
        "none",
        NewConnections,
        "the hosts that functions of several owners share, as in `[\"*.functions.example.org\"]`. Browsers save what a function answers there instead of showing it, so that the pages of one owner cannot act for the others; at most 64",
    ),
    key(
        "[server]",
        "firewall",
        "none",
        NewConnections,
        "the [firewall](firewall.md) that every request has to pass, by the name of a `[[firewall]]` in this file",
    ),
    key(
        "[server.tls]",
        "min_version",
        "`\"1.2\"`",
        NewConnections,
        "the oldest version of TLS that a client may speak: `1.2` or `1.3`",
    ),
    key(
        "[server.tls]",
        "client_certificates",
        "`\"off\"`",
        NewConnections,
        "whether clients of `listen` show a certificate: `off`, `optional` (one that is not valid is refused), or `required`",
    ),
    key(
        "[server.tls]",
        "client_authorities",
        "none",
        NewConnections,
        "the file of the authorities that issue these certificates, in PEM. Relative to the file",
    ),
    key(
        ACME,
        "hosts",
        "–",
        AtOnce,
        "the names for which the host requests certificates, one for each, as in `[\"chat.example.org\"]`; no wildcards. A certificate of a file wins over these",
    ),
    key(
        ACME,
        "terms_agreed",
        "–",
        AtOnce,
        "`true` says that you agree to the terms of the authority, and has to be set",
    ),
    key(
        ACME,
        "contact",
        "none",
        AtOnce,
        "addresses of e-mail to which the authority may write; at most 8",
    ),
    key(
        ACME,
        "challenge",
        "`\"tls-alpn-01\"`",
        AtOnce,
        "how the authority checks that the host serves a name: `tls-alpn-01` (a handshake with `listen`, at port 443 of the name), or `http-01` (a request to `acme_listen`, at port 80)",
    ),
    key(
        ACME,
        "directory",
        "Let's Encrypt: `\"https://acme-v02.api.letsencrypt.org/directory\"`",
        AtOnce,
        "the URL of the authority's directory",
    ),
    key(
        ACME,
        "ca_file",
        "those that browsers trust",
        AtOnce,
        "the file of the authorities that the directory's own certificate is of, in PEM, for a private directory. Relative to the file",
    ),
    key(
        ACME,
        "external_account",
        "none",
        AtOnce,
        "the id of the key of your account with the authority, if it asks for one (external account binding)",
    ),
    key(
        ACME,
        "external_account_key_file",
        "none",
        AtOnce,
        "the file of that key, in base64 as the authority shows it. Relative to the file",
    ),
    key(
        "[[server.certificate]]",
        "certificate",
        "–",
        NewConnections,
        "the file of a certificate and of those of its issuers, in PEM. With one, a listener speaks TLS. The host notices when the file changes. Relative to the file",
    ),
    key(
        "[[server.certificate]]",
        "key",
        "–",
        NewConnections,
        "the file of its private key, in PEM. Relative to the file",
    ),
    key(
        "[[server.certificate]]",
        "default",
        "`false`",
        NewConnections,
        "whether clients get it that name no host, or one that no certificate is for. Without a default, their handshake fails; on `admin` and `probes` they get the first certificate",
    ),
    key(
        "[[server.certificate]]",
        "listeners",
        "`[\"listen\"]`",
        NewConnections,
        "the listeners that speak TLS with it: `listen`, `admin`, `probes`, `api`. A listener that no certificate is for speaks plainly",
    ),
    key(
        "[[function]]",
        "name",
        "–",
        AtOnce,
        "1 to 64 letters, digits, `-`, `_` and `.`, the first a letter or digit; unique. Another name is another function",
    ),
    key(
        "[[function]]",
        "component",
        "none",
        AtOnce,
        "the component's file, relative to this one. If it has changed since the configuration was last read, the host deploys it to `alias`; if not, later deploys stay in force. Without one the function waits for a deploy",
    ),
    key(
        "[[function]]",
        "route",
        "none",
        NewConnections,
        "the short form of a first trigger that only has this route. A function needs it or a `[[function.trigger]]`",
    ),
    key(
        "[[function]]",
        "alias",
        "`\"live\"`",
        NewConnections,
        "the alias that triggers lead to which name none; a new alias leads to `component`",
    ),
    key(
        "[[function]]",
        "migration",
        "`\"migrate\"`",
        AtOnce,
        "what happens to open connections when an alias moves without `--migration`: `migrate`, `pin` or `drain`",
    ),
    key(
        "[[function]]",
        "environment",
        "none",
        NextEvent,
        "the table `[function.environment]`: values that the function reads by `std::env` or `wasi:config`, as in `API_URL = \"https://api.example.org\"`. Names are letters, digits and `_`, at most 128 bytes; at most 256 names, and 64 KiB for all names and values, with secrets. Not for secrets: the admin interface shows values",
    ),
    key(
        "[[function]]",
        "secrets",
        "none",
        NextEvent,
        "the table `[function.secrets]`: places of secrets that it reads in the same way, as in `API_TOKEN = \"env:CHAT_API_TOKEN\"` or `\"file:chat.token\"`, relative to the file. They are read again with the file; nothing shows their values",
    ),
    key(
        "[[function.trigger]]",
        "name",
        "made of the route: `chat-room` for `/chat/{room}`",
        NewConnections,
        "1 to 64 letters, digits, `-`, `_` and `.`, the first a letter or digit; unique within the function. The log names the trigger of a request",
    ),
    key(
        "[[function.trigger]]",
        "hosts",
        "all hosts",
        NewConnections,
        "the hosts that the trigger is on, without ports: names, as in `[\"chat.example.org\"]`, and `\"*.example.org\"` for all below one; at most 64",
    ),
    key(
        "[[function.trigger]]",
        "route",
        "–",
        NewConnections,
        "the paths of the trigger, as in `/chat/{room}` or `/files/{*path}`; no two triggers match the same requests",
    ),
    key(
        "[[function.trigger]]",
        "methods",
        "`[\"GET\"]`",
        NewConnections,
        "the methods that the trigger takes, of GET, POST, PUT, DELETE, HEAD, PATCH, OPTIONS. A WebSocket needs GET",
    ),
    key(
        "[[function.trigger]]",
        "alias",
        "the function's, unless there is a `version`",
        NewConnections,
        "the alias that the trigger leads to",
    ),
    key(
        "[[function.trigger]]",
        "version",
        "none",
        NewConnections,
        "the version that it leads to instead of an alias, by the first characters of its digest",
    ),
    key(
        "[[function.trigger]]",
        "dialect",
        "raw messages",
        NewConnections,
        "what its connections speak: `\"pushflo\"` or `\"centrifugo\"`, for the clients of those systems",
    ),
    key(
        "[[function.trigger]]",
        "internet",
        "`true`",
        NewConnections,
        "`false` refuses peers that are not in `private_networks`",
    ),
    key(
        "[[function.trigger]]",
        "origins",
        "none",
        NewConnections,
        "the origins of web pages that may open connections besides those of the host itself: as in `[\"https://app.example.org\", \"https://*.example.org\"]`, or `[\"*\"]` for all; at most 64",
    ),
    key(
        "[[function.trigger]]",
        "origin_required",
        "`false`",
        NewConnections,
        "`true` refuses requests without `Origin`, which programs other than browsers send",
    ),
    key(
        "[[function.trigger]]",
        "cors",
        "none",
        NewConnections,
        "what web pages of other sites may do by ordinary requests: the table `[function.trigger.cors]`, or `\"function-compute\"`, with which every page may read answers with its visitor's cookies, as there",
    ),
    key(
        "[[function.trigger]]",
        "firewall",
        "none",
        NewConnections,
        "the [firewall](firewall.md) that requests for the trigger have to pass after the host's, by the name of a `[[firewall]]` in this file",
    ),
    key(
        "[function.trigger.cors]",
        "allow_origins",
        "–",
        NewConnections,
        "the origins of these pages, written like `origins`; `[\"*\"]` stands for all, without credentials; at most 64",
    ),
    key(
        "[function.trigger.cors]",
        "allow_methods",
        "those of the trigger",
        NewConnections,
        "the methods that they may use, some of those of the trigger. Browsers ask only about others than GET, HEAD and POST",
    ),
    key(
        "[function.trigger.cors]",
        "allow_headers",
        "none",
        NewConnections,
        "the headers that they may send besides those that every page may, as in `[\"content-type\", \"authorization\"]`; without credentials, `\"*\"` stands for all but `authorization`; at most 64",
    ),
    key(
        "[function.trigger.cors]",
        "expose_headers",
        "none",
        NewConnections,
        "the headers that they may read besides those that every page may, `retry-after` and the host's own; without credentials, `\"*\"` stands for all; at most 64",
    ),
    key(
        "[function.trigger.cors]",
        "allow_credentials",
        "`false`",
        NewConnections,
        "whether they may ask with the cookies and certificates of their visitors. Then no list has `\"*\"`",
    ),
    key(
        "[function.trigger.cors]",
        "max_age",
        "none: 5 s in browsers",
        NewConnections,
        "how long a browser may remember what it may ask, in whole seconds, at most a day",
    ),
    key(
        "[[function.auto_response]]",
        "text",
        "this or `binary_hex`",
        NewConnections,
        "a text message that the host answers itself",
    ),
    key(
        "[[function.auto_response]]",
        "binary_hex",
        "this or `text`",
        NewConnections,
        "a binary message that the host answers itself",
    ),
    key(
        "[[function.auto_response]]",
        "reply",
        "this or `reply_hex`",
        NewConnections,
        "the answer, as text",
    ),
    key(
        "[[function.auto_response]]",
        "reply_hex",
        "this or `reply`",
        NewConnections,
        "the answer, binary",
    ),
    key(
        "[[function.auto_response]]",
        "match",
        "`\"exact\"`",
        NewConnections,
        "`\"exact\"`: the message equals the text or bytes; `\"prefix\"`: it begins with them",
    ),
    key(
        "[function.instance]",
        "affinity",
        "none",
        NewConnections,
        "the part of a request that chooses the instance; connections with the same value share one: a parameter of the route (`\"room\"` or `\"param:room\"`), `\"header:x-room\"`, `\"query:room\"`, `\"cookie:NAME\"`, which the host makes, signs and sets (functions on one host name need names of their own), or `\"claim:NAME\"` of the peer's token, ticket or signature",
    ),
    key(
        "[function.instance]",
        "backoff",
        "`\"wait\"`",
        NextEvent,
        "what happens to events while the host backs off from a function that keeps failing: they wait, or `refuse` closes the connection with 1013; the call of `close` waits in any case",
    ),
    key(
        "[function.outbound]",
        "hosts",
        "none",
        AtOnce,
        "what the function may [call](../guide/outbound.md), as in `[\"api.example.org\", \"*.example.org:8443\", \"10.0.0.0/8\"]`; `\"*\"` stands for every public host. A name may have private addresses only if its entry is a table that says so: `{ host = \"*.internal:8443\", private = true }`. At most 256",
    ),
    key(
        "[function.outbound]",
        "roots",
        "none",
        AtOnce,
        "files of authorities, in PEM, whose certificates the function's calls take besides those of the system's authorities. Read again with the configuration. Relative to the file; at most 16",
    ),
    key(
        "[function.limit]",
        "compression",
        "`\"off\"`",
        NewConnections,
        "whether messages are compressed for peers that offer it: `off`; `shared`, each message by itself, without memory for a connection; `dedicated`, messages to a peer refer to earlier ones, with memory of `compression_bytes`",
    ),
    key(
        "[function.limit]",
        "outbox_overflow",
        "`\"close\"`",
        NewConnections,
        "what happens when the outbox is full: `close` with 1013, `drop-newest` or `drop-oldest`; a publication that its subscriber can recover is never dropped, and closes",
    ),
    key(
        "[function.limit]",
        "rate_exceeded",
        "`\"pause\"`",
        NewConnections,
        "what happens past a rate: reading pauses, or `close` ends the connection with 1008",
    ),
    key(
        "[function.limit]",
        "time_up",
        "`\"close\"`",
        NewConnections,
        "how a connection ends after `connection_time`: `close` with 1001, or `abort` without a close frame, as Function Compute does",
    ),
    key(
        "[function.limit]",
        "time_warning_message",
        "`{\"type\":\"openline.time-warning\"}`",
        NewConnections,
        "the text that the host sends to the peer `time_warning` before the end of `connection_time`",
    ),
    key(
        "[maximum.limit]",
        "those of `[function.limit]`",
        "none",
        AsBounded,
        "upper bounds for every function; a default above one comes down to it",
    ),
    key(
        "[maximum.instance]",
        "those of `[function.instance]`",
        "none",
        AsBounded,
        "the same for instances",
    ),
];

/// When a change of a key takes effect; `None` when there is no such key.
pub fn effect_of(table: &str, name: &str) -> Option<Effect> {
    let rows = TABLES.iter().filter(|(each, _)| *each == table);
    let limits = rows.flat_map(|(_, rows)| *rows);
    let limits = limits.map(|row| (row.name, row.effect));
    let others = keys().filter(|key| key.table == table);
    let others = others.map(|key| (key.name, key.effect));
    let mut all = limits.chain(others);
    all.find(|(each, _)| *each == name)
        .map(|(_, effect)| effect)
}

impl ServerConfig {
    /// The configuration in force in a host that started with `started` and has
    /// read `self` since: keys that wait for the next start keep their old
    /// value. Also returns the names of the changed keys that wait.
    pub fn in_force(mut self, started: &Self) -> (Self, Vec<&'static str>) {
        let waits = |name: &str| effect_of("[server]", name) == Some(NextStart);
        let mut waiting = self.take(started, waits);
        // The one key of its table that waits.
        if self.api.listen != started.api.listen {
            self.api.listen = started.api.listen;
            waiting.push("api.listen");
        }
        (self, waiting)
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
