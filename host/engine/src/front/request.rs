//! One request of HTTP: finds or makes an instance that answers it.
//!
//! It has a seat of an instance until its answer is written. Without affinity that
//! is an instance which has no connections; with it, the one that has the state of
//! the request's value. The events of connections wait there for a plain call, so it
//! has `handler_timeout` for all of its answer, and its peer as much for the rest.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use openline_core::affinity::Affinity;
use openline_core::deployment::Migration;
use openline_core::event::NoValue;
use openline_core::limits::AFFINITY_BYTES_MAX;

use super::accepted::Unseated;
use super::alias::{Alias, UPGRADE_TRIES_MAX};
use super::split::{Split, point_of};
use crate::contract::handlers::CallStyle;
use crate::instance::exchange::progress::{Displaced, NO_END, Times};
use crate::instance::exchange::{Exchange, Request, RequestBody, ResponseBody};
use crate::instance::live::CHANNELS_KEY;
use crate::pool::version::UpgradeError;
use crate::sync::{self, Ordering};

/// The value of a request that chooses an instance.
pub type ValueOf<'a> = &'a (dyn Fn(&Affinity) -> Result<String, NoValue> + Send + Sync);

/// A request that a function is to answer. Its target has scheme and host.
#[derive(Debug)]
pub struct Asked {
    /// The request, with the headers that the function gets.
    pub request: http::Request<RequestBody>,
    /// Whether the peer reaches the host by HTTPS.
    pub is_https: bool,
    /// How long its body ends at the latest after the last piece; none if there is no
    /// bound.
    pub silence: Option<Duration>,
}

/// What a function needs of a request's body before its call begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Nothing: its instances do other things meanwhile.
    Nothing,
    /// Its first piece: the call takes an instance for itself.
    Piece,
    /// All of it, if it is not too large: the events of connections wait for the call.
    Whole,
}

/// A function's answer to a request.
#[derive(Debug)]
pub struct Answered {
    /// The answer, whose body may still come.
    pub response: Response<ResponseBody>,
    /// Where the request was served: a connection that the answer becomes belongs
    /// there.
    pub served: Unseated,
    /// The split with which that was decided.
    pub split: Arc<Split>,
}

impl Alias {
    /// Whether it leads to a version that answers requests.
    pub fn takes_requests(&self) -> bool {
        let split = self.split();
        let mut versions = split.shares.iter();
        versions.any(|(version, _)| version.takes_requests())
    }

    /// Whether it leads to a version that takes connections.
    pub fn takes_connections(&self) -> bool {
        let split = self.split();
        let mut versions = split.shares.iter();
        versions.any(|(version, _)| version.takes_connections())
    }

    /// Has the function answer a request, and says where. The answer is not checked
    /// here; its body may still come.
    ///
    /// The request waits at most `upgrade_timeout` for its call to begin. The head of
    /// the answer comes within `handler_timeout` of that, not counted the time in
    /// which the function waits for the request's body; whoever drops the body of
    /// the answer ends the call.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn request(
        &self,
        asked: Asked,
        value_of: ValueOf<'_>,
    ) -> Result<Answered, UpgradeError> {
        let split = self.split();
        let (timeout, limits) = (split.limits.upgrade_timeout, &split.limits);
        let stream_time = match limits.stream_time {
            Duration::ZERO => NO_END,
            time => time,
        };
        let exchange = Exchange::new(Times {
            handler_timeout: limits.handler_timeout,
            stream_time,
            silence: asked.silence,
        });
        let request = Box::new(Request {
            request: asked.request,
            is_https: asked.is_https,
            exchange: Arc::clone(&exchange),
        });
        let asking = async {
            let mut asking = std::pin::pin!(self.ask(request, value_of));
            if let Ok(answered) = sync::timeout(timeout, asking.as_mut()).await {
                return answered;
            }
            match exchange.has_begun() {
                // The driver bounds it from here on.
                true => asking.await,
                false => Err(UpgradeError::Full),
            }
        };
        tokio::select! {
            // Its function has seen an error, and may have answered anything.
            biased;
            why = exchange.displaced() => Err(match why {
                Displaced::Slow => UpgradeError::Slow,
                Displaced::Ends => UpgradeError::Full,
            }),
            answered = asking => answered,
        }
    }

    /// What of a request's body is to be there before it asks for an answer.
    pub fn beginning(&self) -> Beginning {
        let split = self.split();
        let mut versions = split.shares.iter();
        match versions.any(|(version, _)| version.http_style() == Some(CallStyle::Plain)) {
            false => Beginning::Nothing,
            true if split.affinity.is_some() => Beginning::Whole,
            true => Beginning::Piece,
        }
    }

    async fn ask(
        &self,
        mut request: Box<Request>,
        value_of: ValueOf<'_>,
    ) -> Result<Answered, UpgradeError> {
        // Steps of 61 visit each of the hundred points once.
        let own_point = self.inspections.fetch_add(61, Ordering::Relaxed) % 100;
        for tried in 0..UPGRADE_TRIES_MAX {
            let (generation, split) = self.led_now();
            let key = match &split.affinity {
                Some(affinity) => {
                    let key = value_of(affinity).map_err(|NoValue| UpgradeError::NoAffinity)?;
                    if key.len() > AFFINITY_BYTES_MAX || key == CHANNELS_KEY {
                        return Err(UpgradeError::Affinity);
                    }
                    Some(key)
                }
                None => None,
            };
            let point = key.as_deref().map_or(own_point, point_of);
            let version = split.pick(point).ok_or(UpgradeError::NotDeployed)?;
            // Counted meanwhile, so that the version is not removed unasked.
            let counted = version.count();
            let follows = split.migration == Migration::Pin;
            let answer = version.request(request, key.as_deref(), follows, tried > 0);
            match answer.await? {
                Ok(response) => {
                    let served = Unseated {
                        counted,
                        generation,
                        point,
                        key: key.map(String::into_boxed_str),
                    };
                    return Ok(Answered {
                        response,
                        served,
                        split,
                    });
                }
                Err(again) => request = again,
            }
        }
        Err(UpgradeError::Full)
    }
}
