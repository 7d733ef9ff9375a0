//! The driver of an instance with an asynchronous handler: one long run of
//! wasmtime's event loop with many calls in flight.
//!
//! Bounded by the instance's seats: each has at most one call. Who wakes whom
//! is what this costs: a call that completes does so inside of the driver's
//! own poll, so its waker only notes it and wakes nobody; measured, waking the
//! driver's task for it cost two fifths of the whole.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake as TaskWake, Waker};

use openline_core::event::Event;
use openline_core::fault::Fault;
use openline_core::message::Message;
use openline_core::name::AlarmName;
use parking_lot::Mutex;
use tokio::time::Instant as Moment;
use wasmtime::component::{Accessor, Resource};
use wasmtime::{AsContextMut, Store};

use crate::component::loaded::{AsyncExports, Decision, Failure};
use crate::contract::bindings::MessageOwned;
use crate::instance::calls::{close_arguments, enforce, hibernate, request};
use crate::instance::live::{Asker, End, Idleness, Instance, Wake};
use crate::instance::mailbox::Job;
use crate::instance::store::{self, Handle, Run, StoreData};
use crate::instance::turns::Gate;
use crate::instance::watch::{Progress, Watch};
use crate::pool::seating::Pool;

pub(crate) async fn drive(pool: &Arc<Pool>, instance: &Arc<Instance>) -> End {
    let loaded = &pool.loaded;
    let start = async {
        let scope = instance.key.clone().unwrap_or_default();
        let (mut store, run) = store::new(loaded, &pool.shared, Some(scope))?;
        let made = enforce(&run, &pool.shared, loaded.instantiate(&mut store)).await?;
        let exports: AsyncExports = loaded.exports(&mut store, &made)?;
        Ok::<_, Failure>((store, run, exports))
    };
    let (mut store, run, exports) = match start.await {
        Ok(started) => started,
        Err(failure) => {
            return End::Failed(
                Failure {
                    fault: Fault::Start,
                    ..failure
                },
                Vec::new(),
            );
        }
    };
    let flight = Arc::new(Flight::new(Arc::clone(instance)));
    let ended = loop {
        let ended = serve(pool, instance, &flight, &exports, &mut store, &run).await;
        if !matches!(ended, Ok(Stop::Idle)) {
            break ended;
        }
        let done = match exports.hibernate {
            Some(export) => hibernate(pool, &run, export.call_async(&mut store, ())).await,
            None => true,
        };
        if !done || instance.is_ending() || instance.mailbox.is_empty() {
            break ended;
        }
    };
    drop(store);
    let failure = match ended {
        Ok(Stop::Idle) => return End::Idle,
        Ok(Stop::TimedOut) => Failure {
            fault: Fault::HandlerTimeout,
            cause: None,
        },
        Ok(Stop::Refused(error)) | Err(error) => Failure::from(error),
    };
    End::Failed(failure, flight.take_askers())
}

/// Handles jobs until nothing happens any more, or something goes wrong.
async fn serve(
    pool: &Arc<Pool>,
    instance: &Arc<Instance>,
    flight: &Arc<Flight>,
    exports: &AsyncExports,
    store: &mut Store<StoreData>,
    run: &Run,
) -> wasmtime::Result<Stop> {
    let looping = store.run_concurrent(async |accessor| {
        let mut calls = Calls::new(pool, instance, flight, exports, run, accessor);
        std::future::poll_fn(|cx| calls.poll(cx)).await
    });
    let mut looping = pin!(looping);
    let mut gate = Gate::default();
    let mut watch = Watch::new(pool.shared.limits.handler_timeout);
    run.clock.start_over(0);
    let turning = std::future::poll_fn(|cx| {
        if let Poll::Ready(permit) = gate.poll(cx, &run.clock, &pool.shared.long_runs) {
            run.clock.enter();
            flight.polling.store(true, Ordering::Release);
            let polled = looping.as_mut().poll(cx);
            flight.polling.store(false, Ordering::Release);
            run.wakeups.lock().flush();
            drop(permit);
            if polled.is_ready() {
                return polled;
            }
            run.clock.pause();
            // A call that was noted after the driver had looked for the last
            // time is looked at in the next poll. Not if the event loop is
            // held: it looks when it goes on, and polling it would spin.
            if !flight.completed.lock().is_empty() && flight.progress.came_round() {
                cx.waker().wake_by_ref();
            }
        }
        watch
            .poll(cx, &flight.progress)
            .map(|()| Ok(Stop::TimedOut))
    });
    // For the reason said in `enforce`.
    tokio::task::unconstrained(turning).await
}

