//! Wire protocols of existing clients and publishers of channels, without I/O.

mod action;
pub mod aws;
mod base64;
pub mod centrifugo;
mod dialect;
mod filter;
pub mod grip;
mod http;
mod json;
pub mod limits;
mod outcome;
pub mod pushflo;
mod query;
mod reply;
pub mod rest;
mod session;
pub mod sse;
mod time;
mod view;

pub use action::{
    Action, Call, Connect, HistoryLimit, HistoryQuery, Publish, RefreshSubscription, Since,
    Subscribe,
};
pub use dialect::{Dialect, Ending};
pub use filter::{
    FILTER_BYTES_MAX, FILTER_DEPTH_MAX, FILTER_NODES_MAX, FILTER_VALUES_MAX, Filter, FilterError,
    Test,
};
pub use http::Answer;
pub use json::{DEPTH_MAX as JSON_DEPTH_MAX, JsonError};
pub use outcome::{Close, HostSubscription, PresenceStats, Recovery, Refusal, Subscribed, Welcome};
pub use reply::Reply;
pub use session::{Busy, Rejection, Session, read_connect};
pub use view::{DataView, MemberView, PositionView, PublicationView, Tags};
