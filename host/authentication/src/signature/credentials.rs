//! What a request says about its signature, before any of it is checked.

use http::header::AUTHORIZATION;
use openline_core::authentication::SignatureForm;

use super::canonical::{ACS3, Names, OPENLINE};
use crate::request::{Request, decoded, pairs};

/// Signed headers of a request.
pub const SIGNED_HEADERS_MAX: usize = 64;
/// The lengths of a nonce: short ones are guessed or repeated.
const NONCE_BYTES: std::ops::RangeInclusive<usize> = 8..=128;

/// The credentials of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    /// `Authorization` in our form or in ACS3's.
    Skeleton {
        id: String,
        signed: Vec<String>,
        signature: String,
        form: SignatureForm,
    },
    /// `Authorization: FC`.
    FunctionCompute { id: String, signature: String },
    /// A URL that was signed before.
    Presigned {
        form: SignatureForm,
        id: String,
        /// As written, because it is signed.
        expires: String,
        signature: String,
        /// A nonce, and the date that a URL with a nonce has.
        nonce: Option<(String, String)>,
        security_token: Option<String>,
    },
}

/// Why credentials cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CredentialsError {
    /// There are none.
    #[error("there is neither an `Authorization` with a signature nor a pre-signed URL")]
    None,
    /// There are several.
    #[error("there is more than one signature")]
    Several,
    /// They are not whole.
    #[error("the signature has not the parts that its form has")]
    Form,
    /// A signed header's name.
    #[error(
        "`SignedHeaders` are not distinct names in lower case, sorted, and at most {SIGNED_HEADERS_MAX}"
    )]
    SignedHeaders,
}

/// Reads the credentials.
pub(super) fn read(request: &Request<'_>) -> Result<Credentials, CredentialsError> {
    let presigned = presigned(request.query.unwrap_or_default())?;
    let mut lines = request.headers.get_all(AUTHORIZATION).iter();
    let (line, more) = (lines.next(), lines.next());
    let text = line.and_then(|line| line.to_str().ok()).unwrap_or_default();
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    let header = if is(OPENLINE.scheme) {
        Some(skeleton(&OPENLINE, rest)?)
    } else if is(ACS3.scheme) {
        Some(skeleton(&ACS3, rest)?)
    } else if is("FC") {
        let (id, signature) = rest.split_once(':').ok_or(CredentialsError::Form)?;
        Some(Credentials::FunctionCompute {
            id: id.into(),
            signature: signature.into(),
        })
    } else {
        None
    };
    match (header, presigned) {
        (Some(_), Some(_)) => Err(CredentialsError::Several),
        (Some(_), None) if more.is_some() => Err(CredentialsError::Several),
        (Some(found), None) | (None, Some(found)) => Ok(found),
        (None, None) => Err(CredentialsError::None),
    }
}

/// `Credential=ID,SignedHeaders=a;b,Signature=HEX`, in any order.
fn skeleton(names: &Names, text: &str) -> Result<Credentials, CredentialsError> {
    let [mut id, mut signed, mut signature] = [None; 3];
    for part in text.split(',') {
        let (name, value) = part.trim().split_once('=').ok_or(CredentialsError::Form)?;
        let place = match name {
            "Credential" => &mut id,
            "SignedHeaders" => &mut signed,
            "Signature" => &mut signature,
            _ => return Err(CredentialsError::Form),
        };
        if place.replace(value).is_some() {
            return Err(CredentialsError::Form);
        }
    }
    let (Some(id), Some(signed), Some(signature)) = (id, signed, signature) else {
        return Err(CredentialsError::Form);
    };
    let signed: Vec<String> = signed.split(';').map(str::to_owned).collect();
    let is_name = |name: &String| {
        let upper = name.bytes().any(|byte| byte.is_ascii_uppercase());
        !upper && http::HeaderName::from_bytes(name.as_bytes()).is_ok()
    };
    let sorted = signed.windows(2).all(|pair| pair[0] < pair[1]);
    if signed.len() > SIGNED_HEADERS_MAX || !sorted || !signed.iter().all(is_name) {
        return Err(CredentialsError::SignedHeaders);
    }
    Ok(Credentials::Skeleton {
        id: id.into(),
        signed,
        signature: signature.into(),
        form: names.form,
    })
}

