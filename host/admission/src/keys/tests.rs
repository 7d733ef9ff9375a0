//! Keys that are made, revoked, configured and configured again, with open
//! connections.

use std::task::{Wake, Waker};

use openline_channels::budget::HostBudget;
use openline_channels::connection::{Facts, Next, SocketOwner};

use openline_core::channel::ChannelPattern;
use openline_core::close::CloseReason;
use openline_core::key::{Scope, Scopes};
use openline_core::limits::FunctionLimits;
use openline_core::name::{ChannelName, FunctionName};
use parking_lot::Mutex;

use super::*;
use crate::clock::now;
use crate::sessions::{Renewal, Session};

const TEXT: &str = "sec_0123456789abcdefghij";
const OTHER_TEXT: &str = "sec_abcdefghij0123456789";
const SOON: UnixTime = UnixTime(100);

fn name(text: &str) -> KeyName {
    KeyName::new(text).unwrap()
}

fn terms(key: &str, scope: Scope) -> KeyTerms {
    KeyTerms {
        name: name(key),
        scopes: Scopes::new([scope]).unwrap(),
        channels: KeyTerms::all_channels(),
        functions: None,
        expires: None,
    }
}

fn configured(key: &str, text: &str) -> ConfiguredKey {
    ConfiguredKey {
        terms: terms(key, Scope::Publish),
        credential: KeyCredential::of(text),
        secret: None,
    }
}

fn made(keys: &Keys, key: &str) -> (Arc<Key>, String) {
    let new = keys.make(terms(key, Scope::Publish), false, SOON).unwrap();
    let text = String::from_utf8(new.secret.bytes().to_vec()).unwrap();
    (keys.take(new.record).unwrap(), text)
}

fn put(keys: &Keys, configured: impl Into<Vec<ConfiguredKey>>) -> usize {
    keys.put(keys.prepare(configured.into()).unwrap())
}

fn denial<T>(result: Result<T, KeyDenied>) -> Option<KeyDenial> {
    result.err().map(|denied| denied.denial)
}

/// Notes whether the task of a connection was woken.
#[derive(Default)]
struct Woken(Mutex<bool>);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        *self.0.lock() = true;
    }
}

/// A connection that a key has let in.
struct Open {
    owner: SocketOwner,
    session: Arc<Session>,
    woken: Arc<Woken>,
}

impl Open {
    fn by(key: &Arc<Key>) -> Self {
        let budget = HostBudget::new(1 << 20, 1 << 20);
        let owner = SocketOwner::new(
            Facts::default(),
            Arc::new(FunctionLimits::default()),
            budget.function(),
        );
        let woken = Arc::<Woken>::default();
        owner.register(&Waker::from(Arc::clone(&woken)));
        let session = Session::begin_by_key(key, owner.connection());
        Self {
            owner,
            session,
            woken,
        }
    }

    /// Whether its task was woken since this was last asked.
    fn was_woken(&self) -> bool {
        self.owner.register(&Waker::from(Arc::clone(&self.woken)));
        std::mem::take(&mut self.woken.0.lock())
    }

    /// How the connection ends, if it does.
    fn ending(&self) -> Option<CloseReason> {
        match self.owner.next() {
            Next::End(reason) => Some(reason),
            _ => None,
        }
    }
}

#[test]
fn a_key_is_found_by_its_text_until_it_is_revoked() {
    let keys = Keys::default();
    let (key, text) = made(&keys, "web");
    assert!(Arc::ptr_eq(&keys.authenticate(&text, SOON).unwrap(), &key));
    for stranger in ["", "sec_", TEXT, &text[1..], &format!("{text}a")] {
        let denied = keys.authenticate(stranger, SOON);
        assert_eq!(denial(denied), Some(KeyDenial::Unknown), "{stranger}");
    }
    assert_eq!(
        keys.make(terms("web", Scope::Read), false, SOON)
            .unwrap_err(),
        KeyError::Name(name("web"))
    );
    let (revoked, closed) = keys.revoke(&name("web")).unwrap();
    assert_eq!(closed, 0);
    let denied = keys.authenticate(&text, SOON).unwrap_err();
    let expected = KeyDenied::of(KeyDenial::Revoked, Some(name("web")));
    assert_eq!(denied, expected);
    let channel = ChannelName::new("a").unwrap();
    assert!(!key.allows_shared(Scope::Publish, &channel));
    // Its name is taken, and it can be revoked again, until it is forgotten.
    assert_eq!(
        keys.take(record("web")).unwrap_err(),
        KeyError::Name(name("web"))
    );
    assert!(keys.revoke(&name("web")).is_ok());
    keys.forget(&revoked);
    assert_eq!(
        keys.revoke(&name("web")).unwrap_err(),
        KeyError::None(name("web"))
    );
    let (other, _) = made(&keys, "web");
    // A late removal does not take the one that has the name now.
    keys.forget(&revoked);
    assert_eq!(keys.list().len(), 1);
    assert!(Arc::ptr_eq(&keys.list()[0], &other));
}

