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

fn listener(publications: usize, bytes: usize) -> Listener {
    let listener = Listener::default();
    listener.set_most(Most {
        publications,
        bytes,
        calls_per_second: 1,
    });
    listener
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
    let listener = listener(10, usize::MAX);
    for (channel, text) in [("a", "1"), ("b", "2"), ("a", "3"), ("b", "4")] {
        listener.push(&publication(channel, text));
    }
    let first = listener.next().await.unwrap();
    assert_eq!((first.channel.as_str(), first.lost), ("a", 0));
    assert_eq!(texts(&first), ["1", "3"]);
    let second = listener.next().await.unwrap();
    assert_eq!(texts(&second), ["2", "4"]);
    assert!(listener.is_empty());
}

#[tokio::test]
async fn at_the_bound_nothing_is_lost_and_one_past_it_the_oldest() {
    let listener = listener(3, usize::MAX);
    for text in ["1", "2", "3"] {
        listener.push(&publication("a", text));
    }
    let batch = listener.next().await.unwrap();
    assert_eq!((texts(&batch).len(), batch.lost), (3, 0));
    for text in ["1", "2", "3", "4"] {
        listener.push(&publication("a", text));
    }
    let batch = listener.next().await.unwrap();
    assert_eq!(
        (texts(&batch), batch.lost),
        (vec!["2".into(), "3".into(), "4".into()], 1)
    );
    listener.push(&publication("a", "5"));
    assert_eq!(listener.next().await.unwrap().lost, 0);
}

#[tokio::test]
async fn the_bytes_are_bounded_too_and_one_publication_always_fits() {
    let cost = publication("a", "1").cost();
    let listener = listener(10, 2 * cost);
    for text in ["1", "2"] {
        listener.push(&publication("a", text));
    }
    assert_eq!(listener.len(), 2);
    listener.push(&publication("a", "3"));
    assert_eq!(listener.len(), 2);
    listener.set_most(Most {
        publications: 10,
        bytes: 0,
        calls_per_second: 1,
    });
    let batch = listener.next().await.unwrap();
    assert_eq!((texts(&batch), batch.lost), (vec!["3".into()], 2));
}

#[tokio::test]
async fn a_batch_is_bounded_and_the_rest_keeps_its_order() {
    let listener = listener(1_000, usize::MAX);
    for number in 0..=BATCH_PUBLICATIONS_MAX {
        listener.push(&publication("a", &number.to_string()));
    }
    let first = listener.next().await.unwrap();
    assert_eq!(first.publications.len(), BATCH_PUBLICATIONS_MAX);
    let second = listener.next().await.unwrap();
    assert_eq!(texts(&second), [BATCH_PUBLICATIONS_MAX.to_string()]);
}

#[tokio::test]
async fn one_that_does_not_fit_is_not_overtaken() {
    let listener = listener(10, usize::MAX);
    let large = "x".repeat(BATCH_BYTES_MAX - 100);
    for text in ["1", &large, "3"] {
        listener.push(&publication("a", text));
    }
    assert_eq!(texts(&listener.next().await.unwrap()), ["1"]);
    assert_eq!(
        listener.next().await.unwrap().publications[0].data.bytes(),
        large.len()
    );
    assert_eq!(texts(&listener.next().await.unwrap()), ["3"]);
}

#[tokio::test]
async fn a_closed_one_takes_and_gives_nothing() {
    let listener = listener(10, usize::MAX);
    assert!(listener.begin() && !listener.begin());
    listener.push(&publication("a", "1"));
    listener.close();
    listener.push(&publication("a", "2"));
    assert_eq!(listener.next().await, None);
}

#[test]
fn a_channel_is_wanted_by_any_pattern_and_with_its_own_by_any_that_says_so() {
    let subscription = |pattern: &str, own| Subscription {
        pattern: openline_core::channel::ChannelPattern::new(pattern).unwrap(),
        own,
    };
    let all = [subscription("room:*", false), subscription("room:a", true)];
    let name = |text: &str| ChannelName::new(text).unwrap();
    assert_eq!(wanted(&all, &name("room:a")), Some(true));
    assert_eq!(wanted(&all, &name("room:b")), Some(false));
    assert_eq!(wanted(&all, &name("other")), None);
}

#[tokio::test]
async fn a_batch_that_was_taken_is_forgotten_with_those_that_wait() {
    let listener = listener(10, usize::MAX);
    listener.push(&publication("a", "1"));
    let taken = listener.next().await.unwrap();
    assert!(listener.wants(&taken));
    listener.push(&publication("a", "2"));
    listener.set_wanted(false);
    listener.push(&publication("a", "3"));
    assert!(listener.is_empty() && !listener.wants(&taken));
    listener.set_wanted(true);
    listener.push(&publication("a", "4"));
    let next = listener.next().await.unwrap();
    assert_eq!(texts(&next), ["4"]);
    assert!(listener.wants(&next) && !listener.wants(&taken));
}