/// Why the event loop was left.
enum Stop {
    Idle,
    TimedOut,
    Refused(wasmtime::Error),
}

/// What outlives the event loop: who waits for which call, and which calls
/// have completed.
#[derive(Debug)]
struct Flight {
    askers: Mutex<Vec<Option<Asker>>>,
    completed: Mutex<Vec<usize>>,
    /// What the watch outside of the event loop goes by.
    progress: Progress,
    /// The driver is being polled: who completes now need not wake it.
    polling: AtomicBool,
    instance: Arc<Instance>,
}

/// The waker of one place in the table of calls.
#[derive(Debug)]
struct Completion {
    place: usize,
    flight: Arc<Flight>,
}

/// The calls in flight. The places are reused, with their wakers.
struct Calls<'a> {
    pool: &'a Arc<Pool>,
    instance: &'a Arc<Instance>,
    flight: &'a Arc<Flight>,
    exports: &'a AsyncExports,
    run: &'a Run,
    accessor: &'a Accessor<StoreData>,
    /// When a call was begun or has returned last, by the run's clock.
    active: u64,
    places: Vec<Place<'a>>,
    free: Vec<usize>,
    in_flight: usize,
    /// When each call was begun, the oldest first. All have the same time to
    /// return, so the first is the first to be late.
    begun: VecDeque<(Moment, usize, u64)>,
    serial: u64,
    idleness: Idleness,
}

type Call<'a> = Pin<Box<dyn Future<Output = wasmtime::Result<Returned>> + Send + 'a>>;

struct Place<'a> {
    call: Option<Call<'a>>,
    handle: Option<u32>,
    serial: u64,
    waker: Waker,
}

enum Returned {
    Nothing,
    /// Messages or an alarm were handled.
    Work,
    Decision(Decision),
}

// === impl Flight ===

impl Flight {
    fn new(instance: Arc<Instance>) -> Self {
        Self {
            askers: Mutex::default(),
            completed: Mutex::default(),
            progress: Progress::default(),
            polling: AtomicBool::new(false),
            instance,
        }
    }

    fn take_askers(&self) -> Vec<Asker> {
        self.askers.lock().drain(..).flatten().collect()
    }
}

impl TaskWake for Completion {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.flight.completed.lock().push(self.place);
        if !self.flight.polling.load(Ordering::Acquire) {
            self.flight.instance.driver.wake();
        }
    }
}

// === impl Calls ===

