//! Base64 of strangers: with padding or without.

use ::base64::Engine;
use ::base64::alphabet::STANDARD;
use ::base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes of a text in base64.
pub(crate) fn decoded(text: &str) -> Option<Vec<u8>> {
    LENIENT.decode(text).ok()
}
