//! Metadata: what a client sends beside its messages, and gets beside the replies.

use tonic::metadata::{KeyAndValueRef, MetadataMap};

/// What a client calls so comes back to it.
const ECHOED: &str = "x-echo-";

/// Sends back what is to come back: texts, and bytes, whose names end with `-bin`.
pub(crate) fn echo(from: &MetadataMap, to: &mut MetadataMap) {
    for entry in from.iter() {
        match entry {
            KeyAndValueRef::Ascii(key, value) if key.as_str().starts_with(ECHOED) => {
                to.append(key.clone(), value.clone());
            }
            KeyAndValueRef::Binary(key, value) if key.as_str().starts_with(ECHOED) => {
                to.append_bin(key.clone(), value.clone());
            }
            _ => {}
        }
    }
}
