//! Cookies of affinity: the host makes a random value, signs it, and sets it on
//! the 101, so that a peer comes back to its instance.
//!
//! The signature keeps peers from choosing a value, and so the instance, of
//! another peer. A cookie is valid for the function and the name for which it
//! was made, as long as the host has its key: without a data directory until it
//! ends.

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};
use openline_core::name::FunctionName;
use ring::hmac;

/// The letters of a value.
const VALUE_LETTERS: usize = 32;

/// The value that chooses an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sticky {
    /// The value, without its signature.
    pub(crate) value: String,
    /// The header for the 101, if the peer has no valid cookie.
    pub(crate) set: Option<HeaderValue>,
}

/// Reads the cookie of a request, or makes one; `has_tls` says whether the
/// request came by TLS, because the cookie is then sent only by TLS.
pub(crate) fn sticky(
    headers: &HeaderMap,
    function: &FunctionName,
    name: &str,
    key: &[u8; 32],
    has_tls: bool,
) -> Sticky {
    let signing = Signing {
        function,
        name,
        key: hmac::Key::new(hmac::HMAC_SHA256, key),
    };
    if let Some(value) = cookies(headers, name).find_map(|cookie| signing.verify(cookie)) {
        return Sticky { value, set: None };
    }
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).expect("the operating system has random numbers");
    let value = hex(&bits);
    let signature = hex(hmac::sign(&signing.key, &signing.signed(&value)).as_ref());
    let secure = if has_tls { "; Secure" } else { "" };
    let cookie = format!("{name}={value}.{signature}; Path=/; HttpOnly; SameSite=Lax{secure}");
    let set = HeaderValue::from_str(&cookie).expect("a token and hexadecimal digits");
    Sticky {
        value,
        set: Some(set),
    }
}

/// The values of all cookies of a name (RFC 6265 section 4.2.1).
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(COOKIE).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';'));
    pairs.filter_map(move |pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

struct Signing<'a> {
    function: &'a FunctionName,
    name: &'a str,
    key: hmac::Key,
}

impl Signing<'_> {
    /// The bytes that are signed for a value.
    fn signed(&self, value: &str) -> Vec<u8> {
        // Neither a function's name nor a token has a zero byte.
        let parts = [
            "openline affinity",
            self.function.as_str(),
            self.name,
            value,
        ];
        parts.join("\0").into_bytes()
    }

    /// The value of a cookie, if this host has signed it.
    fn verify(&self, cookie: &str) -> Option<String> {
        let (value, signature) = cookie.split_once('.')?;
        if value.len() != VALUE_LETTERS {
            return None;
        }
        // Compares in constant time.
        let verified = hmac::verify(&self.key, &self.signed(value), &from_hex(signature)?);
        verified.is_ok().then(|| value.to_owned())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |letter: u8| char::from(letter).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs
        .map(|pair| u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn with(cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_str(cookie).unwrap());
        headers
    }

    fn function(name: &str) -> FunctionName {
        FunctionName::new(name).unwrap()
    }

    fn made() -> (String, String) {
        let sticky = sticky(&HeaderMap::new(), &function("f"), "line", &KEY, false);
        let set = sticky.set.unwrap().to_str().unwrap().to_owned();
        (sticky.value, set.split(';').next().unwrap().to_owned())
    }

    #[test]
    fn a_cookie_that_was_set_is_known_again_and_nothing_else_is() {
        let (value, cookie) = made();
        let read = |cookie: &str, name: &str, of: &str, key: &[u8; 32]| {
            sticky(&with(cookie), &function(of), name, key, false)
        };
        let again = read(&cookie, "line", "f", &KEY);
        assert_eq!(
            again,
            Sticky {
                value: value.clone(),
                set: None
            }
        );
        let among = format!("line=forged; a=b;{cookie} ;c=d");
        assert_eq!(read(&among, "line", "f", &KEY), again);
        let other = read(&cookie.replacen("line", "other", 1), "other", "f", &KEY);
        let elsewhere = read(&cookie, "line", "g", &KEY);
        let by_another_host = read(&cookie, "line", "f", &[8; 32]);
        let (_, signature) = cookie.split_once('.').unwrap();
        let chosen = format!("line={}.{signature}", "0".repeat(VALUE_LETTERS));
        let short = &cookie[..cookie.len() - 2];
        let forged = [
            chosen.as_str(),
            short,
            &value,
            "line=",
            "line=.",
            "line=\u{7f}",
        ];
        let forged = forged.map(|cookie| {
            let headers = HeaderValue::from_str(cookie);
            headers.map_or_else(|_| HeaderMap::new(), |_| with(cookie))
        });
        let forged = forged.map(|headers| sticky(&headers, &function("f"), "line", &KEY, false));
        for new in [other, elsewhere, by_another_host]
            .into_iter()
            .chain(forged)
        {
            assert!(new.set.is_some() && new.value != value, "{new:?}");
        }
    }

    #[test]
    fn two_cookies_differ_and_no_script_reads_them() {
        let ((one, cookie), (other, _)) = (made(), made());
        assert_ne!(one, other);
        assert_eq!(
            cookie,
            format!("line={one}.{}", cookie.split_once('.').unwrap().1)
        );
        let set = sticky(&HeaderMap::new(), &function("f"), "line", &KEY, false)
            .set
            .unwrap();
        let set = set.to_str().unwrap();
        assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{set}");
        let by_tls = sticky(&HeaderMap::new(), &function("f"), "line", &KEY, true);
        let set = by_tls.set.unwrap();
        assert!(set.to_str().unwrap().ends_with("; SameSite=Lax; Secure"));
    }
}
