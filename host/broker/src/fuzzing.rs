//! The code that reads bytes of a store, of other nodes and of brokers, as
//! functions of bytes for the fuzz targets: none may panic, and what is read is
//! written again as it was.

use std::sync::Arc;

use bytes::Bytes;
use openline_core::channel::{ChannelTerms, HistoryTerms, KeyedTerms};
use openline_core::name::ChannelName;

use crate::channel::{Channel, Subscribe};
use crate::moment::Moment;
use crate::position::{Epoch, Position};
use crate::publication::Publication;
use crate::rows::Row;
use crate::subject;

/// A publication from a store or from another node.
pub fn publication(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let Ok(publication) = Publication::decode(bytes.clone()) else {
        return;
    };
    assert_eq!(
        publication.encode(),
        bytes,
        "two encodings of one publication"
    );
    assert!(publication.cost() >= publication.data.bytes());
}

/// The texts of positions and of subjects.
pub fn texts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(position) = text.parse::<Position>() {
        assert_eq!(position.to_string(), text, "two texts of one position");
    }
    if let Some(channel) = subject::channel(&text) {
        assert_eq!(
            subject::subject(&channel),
            text,
            "two subjects of one channel"
        );
    }
}

/// Rows of a store, each with its length (two bytes, of its name and of its
/// value) before it.
pub fn rows(bytes: &[u8]) {
    let mut rows = Vec::new();
    let mut left = bytes;
    while let Some((lengths, rest)) = left.split_first_chunk::<2>() {
        let (name, value) = (usize::from(lengths[0]), usize::from(lengths[1]));
        let Some((row, rest)) = rest.split_at_checked(name + value) else {
            break;
        };
        left = rest;
        if let Ok(parsed) = Row::parse(&row[..name]) {
            assert_eq!(parsed.name(), row[..name], "two names of one row");
            rows.push((parsed, Bytes::copy_from_slice(&row[name..])));
        }
    }
    let terms = ChannelTerms {
        history: Some(HistoryTerms::default()),
        keyed: Some(KeyedTerms::default()),
        durable: true,
        recovery: true,
        ..ChannelTerms::default()
    };
    let name = ChannelName::new("a").expect("a name of one letter");
    let epoch = Epoch::from_random(1);
    let restored = Channel::restore(name, Arc::new(terms), epoch, rows, Moment(0));
    if let Ok((mut channel, _)) = restored {
        let backlog = channel.subscribe(&Subscribe::NEW, Moment(0));
        assert!(backlog.position.is_some() && backlog.is_snapshot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Publish, Room};
    use crate::publication::Data;
    use crate::rows::Change;

    #[test]
    fn each_takes_what_it_is_for() {
        texts(b"1-1");
        texts(b"a.b");
        texts(&[0xff]);
        let terms = ChannelTerms {
            history: Some(HistoryTerms::default()),
            durable: true,
            ..ChannelTerms::default()
        };
        let name = ChannelName::new("a").unwrap();
        let mut channel = Channel::new(name, Arc::new(terms), Epoch::from_random(1), Moment(0));
        let request = Publish::new(Data::Text("b".into()));
        let published = channel
            .publish(request, Moment(0), &Room::ANY, |_| 0)
            .unwrap();
        publication(&published.publication.unwrap().encode());
        publication(&[1; 40]);
        let mut bytes = Vec::new();
        for change in published.changes {
            let Change::Put(row, value) = change else {
                continue;
            };
            let name = row.name();
            bytes.extend([
                u8::try_from(name.len()).unwrap(),
                u8::try_from(value.len()).unwrap(),
            ]);
            bytes.extend(name);
            bytes.extend(value);
        }
        rows(&bytes);
        rows(&bytes[..bytes.len() - 1]);
    }
}
