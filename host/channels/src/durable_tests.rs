//! Durable channels on real files: over restarts, with a disk that fails, full
//! ones, and ones that do not answer.

use std::path::Path;

use openline_broker::log::{PageLimit, PageQuery};
use openline_broker::terms::TermsTable;
use openline_core::channel::{
    ChannelPattern, ChannelTable, ChannelTerms, HistoryTerms, Subscription,
};
use openline_core::limits::FunctionLimits;
use openline_core::message::Message;
use openline_core::name::FunctionName;
use openline_store::{Attempt, RowChange, Store};

use super::*;
use crate::budget::HostBudget;
use crate::channel_queue::Most;
use crate::connection::{Facts, Next, SocketOwner};
use crate::hub::Hub;
use crate::space::Publishing;

const ROOM: u64 = 64 << 20;

/// A host with one function, from its start until it is killed.
struct Host {
    hub: Hub,
    settling: Arc<Settling>,
    store: ChannelStore,
    _whole: Store,
}

fn name(text: &str) -> ChannelName {
    ChannelName::new(text).unwrap()
}

fn function() -> FunctionName {
    FunctionName::new("a").unwrap()
}

fn terms(durable: bool) -> TermsTable {
    let terms = ChannelTerms {
        history: Some(HistoryTerms {
            count: 1_000,
            bytes: 1 << 26,
            time: None,
        }),
        recovery: true,
        durable,
        ..ChannelTerms::default()
    };
    let table = ChannelTable {
        pattern: ChannelPattern::new("*").unwrap(),
        terms,
        functions: None,
    };
    TermsTable::new(&function(), &[table], &[]).unwrap()
}

impl Host {
    async fn start(folder: &Path, room: u64) -> Self {
        let whole = Store::open(folder, room).unwrap();
        let budget = HostBudget::new(0, 0).with_channels(1 << 28);
        let space = |table| Space::new(table, budget.channels(), &Arc::default());
        let own = space(terms(true));
        let settling = Arc::new(Settling::default());
        let store = whole.function(&function()).channels();
        own.restore(store.clone(), &settling).await.unwrap();
        Self {
            hub: Hub::new(own, space(TermsTable::default())),
            settling,
            store,
            _whole: whole,
        }
    }

    fn serves(&self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(Arc::clone(&self.settling).run())
    }

    fn begin(&self, text: &str) -> Answered {
        let publishing = Publishing::of(Message::Text(text.into()));
        self.hub
            .publish(&name("c"), publishing, &mut Wakeups::default())
    }

    async fn publish(&self, text: &str) -> Result<Outcome, PublishError> {
        self.begin(text).wait().await
    }

    fn subscribed(&self) -> SocketOwner {
        let budget = HostBudget::new(1 << 20, 1 << 20).function();
        let limits = Arc::new(FunctionLimits::default());
        let owner = SocketOwner::new(Facts::default(), limits, budget);
        let connection = owner.connection();
        self.hub.join(connection);
        self.hub
            .subscribe(connection, &name("c"), &mut Wakeups::default())
            .unwrap();
        owner
    }

    fn history(&self) -> (Option<Position>, Vec<String>) {
        let limit = PageLimit {
            count: usize::MAX,
            bytes: usize::MAX,
        };
        let own = self.hub.own();
        let page = own.history(&name("c"), PageQuery::default(), limit);
        let Some(page) = page.unwrap() else {
            return (None, Vec::new());
        };
        let texts = page.publications.iter().map(|it| match &it.data {
            openline_broker::publication::Data::Text(text) => text.to_string(),
            other => format!("{other:?}"),
        });
        (Some(page.top), texts.collect())
    }

    /// How many publishers wait.
    fn waiting(&self) -> usize {
        let waiting = self.hub.own().with(&name("c"), false, |_, state, _| {
            state.writing.as_ref().map_or(0, |it| it.waiting.len())
        });
        waiting.unwrap()
    }
}

/// What was acknowledged is there after a restart, in the same epoch.
#[tokio::test]
async fn what_is_acknowledged_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = Host::start(folder.path(), ROOM).await;
    let task = first.serves();
    for number in 0..20 {
        let outcome = first.publish(&number.to_string()).await.unwrap();
        assert_eq!(outcome.position.unwrap().offset, number + 1);
    }
    let before = first.history();
    task.abort();
    let _ = task.await;
    drop(first);
    let second = Host::start(folder.path(), ROOM).await;
    let _task = second.serves();
    assert_eq!(second.history(), before);
    let next = second.publish("next").await.unwrap().position.unwrap();
    assert_eq!((next.epoch, next.offset), (before.0.unwrap().epoch, 21));
}