fn record(key: &str) -> KeyRecord {
    KeyRecord {
        terms: terms(key, Scope::Publish),
        credential: KeyCredential::of(key),
        created: SOON,
    }
}

#[test]
fn a_key_ends_at_its_time() {
    let keys = Keys::default();
    let ending = KeyTerms {
        expires: Some(SOON),
        ..terms("web", Scope::Publish)
    };
    let before = UnixTime(SOON.0 - 1);
    let late = keys.make(ending.clone(), false, SOON).unwrap_err();
    assert_eq!(late, KeyError::Expired);
    let new = keys.make(ending, false, before).unwrap();
    let text = String::from_utf8(new.secret.bytes().to_vec()).unwrap();
    let key = keys.take(new.record).unwrap();
    assert!(keys.authenticate(&text, before).is_ok());
    assert_eq!(
        denial(keys.authenticate(&text, SOON)),
        Some(KeyDenial::Expired)
    );
    // By the clock on the wall it ended long ago.
    let open = Open::by(&key);
    assert_eq!(open.session.left(), Some(std::time::Duration::ZERO));
    assert_eq!(open.session.expired(), CloseReason::Expired { code: 1008 });
    let function = FunctionName::new("f").unwrap();
    assert!(!key.allows_any(Scope::Publish, &function));
}

#[test]
fn as_many_as_there_may_be_and_one_more() {
    let keys = Keys::default();
    for at in 0..KEYS_MADE_MAX {
        keys.take(record(&format!("k{at}"))).unwrap();
    }
    // Keys of the configuration do not count.
    put(&keys, [configured("c", TEXT)]);
    let more = keys.make(terms("more", Scope::Read), false, SOON);
    assert_eq!(more.unwrap_err(), KeyError::Full);
    assert_eq!(keys.take(record("more")).unwrap_err(), KeyError::Full);
    // Nor do the names that the log knows grow past their bound.
    for at in 0..KEYS_MADE_MAX {
        let (key, _) = keys.revoke(&name(&format!("k{at}"))).unwrap();
        keys.forget(&key);
    }
    let find = |text: &str| keys.find(&KeyCredential::of(text), SOON);
    assert_eq!(denial(find("k0")), Some(KeyDenial::Revoked));
    keys.take(record("last")).unwrap();
    keys.revoke(&name("last")).unwrap();
    assert_eq!(denial(find("k0")), Some(KeyDenial::Unknown));
    assert_eq!(denial(find("last")), Some(KeyDenial::Revoked));
    let table = keys.table.read();
    assert_eq!(
        (table.gone.len(), table.order.len()),
        (REVOKED_MAX, REVOKED_MAX)
    );
}

#[test]
fn a_revoked_key_closes_its_connections_and_no_others() {
    let keys = Keys::default();
    let (key, _) = made(&keys, "web");
    let (other, _) = made(&keys, "other");
    let (first, second, third) = (Open::by(&key), Open::by(&key), Open::by(&other));
    assert_eq!(key.connections(), 2);
    drop(second);
    assert_eq!(key.connections(), 1);
    assert_eq!(keys.revoke(&name("web")).unwrap().1, 1);
    assert_eq!(first.ending(), Some(CloseReason::Revoked));
    assert!(first.was_woken() && !third.was_woken());
    assert_eq!(third.ending(), None);
    // One that was authenticated before and opens only now.
    let late = Open::by(&key);
    assert_eq!(late.ending(), Some(CloseReason::Revoked));
    drop((first, late));
    assert_eq!(key.connections(), 0);
    assert!(matches!(third.session.renew("token:x"), Renewal::None));
    assert!(
        third
            .session
            .key()
            .is_some_and(|it| Arc::ptr_eq(it, &other))
    );
}