impl<'a> Calls<'a> {
    fn new(
        pool: &'a Arc<Pool>,
        instance: &'a Arc<Instance>,
        flight: &'a Arc<Flight>,
        exports: &'a AsyncExports,
        run: &'a Run,
        accessor: &'a Accessor<StoreData>,
    ) -> Self {
        Self {
            pool,
            instance,
            flight,
            exports,
            active: run.clock.entered(),
            run,
            accessor,
            places: Vec::new(),
            free: Vec::new(),
            in_flight: 0,
            begun: VecDeque::new(),
            serial: 0,
            idleness: Idleness::new(pool.shared.policy.idle_timeout),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Stop> {
        if let Err(error) = self.collect() {
            return Poll::Ready(Stop::Refused(error));
        }
        loop {
            let busy = self.in_flight > 0;
            match self
                .idleness
                .poll(cx, self.instance, self.run, self.active, busy)
            {
                Poll::Ready(Wake::Job(job)) => {
                    if let Err(error) = self.begin(job) {
                        return Poll::Ready(Stop::Refused(error));
                    }
                }
                Poll::Ready(Wake::Idle) => return Poll::Ready(Stop::Idle),
                Poll::Pending => break,
            }
        }
        let oldest = self.oldest();
        self.flight.progress.note(oldest);
        Poll::Pending
    }

    /// Finishes the calls that have completed.
    fn collect(&mut self) -> wasmtime::Result<()> {
        loop {
            let Some(place) = self.flight.completed.lock().pop() else {
                return Ok(());
            };
            self.poll_place(place)?;
        }
    }

    /// An error ends the event loop; who waits for the call is told with all
    /// others that are left in the table.
    fn poll_place(&mut self, index: usize) -> wasmtime::Result<()> {
        let place = &mut self.places[index];
        let Some(call) = place.call.as_mut() else {
            return Ok(());
        };
        let Poll::Ready(result) = call.as_mut().poll(&mut Context::from_waker(&place.waker)) else {
            return Ok(());
        };
        place.call = None;
        if let Some(handle) = place.handle.take() {
            self.accessor.with(|mut access| {
                access.as_context_mut().data_mut().handles.take_back(handle);
            });
        }
        let returned = result?;
        self.active = self.run.clock.entered();
        self.free.push(index);
        self.in_flight -= 1;
        self.run.clock.end_call();
        let Some(asker) = self.flight.askers.lock()[index].take() else {
            return Ok(());
        };
        match returned {
            Returned::Nothing => asker.done(),
            Returned::Work => {
                self.pool.backoff.succeed();
                asker.done();
            }
            Returned::Decision(decision) => asker.decided(decision),
        }
        Ok(())
    }

    fn begin(&mut self, job: Job) -> wasmtime::Result<()> {
        let Some(job) = job.begin() else {
            return Ok(());
        };
        self.active = self.run.clock.entered();
        let place = self.place();
        self.serial += 1;
        self.in_flight += 1;
        self.run.clock.begin_call();
        self.places[place].serial = self.serial;
        self.forget_returned();
        self.begun.push_back((Moment::now(), place, self.serial));
        let (asker, event) = match job {
            Job::Upgrade(asked, seat, reply) => {
                self.flight.askers.lock()[place] = Some(Asker::Upgrade(seat, reply));
                self.refuel()?;
                let upgrade = self.exports.upgrade;
                let asked = (request(*asked),);
                let call = self
                    .accessor
                    .with(|access| upgrade.start_call_concurrent(access, asked))?;
                let accessor = self.accessor;
                self.places[place].call = Some(Box::pin(async move {
                    let (decision,) = upgrade.finish_call_concurrent(accessor, call).await?;
                    Ok(Returned::Decision(decision))
                }));
                return self.poll_place(place);
            }
            Job::Alarm(alarm, _seat, reply) => {
                self.flight.askers.lock()[place] = Some(Asker::Alarm(reply));
                self.refuel()?;
                let started = self.start_alarm(None, &alarm.name, alarm.attempt)?;
                self.places[place].call = Some(started);
                return self.poll_place(place);
            }
            Job::Event(event, turn) => (turn, event),
        };
        let Some(connection) = asker.connection().cloned() else {
            return Ok(());
        };
        self.flight.askers.lock()[place] = Some(Asker::Event(asker));
        self.refuel()?;
        let handle = self
            .accessor
            .with(|mut access| access.as_context_mut().data_mut().handles.lend(connection));
        self.places[place].handle = Some(handle);
        self.places[place].call = Some(self.start(handle, event)?);
        self.poll_place(place)
    }

    fn start_alarm(
        &self,
        connection: Option<Resource<Handle>>,
        name: &AlarmName,
        attempt: u32,
    ) -> wasmtime::Result<Call<'a>> {
        let Some(alarm) = self.exports.alarm else {
            // An earlier version had a handler.
            tracing::warn!(function = %self.pool.shared.name, alarm = name.as_str(), "no handler for an alarm");
            return Ok(Box::pin(async { Ok(Returned::Nothing) }));
        };
        let accessor = self.accessor;
        let arguments = (connection, name.as_str().to_owned(), attempt);
        let call = accessor.with(|access| alarm.start_call_concurrent(access, arguments))?;
        Ok(Box::pin(async move {
            alarm.finish_call_concurrent(accessor, call).await?;
            Ok(Returned::Work)
        }))
    }

    fn start(&self, handle: u32, event: Event) -> wasmtime::Result<Call<'a>> {
        let connection = Resource::<Handle>::new_borrow(handle);
        let accessor = self.accessor;
        Ok(match event {
            Event::Open => {
                let open = self.exports.open;
                let call =
                    accessor.with(|access| open.start_call_concurrent(access, (connection,)))?;
                Box::pin(async move {
                    open.finish_call_concurrent(accessor, call).await?;
                    Ok(Returned::Nothing)
                })
            }
            Event::Messages(batch) => {
                let messages = self.exports.messages;
                let batch: Vec<_> = batch.into_iter().map(owned).collect();
                let call = accessor
                    .with(|access| messages.start_call_concurrent(access, (connection, batch)))?;
                Box::pin(async move {
                    messages.finish_call_concurrent(accessor, call).await?;
                    Ok(Returned::Work)
                })
            }
            Event::Alarm(name) => self.start_alarm(Some(connection), &name, 1)?,
            Event::Close(reason) => {
                let close = self.exports.close;
                let (info, origin) = close_arguments(&reason);
                let call = accessor.with(|access| {
                    close.start_call_concurrent(access, (connection, info, origin))
                })?;
                Box::pin(async move {
                    close.finish_call_concurrent(accessor, call).await?;
                    Ok(Returned::Nothing)
                })
            }
        })
    }

