//! Names of channels as PushFlo allows them: a part of the names that channels
//! can have.

/// The longest slug, in bytes.
pub const SLUG_BYTES_MAX: usize = 128;

/// Whether a name is a slug: lower-case letters, digits, and single hyphens
/// between them.
pub fn is_slug(name: &str) -> bool {
    let bytes = name.as_bytes();
    let of_slug = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    (1..=SLUG_BYTES_MAX).contains(&bytes.len())
        && bytes.iter().all(of_slug)
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyphens_stand_between_letters() {
        for good in [
            "a",
            "my-channel",
            "channel-123",
            "9",
            &"a".repeat(SLUG_BYTES_MAX),
        ] {
            assert!(is_slug(good), "{good}");
        }
        let long = "a".repeat(SLUG_BYTES_MAX + 1);
        for bad in [
            "", "My", "-a", "a-", "a--b", "a:b", "a_b", "é", "a b", &long,
        ] {
            assert!(!is_slug(bad), "{bad}");
        }
    }
}