/// While others authenticate and open, whoever is in at the end is closed.
#[test]
fn no_connection_outlives_its_key_whichever_comes_first() {
    for _ in 0..200 {
        let keys = Keys::default();
        let (key, _) = made(&keys, "web");
        let opened = std::thread::scope(|scope| {
            let opening = scope.spawn(|| [(); 8].map(|()| Open::by(&key)));
            keys.revoke(&name("web")).unwrap();
            opening.join().unwrap()
        });
        for open in opened {
            assert_eq!(open.ending(), Some(CloseReason::Revoked));
        }
    }
}

#[test]
fn a_reload_narrows_open_connections_and_ends_those_of_other_keys() {
    let keys = Keys::default();
    put(
        &keys,
        [configured("stays", TEXT), configured("goes", OTHER_TEXT)],
    );
    let (stays, goes) = (
        keys.authenticate(TEXT, SOON).unwrap(),
        keys.authenticate(OTHER_TEXT, SOON).unwrap(),
    );
    let (open, closes) = (Open::by(&stays), Open::by(&goes));
    let (channel, function) = (
        ChannelName::new("room:1").unwrap(),
        FunctionName::new("f").unwrap(),
    );
    let may = |scope| {
        open.session
            .key()
            .unwrap()
            .allows(scope, &channel, &function)
    };
    // The same again changes nothing.
    put(
        &keys,
        [configured("stays", TEXT), configured("goes", OTHER_TEXT)],
    );
    assert!(!open.was_woken() && closes.ending().is_none());
    assert_eq!(stays.generation(), 0);
    assert!(may(Scope::Publish));
    let narrow = |key: ConfiguredKey| {
        let mut key = key;
        key.terms.channels = vec![ChannelPattern::new("lobby").unwrap()];
        key
    };
    assert_eq!(put(&keys, [narrow(configured("stays", TEXT))]), 1);
    assert_eq!(closes.ending(), Some(CloseReason::Revoked));
    assert_eq!(open.ending(), None);
    assert!(open.was_woken(), "its subscriptions may be too many now");
    assert_eq!(stays.generation(), 1);
    assert!(!may(Scope::Publish));
    assert_eq!(
        denial(keys.authenticate(OTHER_TEXT, SOON)),
        Some(KeyDenial::Revoked)
    );
    // An end that is set wakes the task, which sets its timer by it.
    let mut ending = configured("stays", TEXT);
    ending.terms.expires = Some(UnixTime(now().wall.0 + 3600));
    put(&keys, [ending]);
    assert!(open.was_woken() && open.session.left().is_some());
    // Another text under the same name is another key.
    assert_eq!(put(&keys, [configured("stays", OTHER_TEXT)]), 1);
    assert_eq!(open.ending(), Some(CloseReason::Revoked));
    assert!(keys.authenticate(OTHER_TEXT, SOON).is_ok());
    assert_eq!(put(&keys, []), 0);
    assert!(keys.list().is_empty());
}

#[test]
fn keys_that_change_their_texts_with_each_other_are_found() {
    let keys = Keys::default();
    put(&keys, [configured("a", TEXT), configured("b", OTHER_TEXT)]);
    put(&keys, [configured("a", OTHER_TEXT), configured("b", TEXT)]);
    let of = |text| keys.authenticate(text, SOON).unwrap().name();
    assert_eq!((of(OTHER_TEXT), of(TEXT)), (name("a"), name("b")));
    let table = keys.table.read();
    assert!(table.gone.is_empty() && table.order.is_empty());
    assert_eq!((table.by_name.len(), table.by_credential.len()), (2, 2));
}

#[test]
fn names_and_texts_are_distinct_among_all_keys() {
    let keys = Keys::default();
    let (_, text) = made(&keys, "web");
    let prepare = |all: &[ConfiguredKey]| keys.prepare(all.to_vec()).unwrap_err();
    assert_eq!(
        prepare(&[configured("web", TEXT)]),
        KeyError::Made(name("web"))
    );
    let same = KeyError::Same(name("web"), name("c"), "text");
    assert_eq!(prepare(&[configured("c", &text)]), same);
    let same = KeyError::Same(name("a"), name("b"), "text");
    assert_eq!(
        prepare(&[configured("a", TEXT), configured("b", TEXT)]),
        same
    );
    put(&keys, [configured("c", TEXT)]);
    let taken = keys.make(terms("c", Scope::Read), false, SOON);
    assert_eq!(taken.unwrap_err(), KeyError::Name(name("c")));
    let fixed = keys.revoke(&name("c")).unwrap_err();
    assert_eq!(fixed, KeyError::Configured(name("c")));
    assert!(keys.authenticate(TEXT, SOON).is_ok());
}