/// A disk that fails: publishers are told, nobody gets anything, and afterwards
/// the store has exactly what the channel has.
#[tokio::test]
async fn what_a_failing_disk_does_not_take_nobody_gets() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let first = Host::start(folder.path(), ROOM).await;
    let task = first.serves();
    let owner = first.subscribed();
    first.publish("1").await.unwrap();
    assert!(matches!(owner.next(), Next::Item(_)));
    std::fs::rename(file("store.redb"), file("elsewhere")).unwrap();
    let refused = [first.begin("2"), first.begin("3")];
    for refused in refused {
        assert_eq!(refused.wait().await, Err(PublishError::Unavailable));
    }
    assert!(!matches!(owner.next(), Next::Item(_)), "it was delivered");
    assert_eq!(first.history().1, ["1"]);
    std::fs::rename(file("elsewhere"), file("store.redb")).unwrap();
    let outcome = first.publish("4").await.unwrap();
    assert_eq!((outcome.position.unwrap().offset, outcome.local), (2, 1));
    let before = first.history();
    assert_eq!(before.1, ["1", "4"]);
    task.abort();
    let _ = task.await;
    drop((first, owner));
    assert_eq!(Host::start(folder.path(), ROOM).await.history(), before);
}

/// Rows of a channel that was removed, and that the store did not delete, are
/// not mixed with those of the next one.
#[tokio::test]
async fn rows_that_a_removed_channel_left_do_not_damage_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let first = Host::start(folder.path(), ROOM).await;
    let task = first.serves();
    let left = Row::Publication(7).name().into();
    let left = vec![RowChange::Put(left, bytes::Bytes::from_static(b"old"))];
    let (done, written) = oneshot::channel();
    let wrote = first
        .store
        .write(&name("c"), &Attempt::new(), left, |result| {
            let _ = done.send(result);
        });
    wrote.unwrap();
    written.await.unwrap().unwrap();
    first.publish("1").await.unwrap();
    let before = first.history();
    task.abort();
    let _ = task.await;
    drop(first);
    assert_eq!(Host::start(folder.path(), ROOM).await.history(), before);
}

/// A full data directory is said to be full, also after it was asked often, and
/// what was acknowledged stays.
#[tokio::test]
async fn a_full_data_directory_refuses_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let room = 1 << 20;
    let first = Host::start(folder.path(), room).await;
    let task = first.serves();
    let large = "x".repeat(100_000);
    let mut acknowledged = 0;
    let refused = loop {
        match first.publish(&large).await {
            Ok(_) => acknowledged += 1,
            Err(refused) => break refused,
        }
    };
    assert!(acknowledged > 0 && acknowledged < 11, "{acknowledged}");
    assert!(matches!(refused, PublishError::Full { .. }), "{refused}");
    // At once, without work for the disk.
    assert!(matches!(
        first.begin(&large),
        Answered::Now(Err(PublishError::Full { .. }))
    ));
    let before = first.history();
    assert_eq!(before.1.len(), acknowledged);
    task.abort();
    let _ = task.await;
    drop(first);
    assert_eq!(Host::start(folder.path(), room).await.history(), before);
}

/// While nothing is written, publishes past the bound are refused at once, and
/// what waits does not grow with them.
#[tokio::test]
async fn refused_publishes_do_not_pile_up() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path(), ROOM).await;
    // Nothing settles.
    for number in 0..STAGED_MAX {
        let answer = host.begin("1");
        assert!(matches!(answer, Answered::Later(_)), "{number}: {answer:?}");
    }
    for _ in 0..10 {
        let answer = host.begin("1").now();
        assert!(
            matches!(answer, Err(PublishError::Full { .. })),
            "{answer:?}"
        );
    }
    assert_eq!(host.waiting(), STAGED_MAX);
    // Answers that depend on what is staged are held back, up to a bound.
    let mut held = Vec::new();
    let mut conflicting = Publishing::of(Message::Text("1".into()));
    conflicting.request.expected = Some(openline_broker::channel::Expected::Top(Position::start(
        Epoch::from_random(1),
    )));
    let mut wakeups = Wakeups::default();
    for _ in STAGED_MAX..WAITING_MAX {
        let publishing = conflicting.clone();
        let answer = host.hub.publish(&name("c"), publishing, &mut wakeups);
        assert!(matches!(answer, Answered::Later(_)), "{answer:?}");
        held.push(answer);
    }
    let answer = host.hub.publish(&name("c"), conflicting, &mut wakeups);
    assert!(matches!(
        answer,
        Answered::Now(Err(PublishError::Full { .. }))
    ));
    assert_eq!(host.waiting(), WAITING_MAX);
    let _task = host.serves();
    for answer in held {
        let refused = answer.wait().await.unwrap_err();
        assert!(
            matches!(refused, PublishError::Conflict { .. }),
            "{refused}"
        );
    }
    assert_eq!((host.waiting(), host.history().1.len()), (0, 1_000));
}

