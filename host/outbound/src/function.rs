//! One function's calls: from a request to its answer.
//!
//! The order of the checks: the URL, the configuration, the headers, a place. Only
//! then is a name looked up, so that a call which is refused tells nobody of it.
//!
//! Bounded by the rows `outbound_…` of `[function.limit]`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body as _;
use openline_core::name::FunctionName;
use openline_core::outbound::Destination;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::answer::{Answer, AnswerBody, Lease, Open};
use crate::counters::{Counters, Counts};
use crate::error::{OutboundError, Phase};
use crate::hops::{HopName, Hops};
use crate::outgoing::{CallBody, OutgoingBody, Progress};
use crate::pipe::Pipe;
use crate::prepare;
use crate::resolve::LookupPart;
use crate::shared::Shared;
use crate::stream::OutboundStream;
use crate::terms::{InForce, Terms};

/// How often a call is tried on a connection that has waited. Each that has ended
/// meanwhile is found by a try.
const TRIES_MAX: u32 = 3;

/// How often the log tells of a function's calls that the configuration refuses.
const TELL_TIME: Duration = Duration::from_secs(1);

/// The calls of one function.
#[derive(Debug)]
pub struct FunctionOutbound {
    name: FunctionName,
    shared: Arc<Shared>,
    in_force: Mutex<Arc<InForce>>,
    part: LookupPart,
    in_flight: Arc<AtomicU32>,
    counters: Arc<Counters>,
    answers: Mutex<HashMap<u64, Weak<Answer>>>,
    next_answer: AtomicU64,
    told: Mutex<Option<Instant>>,
}

/// What a function says about a call beside its request. Times can only be
/// shorter than those of the configuration.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// How long to try to reach the host.
    pub connect_timeout: Option<Duration>,
    /// How long to wait for the head of the answer.
    pub head_timeout: Option<Duration>,
    /// How long the host may be silent in the middle of its answer.
    pub silence_timeout: Option<Duration>,
    /// The way of the request that the function handles.
    pub hops: Hops,
}

/// A task that ends with whoever waits for it.
struct Scoped<T>(JoinHandle<T>);

impl<T> Drop for Scoped<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl FunctionOutbound {
    pub(crate) fn new(name: FunctionName, shared: Arc<Shared>, terms: Terms) -> Self {
        Self {
            name,
            part: shared.dialer.lookups.part(),
            shared,
            in_force: Mutex::new(Arc::new(InForce::new(terms))),
            in_flight: Arc::default(),
            counters: Arc::default(),
            answers: Mutex::default(),
            next_answer: AtomicU64::new(0),
            told: Mutex::new(None),
        }
    }

    /// Puts other terms in force, for calls from now on. Connections that wait are
    /// closed; calls in flight go on.
    pub fn replace(&self, terms: Terms) {
        let in_force = Arc::new(InForce::new(terms));
        let before = std::mem::replace(&mut *self.in_force.lock(), in_force);
        drop(before);
    }

    /// Whether the function may call anybody.
    pub fn is_on(&self) -> bool {
        !self.in_force().rules.is_empty()
    }

    /// What its calls have cost.
    pub fn counts(&self) -> Counts {
        self.counters.read(self.in_flight.load(Ordering::Relaxed))
    }

    /// The host's name in [`Hops`].
    pub fn hop_name(&self) -> &HopName {
        &self.shared.hop_name
    }

    /// Makes a call. Redirects are answers like others: the function sees them, and
    /// what it calls then is checked like everything that it calls. If the future or
    /// the answer is dropped, the call is over.
    ///
    /// # Errors
    ///
    /// Those of [`OutboundError`].
    pub fn call(
        self: &Arc<Self>,
        request: Request<CallBody>,
        options: CallOptions,
    ) -> impl Future<Output = Result<Response<AnswerBody>, OutboundError>> + Send + use<> {
        let this = Arc::clone(self);
        async move {
            this.counters.called();
            let answer = this.answer(request, options).await;
            if let Err(error) = &answer {
                this.counters.failed(error);
                this.tell(error);
            }
            answer
        }
    }

