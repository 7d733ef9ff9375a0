//! Tests of the bodies of plain functions, without a host.

use super::*;

fn streamed() -> Body {
    Body::streaming(|writer| {
        writer.send("one ")?;
        write!(writer, "{} ", 2)?;
        writer.send("three")?;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "3".parse().unwrap());
        writer.trailers(trailers);
        Ok(())
    })
}

#[test]
fn a_body_is_read_whole_up_to_a_bound() {
    let mut body = Body::from("12345");
    assert_eq!(body.bytes(4).unwrap_err(), Error::TooLong { bytes_max: 4 });
    assert_eq!(body.bytes(5).unwrap(), "12345");
    assert_eq!(body.bytes(5).unwrap(), "");
    assert_eq!(Body::empty().bytes(0).unwrap(), "");
    assert_eq!(streamed().bytes(11).unwrap(), "one 2 three");
    assert_eq!(
        streamed().bytes(10).unwrap_err(),
        Error::TooLong { bytes_max: 10 }
    );
}

#[test]
fn only_utf_8_is_text() {
    assert_eq!(Body::from("ä").text(2).unwrap(), "ä");
    let mut body = Body::from(vec![0xff]);
    assert_eq!(body.text(1).unwrap_err(), Error::NotText);
}

#[test]
fn a_body_is_read_as_any_reader() {
    let mut text = String::new();
    let mut body = streamed();
    let mut start = [0; 3];
    body.reader().read_exact(&mut start).unwrap();
    assert_eq!(&start, b"one");
    assert_eq!(body.reader().read(&mut []).unwrap(), 0);
    body.reader().read_to_string(&mut text).unwrap();
    assert_eq!(text, " 2 three");
    assert_eq!(body.reader().read(&mut start).unwrap(), 0);
}

#[test]
fn trailers_are_behind_the_bytes_and_a_stream_sets_its_own() {
    let mut given = HeaderMap::new();
    given.insert("x-given", "1".parse().unwrap());
    let trailers = streamed().with_trailers(given.clone()).trailers().unwrap();
    let trailers = trailers.unwrap();
    assert_eq!(trailers.get("x-sum").unwrap(), "3");
    assert_eq!(trailers.get("x-given"), None);
    let mut body = Body::from("a").with_trailers(given.clone());
    assert_eq!(body.chunk().unwrap().unwrap(), "a");
    assert_eq!(body.trailers().unwrap(), Some(given));
    assert_eq!(body.trailers().unwrap(), None);
    assert_eq!(Body::from("a").trailers().unwrap(), None);
}

#[test]
fn the_length_is_known_of_what_is_whole() {
    assert_eq!(Body::empty().length(), Some(0));
    assert_eq!(Body::from(String::from("abc")).length(), Some(3));
    assert_eq!(streamed().length(), None);
    let mut body = Body::from("abc");
    body.reader().read_exact(&mut [0; 2]).unwrap();
    assert_eq!(body.length(), Some(1));
    assert_eq!(
        format!("{body:?}"),
        r#"Body { kind: "whole", length: Some(1), .. }"#
    );
}

#[test]
fn a_stream_that_fails_says_why() {
    let mut body = Body::streaming(|writer| {
        writer.send("half")?;
        Err(Error::other("no more"))
    });
    let error = body.bytes(100).unwrap_err();
    assert_eq!(error.to_string(), "no more");
    assert_eq!(body.bytes(100).unwrap(), "");
}

/// Small pieces leave together, and never behind what was sent later.
#[test]
fn what_is_written_in_pieces_leaves_in_order() {
    let mut writer = Writer::new(Outgoing::memory());
    writer.write_all(b"a").unwrap();
    writer.write_all(b"b").unwrap();
    assert_eq!(writer.gathered, b"ab");
    writer.send("c").unwrap();
    assert!(writer.gathered.is_empty());
    writer.write_all(b"d").unwrap();
    writer.write_all(&[b'e'; GATHERED_BYTES]).unwrap();
    assert!(writer.gathered.is_empty());
    writer.write_all(&[b'f'; GATHERED_BYTES - 1]).unwrap();
    assert_eq!(writer.gathered.len(), GATHERED_BYTES - 1);
    writer.write_all(b"gh").unwrap();
    assert_eq!(writer.gathered, b"gh");
    writer.flush().unwrap();
    assert!(writer.gathered.is_empty());
    writer.write_all(b"i").unwrap();
    let (written, trailers) = writer.finish().unwrap();
    let written = written.into_memory();
    assert_eq!(trailers, None);
    assert_eq!(&written[..5], b"abcde");
    assert_eq!(&written[written.len() - 4..], b"fghi");
    assert_eq!(written.len(), 4 + 2 * GATHERED_BYTES - 1 + 3);
}