/// The names of the keys of a pre-signed URL.
pub(super) struct PresignedNames {
    pub(super) form: SignatureForm,
    pub(super) id: &'static str,
    pub(super) expires: &'static str,
    pub(super) security_token: &'static str,
    /// Empty if the form has none.
    pub(super) nonce: &'static str,
    /// When a URL with a nonce was signed.
    pub(super) date: &'static str,
    pub(super) signature: &'static str,
}

pub(super) const PRESIGNED: [PresignedNames; 2] = [
    PresignedNames {
        form: SignatureForm::Openline,
        id: "openline-access-key-id",
        expires: "openline-expires",
        security_token: "openline-security-token",
        nonce: "openline-nonce",
        date: "openline-date",
        signature: "openline-signature",
    },
    PresignedNames {
        form: SignatureForm::Fc,
        id: "x-fc-access-key-id",
        expires: "x-fc-expires",
        security_token: "x-fc-security-token",
        nonce: "",
        date: "",
        signature: "x-fc-signature",
    },
];

impl PresignedNames {
    /// The names of a form that has pre-signed URLs.
    pub(super) fn of(form: SignatureForm) -> Option<&'static Self> {
        PRESIGNED.iter().find(|names| names.form == form)
    }
}

fn presigned(query: &str) -> Result<Option<Credentials>, CredentialsError> {
    let mut found = None;
    for names in &PRESIGNED {
        let one = |name: &str| {
            let is = |(key, _): &(&str, &str)| decoded(key).as_deref() == Some(name);
            let mut values = pairs(query).filter(is).map(|(_, value)| decoded(value));
            match (values.next(), values.next()) {
                (None, _) => Ok(None),
                (Some(Some(value)), None) => Ok(Some(value)),
                _ => Err(CredentialsError::Form),
            }
        };
        let Some(signature) = one(names.signature)? else {
            continue;
        };
        if found.is_some() {
            return Err(CredentialsError::Several);
        }
        let nonce = match (names.nonce, names.date) {
            ("", _) => None,
            (nonce, date) => match (one(nonce)?, one(date)?) {
                (Some(nonce), Some(date)) => Some((nonce, date)),
                (None, None) => None,
                _ => return Err(CredentialsError::Form),
            },
        };
        found = Some(Credentials::Presigned {
            form: names.form,
            id: one(names.id)?.ok_or(CredentialsError::Form)?,
            expires: one(names.expires)?.ok_or(CredentialsError::Form)?,
            security_token: one(names.security_token)?,
            nonce,
            signature,
        });
    }
    Ok(found)
}

/// Whether a text can be a nonce.
pub(super) fn is_nonce(text: &str) -> bool {
    NONCE_BYTES.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_at_its_lengths_and_past_them() {
        for (bytes, good) in [(7, false), (8, true), (128, true), (129, false)] {
            assert_eq!(is_nonce(&"n".repeat(bytes)), good, "{bytes}");
        }
        assert!(!is_nonce("with space") && !is_nonce("\u{fc}mlaut-8"));
    }

    #[test]
    fn signed_headers_at_their_number_and_one_more() {
        let read = |count: usize| {
            let names: Vec<_> = (0..count).map(|it| format!("x-{it:03}")).collect();
            let names = names.join(";");
            let text = format!("Credential=a,SignedHeaders={names},Signature=00");
            skeleton(&OPENLINE, &text).map(|_| ())
        };
        assert_eq!(read(SIGNED_HEADERS_MAX), Ok(()));
        let past = read(SIGNED_HEADERS_MAX + 1);
        assert_eq!(past, Err(CredentialsError::SignedHeaders));
    }
}
