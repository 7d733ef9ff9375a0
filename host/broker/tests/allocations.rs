//! A publish to a channel without history allocates the publication and nothing
//! else, a filter nothing: counted at the allocator.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use openline_broker::channel::{Channel, Publish, Room};
use openline_broker::filter::{Filter, FilterNode, TagFilter};
use openline_broker::moment::Moment;
use openline_broker::position::Epoch;
use openline_broker::publication::{Data, Tags};
use openline_core::channel::{ChannelTerms, HistoryTerms};
use openline_core::name::{ChannelName, ConnectionId};

thread_local! {
    /// How often this thread has allocated.
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[expect(unsafe_code, reason = "an allocator that counts")]
// SAFETY: what is asked is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has nothing left to count.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often the last of some publishes of one text allocates.
fn allocations(terms: ChannelTerms) -> usize {
    let name = ChannelName::new("room").unwrap();
    let mut channel = Channel::new(name, Arc::new(terms), Epoch::from_random(1), Moment(0));
    let mut last = 0;
    for _ in 0..100 {
        let request = Publish::new(Data::Text("hello".into()));
        let before = COUNT.get();
        let published = channel.publish(request, Moment(0), &Room::ANY, |_| 1);
        last = COUNT.get() - before;
        assert_eq!(published.unwrap().outcome.local, 1);
    }
    last
}

#[test]
fn a_publish_allocates_the_publication() {
    assert_eq!(allocations(ChannelTerms::default()), 1);
    // With history, too, once the ring has its size.
    let history = Some(HistoryTerms {
        count: 10,
        ..HistoryTerms::default()
    });
    assert_eq!(
        allocations(ChannelTerms {
            history,
            ..ChannelTerms::default()
        }),
        1
    );
}

#[test]
fn a_filter_allocates_nothing() {
    let json = r#"{"op":"and","nodes":[
        {"op":"not","nodes":[{"key":"a","cmp":"in","vals":["x","y"]}]},
        {"key":"n","cmp":"gte","val":"10.5"}]}"#;
    let node: FilterNode = serde_json::from_str(json).unwrap();
    let filter = Filter {
        skip_own: true,
        tags: Some(TagFilter::new(&node).unwrap()),
        ..Filter::default()
    };
    let name = ChannelName::new("room").unwrap();
    let terms = Arc::new(ChannelTerms::default());
    let mut channel = Channel::new(name, terms, Epoch::from_random(1), Moment(0));
    let request = Publish {
        tags: Tags::new(vec![("a".into(), "b".into()), ("n".into(), "11".into())]).unwrap(),
        ..Publish::new(Data::Text("hello".into()))
    };
    let published = channel
        .publish(request, Moment(0), &Room::ANY, |_| 1)
        .unwrap();
    let publication = published.publication.unwrap();
    let before = COUNT.get();
    let accepts = filter.accepts(&publication, ConnectionId::from_random(1));
    assert_eq!((accepts, COUNT.get() - before), (true, 0));
}