#[test]
fn a_pair_has_the_same_secret_after_a_restart_and_its_id_is_no_text() {
    let keys = Keys::default();
    keys.derive_from([7; 32]);
    let new = keys.make(terms("aws", Scope::Manage), true, SOON).unwrap();
    let id = new.record.credential.access_key_id().unwrap().clone();
    let again = Keys::default();
    again.derive_from([7; 32]);
    let key = again.take(new.record).unwrap();
    let (found, secret) = again.secret_of(id.as_str(), SOON).unwrap();
    assert!(Arc::ptr_eq(&found, &key));
    assert_eq!(secret, new.secret);
    assert_eq!(
        denial(again.authenticate(id.as_str(), SOON)),
        Some(KeyDenial::Unknown)
    );
    let text = std::str::from_utf8(secret.bytes()).unwrap();
    assert_eq!(
        denial(again.authenticate(text, SOON)),
        Some(KeyDenial::Unknown)
    );
    for bad in ["", "opln", "OPLNOPLNOPLNOPLNOPLN"] {
        assert_eq!(denial(again.secret_of(bad, SOON)), Some(KeyDenial::Unknown));
    }
    again.revoke(&name("aws")).unwrap();
    assert_eq!(
        denial(again.secret_of(id.as_str(), SOON)),
        Some(KeyDenial::Revoked)
    );
}

#[test]
fn a_pair_of_the_configuration_has_its_own_secret() {
    let keys = Keys::default();
    keys.derive_from([7; 32]);
    let id = "AKIDAKIDAKIDAKIDAKID";
    let pair = |secret: &str| ConfiguredKey {
        terms: terms("aws", Scope::Publish),
        credential: KeyCredential::AccessKeyId(AccessKeyId::new(id).unwrap()),
        secret: Some(Secret::new(secret)),
    };
    put(&keys, [pair("one")]);
    let (key, secret) = keys.secret_of(id, SOON).unwrap();
    assert_eq!(secret, Secret::new("one"));
    let open = Open::by(&key);
    put(&keys, [pair("one")]);
    assert_eq!(open.ending(), None);
    put(&keys, [pair("other")]);
    assert_eq!(open.ending(), Some(CloseReason::Revoked));
    assert_eq!(keys.secret_of(id, SOON).unwrap().1, Secret::new("other"));
}

#[tokio::test]
async fn an_answer_that_stays_open_learns_of_the_end() {
    let keys = Arc::new(Keys::default());
    let (key, _) = made(&keys, "web");
    let ended = tokio::spawn({
        let key = Arc::clone(&key);
        async move { key.ended().await }
    });
    let revoking = Arc::clone(&keys);
    let revoking = tokio::task::spawn_blocking(move || revoking.revoke(&name("web")).map(|_| ()));
    revoking.await.unwrap().unwrap();
    assert_eq!(ended.await.unwrap(), CloseReason::Revoked);
    assert_eq!(key.ended().await, CloseReason::Revoked);
    // A reload that sets an end in the past.
    put(&keys, [configured("c", TEXT)]);
    let key = keys.authenticate(TEXT, SOON).unwrap();
    let ended = tokio::spawn({
        let key = Arc::clone(&key);
        async move { key.ended().await }
    });
    let mut over = configured("c", TEXT);
    over.terms.expires = Some(SOON);
    put(&keys, [over]);
    assert_eq!(ended.await.unwrap(), CloseReason::Expired { code: 1008 });
}

#[test]
fn no_debug_text_has_a_digest() {
    let keys = Keys::default();
    put(&keys, [configured("c", TEXT)]);
    let key = keys.authenticate(TEXT, SOON).unwrap();
    let text = format!("{key:?}");
    assert!(
        text.contains("\"c\"") && !text.to_lowercase().contains("text"),
        "{text}"
    );
}