    /// Makes a stream to a destination, for other protocols than ordinary HTTP. It
    /// passes the same checks as a call, and does not count as one.
    ///
    /// # Errors
    ///
    /// Those of [`OutboundError`] that concern the way to the host.
    pub fn connect(
        self: &Arc<Self>,
        to: Destination,
        timeout: Option<Duration>,
    ) -> impl Future<Output = Result<OutboundStream, OutboundError>> + Send + use<> {
        let this = Arc::clone(self);
        async move {
            let in_force = this.in_force();
            let until = until(in_force.limits.connect_timeout, timeout);
            let stream = async {
                this.may_call(&in_force, &to)?;
                let reach = reach(Arc::clone(&this), in_force, to, until, false);
                this.scoped(reach).await
            };
            let stream = stream.await;
            if let Err(error) = &stream {
                this.counters.failed(error);
                this.tell(error);
            }
            stream
        }
    }

    fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.lock())
    }

    fn may_call(&self, in_force: &InForce, to: &Destination) -> Result<(), OutboundError> {
        match in_force.rules.grant(to) {
            Some(_) => Ok(()),
            None => Err(OutboundError::Denied(to.to_string())),
        }
    }

    /// Tells the operator about calls that the configuration refuses.
    fn tell(&self, error: &OutboundError) {
        let Some(hint) = error.hint() else { return };
        let mut told = self.told.lock();
        let now = Instant::now();
        if told.is_none_or(|told| now - told >= TELL_TIME) {
            *told = Some(now);
            drop(told);
            tracing::info!(function = %self.name, %error, hint, "a call has failed");
        }
    }

    async fn answer(
        self: &Arc<Self>,
        mut request: Request<CallBody>,
        options: CallOptions,
    ) -> Result<Response<AnswerBody>, OutboundError> {
        let in_force = self.in_force();
        let limits = in_force.limits;
        let to = prepare::destination(request.uri())?;
        self.may_call(&in_force, &to)?;
        let hops = options.hops.next(&self.shared.hop_name)?;
        prepare::prepare(&mut request, hops, limits.header_bytes)?;
        if request.body().size_hint().lower() > limits.request_bytes {
            return Err(OutboundError::RequestBodyBytes(limits.request_bytes));
        }
        let place = self.shared.places.take(&self.in_flight, limits.calls)?;
        let time = (!limits.time.is_zero()).then_some(limits.time);
        let end = time.and_then(|time| Instant::now().checked_add(time));
        let progress = Progress::new();
        let mut lease = Lease {
            pipe: None,
            to,
            in_force,
            progress: Arc::clone(&progress),
            runtime: self.shared.runtime.clone(),
            _place: place,
        };
        let method = request.method().clone();
        let request = request.map(|body| {
            let counters = Arc::clone(&self.counters);
            OutgoingBody::new(body, limits.request_bytes, progress, counters)
        });
        let head = shorter(limits.head_timeout, options.head_timeout);
        let connect = options.connect_timeout;
        let sending = self.send(request, &mut lease, connect, head);
        let answer = match end {
            Some(end) => timeout_at(end, sending)
                .await
                .map_err(|_| OutboundError::TimeUp)?,
            None => sending.await,
        };
        let (mut head, incoming) = answer?.into_parts();
        prepare::check(head.status, &mut head.headers, limits.header_bytes)?;
        if prepare::is_too_long(&head.headers, &method, limits.response_bytes) {
            return Err(OutboundError::ResponseBodyBytes(limits.response_bytes));
        }
        let silence = shorter(limits.silence_timeout, options.silence_timeout);
        let open = Open::new(incoming, lease, silence, end);
        Ok(Response::from_parts(head, self.keep(open)))
    }

    /// Sends a request, on a connection that waits or a new one.
    async fn send(
        self: &Arc<Self>,
        mut request: Request<OutgoingBody>,
        lease: &mut Lease,
        connect: Option<Duration>,
        head: Duration,
    ) -> Result<Response<hyper::body::Incoming>, OutboundError> {
        for tries in 1.. {
            let waiting = lease.in_force.pool.take(&lease.to);
            let waiting = waiting.filter(|_| tries < TRIES_MAX);
            let has_waited = waiting.is_some();
            let pipe = match waiting {
                Some(pipe) => pipe,
                None => self.open(lease, connect).await?,
            };
            let pipe = lease.pipe.insert(pipe);
            prepare::address(&mut request, &lease.to, pipe.is_http2())?;
            let sent = pipe.send(request);
            let answered = in_time(sent, &lease.progress, head).await?;
            let mut error = match answered {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match error.take_message() {
                Some(again) if has_waited => request = again,
                _ => {
                    let failure = lease.progress.failure();
                    let of_http = || OutboundError::of_http(&error.into_error(), Phase::Head);
                    return Err(failure.unwrap_or_else(of_http));
                }
            }
        }
        Err(OutboundError::Terminated)
    }

    /// Makes a new connection for calls.
    async fn open(
        self: &Arc<Self>,
        lease: &Lease,
        connect: Option<Duration>,
    ) -> Result<Pipe, OutboundError> {
        let in_force = Arc::clone(&lease.in_force);
        let to = lease.to.clone();
        let until = until(in_force.limits.connect_timeout, connect);
        let header_bytes = in_force.limits.header_bytes;
        let this = Arc::clone(self);
        let opening = async move {
            let runtime = this.shared.runtime.clone();
            let stream = reach(this, in_force, to, until, true).await?;
            let opened = timeout_at(until, Pipe::open(stream, header_bytes, &runtime)).await;
            opened.map_err(|_| OutboundError::ConnectTimeout)?
        };
        let pipe = self.scoped(opening).await?;
        if let Pipe::Two(two) = &pipe {
            lease.in_force.pool.share(&lease.to, two.shared());
        }
        Ok(pipe)
    }

    /// Runs a future on the host's runtime, whose sockets outlive those of others.
    async fn scoped<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T, OutboundError>> + Send + 'static,
    ) -> Result<T, OutboundError> {
        let mut task = Scoped(self.shared.runtime.spawn(future));
        // The host ends, or the task has panicked.
        (&mut task.0)
            .await
            .unwrap_or(Err(OutboundError::Terminated))
    }

    /// Keeps an answer in mind until it has ended.
    fn keep(&self, open: Open) -> AnswerBody {
        let number = self.next_answer.fetch_add(1, Ordering::Relaxed);
        let answer = Arc::new(Answer::new(open, Arc::clone(&self.counters)));
        let weak = Arc::downgrade(&answer);
        self.answers.lock().insert(number, weak);
        AnswerBody::new(answer)
    }

    /// Ends what is overdue: answers that nobody reads, connections that wait.
    pub(crate) fn sweep(&self) {
        let mut found = Vec::new();
        self.answers.lock().retain(|_, answer| {
            let answer = answer.upgrade().filter(|it| !it.is_over());
            let keep = answer.is_some();
            found.extend(answer);
            keep
        });
        for answer in found {
            answer.sweep();
        }
        self.in_force().pool.sweep();
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> (usize, usize) {
        self.in_force().pool.counts()
    }
}

