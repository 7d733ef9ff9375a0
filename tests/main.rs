//! The integration tests: one binary, a file a behaviour.
//!
//! Real guests, real sockets, the real server; nothing sleeps to wait for
//! something. `harness` makes tests read like sentences.
#![expect(unreachable_pub, reason = "a test binary has no outside")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "the harness too: a test that cannot go on should say so and fail"
)]

mod harness;

mod abuse;
mod acme;
mod addresses;
mod admin;
mod admin_tls;
mod alarms;
mod api;
mod attached;
mod authentication;
mod backoff;
mod channel_handlers;
mod channel_subscriptions;
mod channels;
mod channels_attacked;
mod channels_cli;
mod channels_durable;
mod channels_kept;
mod cli;
mod closing;
mod compile_cache;
mod compiling;
mod components;
mod compression;
mod config;
mod connections;
mod contract_layout;
mod cross_origin;
mod deciding;
mod deploying_cli;
mod deploys;
mod dev;
mod dialects;
mod documents;
mod draining;
mod durable;
mod echo;
mod environment;
mod faults;
mod firewall;
mod firewall_claims;
mod firewall_files;
mod firewall_functions;
mod first_message;
mod grpc;
mod guide;
mod handshake;
mod hibernation;
mod hints;
mod hops;
mod http;
mod http2;
mod http2_places;
mod identity;
mod import_fc;
mod instances;
mod invariants;
mod js_client;
mod key_sets;
mod keys;
mod layers;
mod lifetimes;
mod limits_engine;
mod limits_gateway;
mod mutants;
mod output;
mod page;
mod page_admin;
mod page_channels;
mod pressure;
mod protocol;
mod proxies;
mod received;
mod reconnecting;
mod reload;
mod renewals;
mod resources;
mod samples;
mod soaking;
mod socket_io;
mod starting;
mod taking_effect;
mod tidy;
mod time_limits;
mod tls;
mod tls_clients;
mod tls_facts;
mod tls_handshakes;
mod trigger_authentication;
mod used_once;
mod watchdog;
mod woken_attacked;
