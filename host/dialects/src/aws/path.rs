//! Paths of connections: `/@connections/{id}` and `/{stage}/@connections/{id}`.

use percent_encoding::percent_decode_str;

/// The most bytes of a stage and of an identity, each, once they are decoded.
pub const NAME_BYTES_MAX: usize = 128;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The stage, which is a function or an alias here.
    pub stage: Option<String>,
    /// The connection's identity.
    pub connection: String,
}

impl Target {
    /// Reads a path as it was sent. SDKs write `@` or `%40`, and encode what
    /// identities have that paths do not. `None` if it is another path.
    pub fn of_path(path: &str) -> Option<Self> {
        let mut segments = path.strip_prefix('/')?.split('/').map(decoded);
        let first = segments.next()??;
        let stage = if first == "@connections" {
            None
        } else {
            let marker = segments.next()??;
            if marker != "@connections" {
                return None;
            }
            Some(first)
        };
        let connection = segments.next()??;
        match segments.next() {
            Some(_) => None,
            None => Some(Self { stage, connection }),
        }
    }
}

/// A segment, if it has a name of a possible length.
fn decoded(segment: &str) -> Option<String> {
    let name = percent_decode_str(segment).decode_utf8().ok()?;
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    let clean = !name
        .chars()
        .any(|letter| letter.is_control() || letter == '/');
    (fits && clean).then(|| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Option<(Option<String>, String)> {
        Target::of_path(path).map(|target| (target.stage, target.connection))
    }

    #[test]
    fn with_a_stage_or_without() {
        let of = |stage: Option<&str>, connection: &str| {
            Some((stage.map(str::to_owned), connection.to_owned()))
        };
        assert_eq!(read("/@connections/abc"), of(None, "abc"));
        assert_eq!(
            read("/%40connections/L0SM9cOFvHcCIhw%3D"),
            of(None, "L0SM9cOFvHcCIhw=")
        );
        assert_eq!(read("/prod/@connections/abc"), of(Some("prod"), "abc"));
        assert_eq!(read("/prod/%40connections/abc"), of(Some("prod"), "abc"));
        for other in [
            "",
            "/",
            "@connections/abc",
            "/@connections",
            "/@connections/",
            "/@connections/a/b",
            "/@connections/a%2Fb",
            "/@connections/%00",
            "/@connections/%ff",
            "/a/b/@connections/c",
            "//@connections/c",
            "/connections/c",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
        let long = |bytes: usize| read(&format!("/@connections/{}", "a".repeat(bytes))).is_some();
        assert!(long(NAME_BYTES_MAX) && !long(NAME_BYTES_MAX + 1));
    }
}
