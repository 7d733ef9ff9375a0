//! Tests of the bodies of asynchronous functions, without a host.

use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::pin;
use std::rc::Rc;
use std::task::Waker;

use super::*;

/// Runs a future that waits only for what this thread does.
fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("it waits for something else");
}

/// A stream of what a list has.
struct List(Vec<Result<Frame, Error>>);

impl Stream for List {
    type Item = Result<Frame, Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready((!self.0.is_empty()).then(|| self.0.remove(0)))
    }
}

fn data(text: &'static str) -> Result<Frame, Error> {
    Ok(Frame::Data(Bytes::from_static(text.as_bytes())))
}

fn sum() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "3".parse().unwrap());
    trailers
}

fn streamed() -> AsyncBody {
    AsyncBody::streaming(async |writer| {
        writer.send("one ").await?;
        writer.send("").await?;
        writer.send("two").await?;
        writer.trailers(sum());
        Ok(())
    })
}

#[test]
fn a_body_is_read_whole_up_to_a_bound() {
    run(async {
        let mut body = AsyncBody::from("12345");
        let error = body.bytes(4).await.unwrap_err();
        assert_eq!(error, Error::TooLong { bytes_max: 4 });
        assert_eq!(body.bytes(5).await.unwrap(), "12345");
        assert_eq!(streamed().bytes(7).await.unwrap(), "one two");
        let error = streamed().bytes(6).await.unwrap_err();
        assert_eq!(error, Error::TooLong { bytes_max: 6 });
        let frames = List(vec![data("a"), data(""), data("b")]);
        assert_eq!(AsyncBody::frames(frames).text(2).await.unwrap(), "ab");
        let error = AsyncBody::from(vec![0xff]).text(1).await.unwrap_err();
        assert_eq!(error, Error::NotText);
    });
}

#[test]
fn a_body_is_read_into_a_buffer() {
    run(async {
        let (mut body, mut buffer) = (streamed(), [0; 3]);
        assert_eq!(body.read(&mut []).await.unwrap(), 0);
        assert_eq!(body.read(&mut buffer).await.unwrap(), 3);
        assert_eq!(&buffer, b"one");
        assert_eq!(body.read(&mut buffer).await.unwrap(), 1);
        assert_eq!(body.read(&mut buffer).await.unwrap(), 3);
        assert_eq!(&buffer, b"two");
        assert_eq!(body.read(&mut buffer).await.unwrap(), 0);
    });
}

#[test]
fn trailers_are_behind_the_bytes_and_a_stream_sets_its_own() {
    run(async {
        let mut given = HeaderMap::new();
        given.insert("x-given", "1".parse().unwrap());
        let mut body = streamed().with_trailers(given.clone());
        assert_eq!(body.trailers().await.unwrap(), Some(sum()));
        assert_eq!(body.trailers().await.unwrap(), None);
        let mut body = AsyncBody::from("a").with_trailers(given.clone());
        assert_eq!(body.chunk().await.unwrap().unwrap(), "a");
        assert_eq!(body.chunk().await.unwrap(), None);
        assert_eq!(body.trailers().await.unwrap(), Some(given.clone()));
        let mut body = AsyncBody::from("a").with_trailers(given.clone());
        assert_eq!(body.frame().await.unwrap(), Some(data("a").unwrap()));
        let trailers = Frame::Trailers(given);
        assert_eq!(body.frame().await.unwrap(), Some(trailers));
        assert_eq!(body.frame().await.unwrap(), None);
    });
}

#[test]
fn a_body_is_a_stream_of_its_chunks_and_made_from_one() {
    run(async {
        let first = AsyncBody::frames(List(vec![data("a"), Ok(Frame::Trailers(sum()))]));
        let mut second = AsyncBody::stream(first);
        assert_eq!(second.frame().await.unwrap(), Some(data("a").unwrap()));
        assert_eq!(second.frame().await.unwrap(), None);
    });
}

#[test]
fn an_error_breaks_a_body_off() {
    run(async {
        let mut body = AsyncBody::frames(List(vec![data("a"), Err(Error::Gone), data("b")]));
        assert_eq!(body.chunk().await.unwrap().unwrap(), "a");
        assert_eq!(body.chunk().await.unwrap_err(), Error::Gone);
        assert_eq!(body.chunk().await.unwrap(), None);
        let mut body = AsyncBody::streaming(async |writer| {
            writer.send("half").await?;
            Err(Error::other("no more"))
        });
        assert_eq!(body.chunk().await.unwrap().unwrap(), "half");
        let error = body.chunk().await.unwrap_err();
        assert_eq!(error.to_string(), "no more");
        assert_eq!(body.frame().await.unwrap(), None);
    });
}

#[test]
fn the_length_is_known_of_what_is_whole() {
    assert_eq!(AsyncBody::empty().length(), Some(0));
    assert_eq!(AsyncBody::from(String::from("abc")).length(), Some(3));
    assert_eq!(streamed().length(), None);
    assert!(!AsyncBody::empty().with_trailers(sum()).is_empty());
    assert!(AsyncBody::from(()).is_empty());
    assert_eq!(
        format!("{:?}", streamed()),
        r#"AsyncBody { kind: "streaming", length: None, .. }"#
    );
}

/// The code writes no further than what has been read.
#[test]
fn nothing_is_made_before_it_is_asked_for() {
    let made = Rc::new(Cell::new(0));
    let counter = Rc::clone(&made);
    let mut body = AsyncBody::streaming(async move |writer| {
        loop {
            counter.set(counter.get() + 1);
            writer.send("x").await?;
        }
    });
    assert_eq!(made.get(), 0);
    for read in 1..=3 {
        run(body.chunk()).unwrap();
        assert_eq!(made.get(), read);
    }
}

#[test]
fn code_that_writes_is_told_that_its_reader_has_left() {
    let told = Rc::new(Cell::new(false));
    let teller = Rc::clone(&told);
    let mut body = AsyncBody::streaming(async move |writer| {
        writer.send("first").await?;
        // This one was taken, but did not reach anybody.
        let error = writer.send("second").await.unwrap_err();
        assert_eq!(writer.send("third").await.unwrap_err(), error);
        teller.set(error == Error::Gone);
        Err(error)
    });
    run(async {
        assert_eq!(body.chunk().await.unwrap().unwrap(), "first");
        assert_eq!(body.chunk().await.unwrap().unwrap(), "second");
        body.abandon().await;
    });
    assert!(told.get());
    // Nothing else has anybody to tell.
    run(AsyncBody::from("a").abandon());
}

#[test]
fn code_that_waits_lets_its_reader_wait() {
    let mut body = AsyncBody::streaming(async |writer| {
        writer.send("first").await?;
        pending().await
    });
    let mut context = Context::from_waker(Waker::noop());
    assert!(body.poll_frame(&mut context).is_ready());
    assert!(body.poll_frame(&mut context).is_pending());
    assert!(body.poll_frame(&mut context).is_pending());
}