    /// Keeps `begun` within twice the places: behind one slow call, those that
    /// have returned since would gather.
    fn forget_returned(&mut self) {
        if self.begun.len() >= 2 * self.places.len() {
            let places = &self.places;
            self.begun.retain(|(_, place, serial)| {
                places[*place].serial == *serial && places[*place].call.is_some()
            });
        }
    }

    fn place(&mut self) -> usize {
        if let Some(place) = self.free.pop() {
            return place;
        }
        let place = self.places.len();
        let flight = Arc::clone(self.flight);
        let waker = Waker::from(Arc::new(Completion { place, flight }));
        self.places.push(Place {
            call: None,
            handle: None,
            serial: 0,
            waker,
        });
        self.flight.askers.lock().push(None);
        place
    }

    /// The store has one tank for all calls in flight. Each call that begins
    /// brings its share; what finished calls did not use is not hoarded.
    fn refuel(&self) -> wasmtime::Result<()> {
        if !self.pool.loaded.metered {
            return Ok(());
        }
        let share = self.pool.shared.limits.fuel_per_event;
        let most = share.saturating_mul(u64::try_from(self.in_flight).unwrap_or(u64::MAX));
        self.accessor.with(|mut access| {
            let mut store = access.as_context_mut();
            let left = store.get_fuel()?;
            store.set_fuel(left.saturating_add(share).min(most))
        })
    }

    /// When the oldest call in flight was begun.
    fn oldest(&mut self) -> Option<Moment> {
        loop {
            let (begun, place, serial) = self.begun.front().copied()?;
            let place = &self.places[place];
            if place.serial == serial && place.call.is_some() {
                return Some(begun);
            }
            self.begun.pop_front();
        }
    }
}

fn owned(message: Message) -> MessageOwned {
    match message {
        Message::Text(text) => MessageOwned::Text(String::from(&*text)),
        Message::Binary(bytes) => MessageOwned::Binary(bytes),
    }
}
