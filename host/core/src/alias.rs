//! Names that differ for this host and not for a program behind it.
//!
//! CGI hands the header `X-User` to a program as `HTTP_X_USER` (RFC 3875 section
//! 4.1.18), and with it does WSGI, PHP and Rack: `X_User` becomes the same
//! variable, and some servers treat every character that is no letter or digit
//! like this. PHP does something similar with the names of cookies and of the
//! query's keys. So a name that the host keeps for itself is kept with its
//! aliases. Nothing here allocates.

/// Whether two names of headers are one name for some program.
pub fn are_header_aliases(one: &str, other: &str) -> bool {
    let one = one.bytes().map(header_byte);
    one.eq(other.bytes().map(header_byte))
}

/// Whether some program would take the name of a header for one that begins with
/// `beginning`.
pub fn begins_like_header(name: &str, beginning: &str) -> bool {
    let begun = name.as_bytes().get(..beginning.len());
    begun.is_some_and(|begun| {
        let begun = begun.iter().copied().map(header_byte);
        begun.eq(beginning.bytes().map(header_byte))
    })
}

/// Whether two names of cookies, or two keys of queries, decoded, are one name
/// for some program. Case counts.
pub fn are_variable_aliases(one: &[u8], other: &[u8]) -> bool {
    let one = one.trim_ascii_start().iter().map(variable_byte);
    one.eq(other.trim_ascii_start().iter().map(variable_byte))
}

const fn header_byte(byte: u8) -> u8 {
    match byte {
        b if b.is_ascii_alphanumeric() => b.to_ascii_lowercase(),
        _ => b'_',
    }
}

/// A `+` in a query is a space for readers of forms.
const fn variable_byte(byte: &u8) -> u8 {
    match *byte {
        b' ' | b'+' | b'.' | b'[' => b'_',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_one_whatever_joins_their_words() {
        for alias in ["x-user", "X-User", "x_user", "X.USER", "x!user"] {
            assert!(are_header_aliases("x-user", alias), "{alias}");
            assert!(are_header_aliases(alias, "X_User"), "{alias}");
        }
        for other in ["xuser", "x-users", "x-use", "y-user", "x--user", ""] {
            assert!(!are_header_aliases("x-user", other), "{other}");
        }
        assert!(begins_like_header("X_Openline.a", "x-openline-"));
        assert!(begins_like_header("x-openline_", "x-openline-"));
        for other in ["x-openline", "xopenline-a", "x-openlinea", ""] {
            assert!(!begins_like_header(other, "x-openline-"), "{other}");
        }
    }

    #[test]
    fn variables_are_one_where_php_says_so() {
        for alias in [
            "user_id", "user.id", "user id", "user+id", "user[id", " user_id",
        ] {
            assert!(
                are_variable_aliases(alias.as_bytes(), b"user_id"),
                "{alias}"
            );
        }
        for other in ["user-id", "User_id", "user_id_", "userid", "user_id ", ""] {
            assert!(
                !are_variable_aliases(other.as_bytes(), b"user_id"),
                "{other}"
            );
        }
        assert!(are_variable_aliases(b"..Host-a", b"__Host-a"));
    }
}