/// Wakes nobody.
struct Defective;

impl std::task::Wake for Defective {
    fn wake(self: Arc<Self>) {
        panic!("a defect");
    }
}

/// A panic while something is settled ends no other channel's publishes, nor later
/// ones of its own, and subscribers come back for what they perhaps have not got.
#[tokio::test]
async fn after_a_panic_publishes_are_still_settled() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path(), ROOM).await;
    let _task = host.serves();
    let owner = host.subscribed();
    owner.register(&Arc::new(Defective).into());
    for text in ["1", "2"] {
        // The waker is taken by the first.
        let published = tokio::time::timeout(Duration::from_secs(30), host.publish(text));
        let outcome = published.await.expect("it is answered").unwrap();
        assert_eq!(outcome.local, 1);
    }
    // The first one's waker has panicked before the second was answered.
    assert!(owner.leaving().is_some());
    assert_eq!(host.history().1, ["1", "2"]);
    let before = host.history();
    drop((host, owner));
    assert_eq!(Host::start(folder.path(), ROOM).await.history(), before);
}

/// A reload that makes a channel durable writes what it has; one that ends that
/// deletes it. Its subscribers and positions stay.
#[tokio::test]
async fn a_channel_becomes_durable_and_ceases_to_be_with_its_terms() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path(), ROOM).await;
    let task = host.serves();
    let owner = host.subscribed();
    host.publish("1").await.unwrap();
    let reload = |durable| {
        host.hub.set_table(terms(durable));
        host.hub.refresh();
    };
    reload(false);
    // Nothing is waited for any more.
    assert!(matches!(host.begin("2"), Answered::Now(Ok(_))));
    // The groups are written in their order.
    let (done, written) = oneshot::channel();
    let last = host
        .store
        .write(&name("d"), &Attempt::new(), vec![RowChange::Clear], |it| {
            let _ = done.send(it);
        });
    last.unwrap();
    written.await.unwrap().unwrap();
    assert_eq!(host.store.rows(&name("c")).await.unwrap(), []);
    reload(true);
    assert!(matches!(host.begin("3"), Answered::Later(_)));
    let outcome = host.publish("4").await.unwrap();
    assert_eq!((outcome.position.unwrap().offset, outcome.local), (4, 1));
    assert!(owner.leaving().is_none());
    let before = host.history();
    assert_eq!(before.1, ["1", "2", "3", "4"]);
    task.abort();
    let _ = task.await;
    drop((host, owner));
    assert_eq!(Host::start(folder.path(), ROOM).await.history(), before);
}

/// Terms that change while a publication is being written hold once it is.
#[tokio::test]
async fn terms_that_come_while_something_is_written_hold_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path(), ROOM).await;
    let first = host.begin("1");
    host.hub.set_table(terms(false));
    host.hub.refresh();
    // It waits for the first, under the terms of then.
    let second = host.begin("2");
    assert!(matches!(second, Answered::Later(_)));
    let _task = host.serves();
    assert_eq!(first.wait().await.unwrap().position.unwrap().offset, 1);
    assert_eq!(second.wait().await.unwrap().position.unwrap().offset, 2);
    let third = host.publish("3").await.unwrap();
    assert_eq!(third.position.unwrap().offset, 3);
    assert!(matches!(host.begin("4"), Answered::Now(Ok(_))));
    assert_eq!(host.history().1, ["1", "2", "3", "4"]);
}

/// Its channel learns only then that nobody listens any more.
#[tokio::test]
async fn what_is_written_too_late_wakes_no_function() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path(), ROOM).await;
    host.hub.queue().set_most(Most {
        publications: 9,
        bytes: 1 << 20,
        calls_per_second: 1,
    });
    let all = [Subscription {
        pattern: ChannelPattern::new("*").unwrap(),
        own: false,
    }];
    host.hub.listen(&all);
    let begun = host.begin("before");
    host.hub.listen(&[]);
    let serving = host.serves();
    begun.wait().await.unwrap();
    assert!(host.hub.queue().is_empty());
    host.hub.listen(&all);
    host.publish("after").await.unwrap();
    let batch = host.hub.queue().next().await.unwrap();
    assert_eq!(batch.publications.len(), 1);
    serving.abort();
}