/// Makes a stream to a destination that the terms allow.
async fn reach(
    function: Arc<FunctionOutbound>,
    in_force: Arc<InForce>,
    to: Destination,
    until: Instant,
    http2: bool,
) -> Result<OutboundStream, OutboundError> {
    let denied = || OutboundError::Denied(to.to_string());
    let grant = in_force.rules.grant(&to).ok_or_else(denied)?;
    let dialer = &function.shared.dialer;
    let stream = dialer.dial(&function.part, &to, grant, until).await?;
    function.counters.connected();
    if to.scheme == openline_core::outbound::Scheme::Http {
        return Ok(OutboundStream::Plain(stream));
    }
    let tls = in_force.tls.as_ref().ok_or_else(denied)?;
    let shaken = timeout_at(until, tls.shake_hands(stream, &to.host, http2)).await;
    let stream = shaken.map_err(|_| OutboundError::ConnectTimeout)??;
    Ok(OutboundStream::Tls(Box::new(stream)))
}

/// Waits for the head of an answer. The time runs while the other host has all
/// that the function has given.
async fn in_time<T>(
    sent: impl Future<Output = T>,
    progress: &Progress,
    timeout: Duration,
) -> Result<T, OutboundError> {
    let mut sent = std::pin::pin!(sent);
    loop {
        let due = progress.due(timeout);
        let later = Instant::now().checked_add(timeout);
        let wait = async {
            match due.or(later) {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = &mut sent => return Ok(answer),
            () = wait => {
                if progress.due(timeout).is_some_and(|due| due <= Instant::now()) {
                    return Err(OutboundError::HeadTimeout);
                }
            }
        }
    }
}

/// The shorter of the configured time and the function's.
fn shorter(configured: Duration, wanted: Option<Duration>) -> Duration {
    wanted.map_or(configured, |wanted| wanted.min(configured))
}

/// When the shorter of the two times is over.
fn until(configured: Duration, wanted: Option<Duration>) -> Instant {
    // A configured time is a day at most.
    Instant::now() + shorter(configured, wanted)
}

#[cfg(test)]
impl FunctionOutbound {
    /// How many connections of HTTP/1.1 wait.
    pub(crate) fn sweep_and_count(&self) -> usize {
        self.sweep();
        self.waiting().0
    }
}
