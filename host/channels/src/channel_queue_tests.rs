//! Tests of what waits for a function.

use openline_broker::moment::Moment;
use openline_broker::publication::{Data, Parts, Tags};

use super::*;

fn publication(channel: &str, text: &str) -> Publication {
    Publication::new(Parts {
        channel: ChannelName::new(channel).unwrap(),
        position: None,
        id: None,
        event: None,
        key: None,
        removed: false,
        data: Data::Text(text.into()),
        tags: Tags::default(),
        sender: None,
        time: Moment(0),
    })
}

fn queue(publications: usize, bytes: usize) -> ChannelQueue {
    let queue = ChannelQueue::default();
    queue.set_most(Most {
        publications,
        bytes,
        calls_per_second: 1,
    });
    queue
}

fn texts(batch: &Batch) -> Vec<String> {
    let texts = batch.publications.iter().map(|it| match &it.data {
        Data::Text(text) => text.to_string(),
        _ => panic!("a text"),
    });
    texts.collect()
}

#[tokio::test]
async fn a_batch_has_one_channel_in_its_order() {
    let queue = queue(10, usize::MAX);
    for (channel, text) in [("a", "1"), ("b", "2"), ("a", "3"), ("b", "4")] {
        queue.push(&publication(channel, text));
    }
    let first = queue.next().await.unwrap();
    assert_eq!((first.channel.as_str(), first.lost), ("a", 0));
    assert_eq!(texts(&first), ["1", "3"]);
    let second = queue.next().await.unwrap();
    assert_eq!(texts(&second), ["2", "4"]);
    assert!(queue.is_empty());
}

#[tokio::test]
async fn at_the_bound_nothing_is_lost_and_one_past_it_the_oldest() {
    let queue = queue(3, usize::MAX);
    for text in ["1", "2", "3"] {
        queue.push(&publication("a", text));
    }
    let batch = queue.next().await.unwrap();
    assert_eq!((texts(&batch).len(), batch.lost), (3, 0));
    for text in ["1", "2", "3", "4"] {
        queue.push(&publication("a", text));
    }
    let batch = queue.next().await.unwrap();
    assert_eq!(
        (texts(&batch), batch.lost),
        (vec!["2".into(), "3".into(), "4".into()], 1)
    );
    queue.push(&publication("a", "5"));
    assert_eq!(queue.next().await.unwrap().lost, 0);
}

#[tokio::test]
async fn the_bytes_are_bounded_too_and_one_publication_always_fits() {
    let cost = publication("a", "1").cost();
    let queue = queue(10, 2 * cost);
    for text in ["1", "2"] {
        queue.push(&publication("a", text));
    }
    assert_eq!(queue.len(), 2);
    queue.push(&publication("a", "3"));
    assert_eq!(queue.len(), 2);
    queue.set_most(Most {
        publications: 10,
        bytes: 0,
        calls_per_second: 1,
    });
    let batch = queue.next().await.unwrap();
    assert_eq!((texts(&batch), batch.lost), (vec!["3".into()], 2));
}

#[tokio::test]
async fn a_batch_is_bounded_and_the_rest_keeps_its_order() {
    let queue = queue(1_000, usize::MAX);
    for number in 0..=CALL_PUBLICATIONS_MAX {
        queue.push(&publication("a", &number.to_string()));
    }
    let first = queue.next().await.unwrap();
    assert_eq!(first.publications.len(), CALL_PUBLICATIONS_MAX);
    let second = queue.next().await.unwrap();
    assert_eq!(texts(&second), [CALL_PUBLICATIONS_MAX.to_string()]);
}

/// A text that makes a publication of the channel `a` cost so much.
fn of_cost(cost: usize) -> String {
    "x".repeat(cost - publication("a", "").cost())
}

#[tokio::test]
async fn a_call_has_so_many_bytes_and_not_one_more() {
    let one = publication("a", "1").cost();
    for (cost, together) in [
        (CALL_BYTES_MAX - one, 2),
        (CALL_BYTES_MAX - one + 1, 1),
        // One publication always fits.
        (CALL_BYTES_MAX + 1, 1),
    ] {
        let queue = queue(10, usize::MAX);
        let large = of_cost(cost);
        assert_eq!(publication("a", &large).cost(), cost);
        queue.push(&publication("a", &large));
        queue.push(&publication("a", "1"));
        let first = queue.next().await.unwrap();
        assert_eq!(first.publications.len(), together, "{cost}");
        assert_eq!(queue.len(), 2 - together);
    }
}

#[tokio::test]
async fn what_is_far_behind_other_channels_comes_with_a_later_call() {
    for (between, together) in [(LOOK_MAX - 1, 2), (LOOK_MAX, 1)] {
        let queue = queue(10_000, usize::MAX);
        queue.push(&publication("a", "1"));
        for _ in 0..between {
            queue.push(&publication("b", ""));
        }
        queue.push(&publication("a", "2"));
        let first = queue.next().await.unwrap();
        assert_eq!(first.publications.len(), together, "{between}");
        assert_eq!(queue.len(), between + 2 - together);
    }
}

#[tokio::test]
async fn one_that_does_not_fit_is_not_overtaken() {
    let queue = queue(10, usize::MAX);
    let large = "x".repeat(CALL_BYTES_MAX - 100);
    for text in ["1", &large, "3"] {
        queue.push(&publication("a", text));
    }
    assert_eq!(texts(&queue.next().await.unwrap()), ["1"]);
    assert_eq!(
        queue.next().await.unwrap().publications[0].data.bytes(),
        large.len()
    );
    assert_eq!(texts(&queue.next().await.unwrap()), ["3"]);
}

#[tokio::test]
async fn a_closed_one_takes_and_gives_nothing() {
    let queue = queue(10, usize::MAX);
    assert!(queue.begin() && !queue.begin());
    queue.push(&publication("a", "1"));
    queue.close();
    queue.push(&publication("a", "2"));
    assert_eq!(queue.next().await, None);
}

#[tokio::test]
async fn a_batch_that_was_taken_is_forgotten_with_those_that_wait() {
    let queue = queue(10, usize::MAX);
    queue.push(&publication("a", "1"));
    let taken = queue.next().await.unwrap();
    assert!(queue.wants(&taken));
    queue.push(&publication("a", "2"));
    queue.set_wanted(false);
    queue.push(&publication("a", "3"));
    assert!(queue.is_empty() && !queue.wants(&taken));
    queue.set_wanted(true);
    queue.push(&publication("a", "4"));
    let next = queue.next().await.unwrap();
    assert_eq!(texts(&next), ["4"]);
    assert!(queue.wants(&next) && !queue.wants(&taken));
}
