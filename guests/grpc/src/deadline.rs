//! The deadline of a call: a client says by `grpc-timeout` how long it waits, and gets
//! `DEADLINE_EXCEEDED` then, before the head of the answer or in its trailers.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use openline_sdk::http::{AsyncBody, Error, Frame, HeaderMap, HeaderValue, Response};
use openline_sdk::time::sleep;
use tonic::Status;

/// What the client says. What is not valid counts as nothing.
pub(crate) fn of(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    // The specification allows eight digits.
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

fn exceeded() -> Status {
    Status::deadline_exceeded("the time of the client is over")
}

/// The answer, or the end of the client's time, at whatever point that is.
pub(crate) async fn within(
    timeout: Duration,
    answer: impl Future<Output = Response<AsyncBody>>,
) -> Response<AsyncBody> {
    let mut over = Box::pin(sleep(timeout));
    let mut answer = pin!(answer);
    let answered = poll_fn(|context| {
        if let Poll::Ready(response) = answer.as_mut().poll(context) {
            return Poll::Ready(Some(response));
        }
        over.as_mut().poll(context).map(|()| None)
    })
    .await;
    let Some(response) = answered else {
        return exceeded()
            .into_http::<tonic::body::Body>()
            .map(AsyncBody::from_body);
    };
    response.map(|mut body| {
        AsyncBody::streaming(async move |writer| {
            loop {
                let frame = poll_fn(|context| match body.poll_frame(context) {
                    Poll::Ready(frame) => Poll::Ready(frame.transpose()),
                    Poll::Pending => over.as_mut().poll(context).map(|()| Ok(Some(trailers()))),
                });
                match frame.await? {
                    Some(Frame::Data(bytes)) => writer.send(bytes).await?,
                    Some(Frame::Trailers(trailers)) => {
                        writer.trailers(trailers);
                        return Ok(());
                    }
                    None => return Ok::<(), Error>(()),
                }
            }
        })
    })
}

/// What ends an answer that has begun.
fn trailers() -> Frame {
    let mut trailers = HeaderMap::new();
    let status = exceeded();
    if status.add_header(&mut trailers).is_err() {
        trailers.insert("grpc-status", HeaderValue::from_static("4"));
    }
    Frame::Trailers(trailers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", value.parse().unwrap());
        of(&headers)
    }

    #[test]
    fn a_timeout_has_up_to_eight_digits_and_a_unit() {
        assert_eq!(read("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        assert_eq!(read("3S"), Some(Duration::from_secs(3)));
        assert_eq!(read("100m"), Some(Duration::from_millis(100)));
        assert_eq!(read("7u"), Some(Duration::from_micros(7)));
        assert_eq!(read("9n"), Some(Duration::from_nanos(9)));
        assert!(read("99999999H").is_some());
        for wrong in [
            "",
            "1",
            "S",
            "1s",
            "-1S",
            "1 S",
            "999999999S",
            "1.5S",
            "\u{e4}",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
