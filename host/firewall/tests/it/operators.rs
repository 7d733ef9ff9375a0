//! Each operator with a value, an empty one, none and several; how criteria are
//! joined.

use openline_firewall::request::{Certificate, Tls, Verification};
use serde_json::json;

use crate::support::{Asked, decided, denying, holds};

/// The operators with an argument, and for which values each holds. Its
/// opposite holds for exactly the others.
const RELATIONS: [(&str, &str, &str); 6] = [
    ("is_equal", "is_not_equal", "abc"),
    ("starts_with", "does_not_start_with", "ab"),
    ("ends_with", "does_not_end_with", "bc"),
    ("contains", "does_not_contain", "b"),
    ("matches", "does_not_match", "^a.c$"),
    ("matches_glob", "does_not_match_glob", "a*c"),
];

fn with(values: &[&str]) -> Asked {
    let mut asked = Asked::default();
    for value in values {
        asked = asked.header("x-v", value.as_bytes());
    }
    asked
}

#[test]
fn a_relation_holds_or_its_opposite_and_the_lines_of_a_header_are_one_value() {
    for (is, is_not, argument) in RELATIONS {
        for (values, expected) in [
            (&["abc"][..], true),
            (&["xyz"], false),
            (&["ABC"], false),
            (&[""], false),
            (&[], false),
            (&["xyz", ""], false),
        ] {
            let asked = with(values);
            let text = format!("'http_x_v {is} {argument}'");
            assert_eq!(holds(&text, &asked), expected, "{is} {values:?}");
            let text = format!("'http_x_v {is_not} {argument}'");
            assert_eq!(holds(&text, &asked), !expected, "{is_not} {values:?}");
        }
    }
}

#[test]
fn several_lines_of_a_header_are_one_value() {
    for (criterion, values, expected) in [
        ("is_equal user", &["admin", "user"][..], false),
        ("is_not_equal user", &["admin", "user"], true),
        ("is_not_equal user", &["user", "user"], true),
        ("is_equal admin, user", &["admin", "user"], true),
        ("ends_with n,", &["admin", ""], false),
        ("does_not_match ^[0-9]+$", &["1", "evil"], true),
        ("contains evil", &["1", "evil", "2"], true),
        ("starts_with 1, e", &["1", "evil"], true),
        ("exists", &["", ""], true),
    ] {
        let text = format!("'http_x_v {criterion}'");
        assert_eq!(holds(&text, &with(values)), expected, "{criterion}");
    }
    let cookies = Asked::default()
        .header("cookie", b"a=1")
        .header("cookie", b"b=2");
    assert!(holds("'http_cookie is_equal a=1; b=2'", &cookies));
}

/// No choice of one of them is safe: a rule may allow or deny, and a function
/// may take another one.
#[test]
fn a_repeated_key_or_cookie_that_a_criterion_compares_is_refused() {
    let compared =
        |criterion: &str, asked: &Asked| decided(&denying(&format!("'{criterion}'")), asked);
    for query in [
        "id='or'1&id=1",
        "id=1&id=1",
        "id=1&ID=2",
        "id=1&%69d=2",
        "id&id=1",
    ] {
        let asked = Asked::at(&format!("/?{query}"));
        for criterion in [
            "arg_id does_not_match ^[0-9]+$",
            "arg_id matches ^[0-9]+$",
            "arg_id is_equal 1",
            "arg_id is_not_equal 1",
            "arg_id does_not_contain evil",
        ] {
            assert_eq!(
                compared(criterion, &asked),
                "refuse: `arg_id` occurs more than once by f/r",
                "{criterion} {query}"
            );
        }
        assert_ne!(compared("arg_id exists", &asked), "pass", "{query}");
        assert_eq!(compared("arg_id does_not_exist", &asked), "pass");
        // No criterion compares this one.
        assert_eq!(compared("arg_other is_equal 1", &asked), "pass");
        // Nor does one that is not reached.
        let firewalls = denying("'arg_other exists', 'and arg_id is_equal 1'");
        assert_eq!(decided(&firewalls, &asked), "pass");
    }
    let one_line = Asked::default().header("cookie", b"role=admin; role=user");
    let lines = Asked::default()
        .header("cookie", b"role=admin")
        .header("cookie", b"a=b; Role=user");
    for asked in [one_line, lines] {
        for criterion in ["cookie_role is_not_equal user", "cookie_role is_equal user"] {
            let refused = "refuse: `cookie_role` occurs more than once by f/r";
            assert_eq!(compared(criterion, &asked), refused);
        }
        assert_ne!(compared("cookie_role exists", &asked), "pass");
    }
}

#[test]
fn a_missing_value_reads_as_the_empty_text_but_does_not_exist() {
    for (criterion, missing, empty) in [
        ("http_x_v is_equal \"\"", true, true),
        ("http_x_v is_not_equal \"\"", false, false),
        ("http_x_v matches ^$", true, true),
        ("http_x_v matches .*", true, true),
        ("http_x_v matches_glob *", true, true),
        ("http_x_v does_not_match .", true, true),
        ("http_x_v exists", false, true),
        ("http_x_v does_not_exist", true, false),
        ("arg_v is_equal \"\"", true, true),
        ("cookie_v is_equal \"\"", true, true),
        ("claim_v is_equal \"\"", true, true),
        ("ssl_client_s_dn is_equal \"\"", true, true),
        ("host does_not_exist", true, true),
    ] {
        let text = format!("'{criterion}'");
        assert_eq!(holds(&text, &with(&[])), missing, "{criterion}, missing");
        assert_eq!(holds(&text, &with(&[""])), empty, "{criterion}, empty");
    }
    // A table can have the empty argument, too.
    let table = "{ variable = \"http_x_v\", operator = \"is_equal\", argument = \"\" }";
    assert!(holds(table, &with(&[])) && !holds(table, &with(&["a"])));
}

#[test]
fn lists_of_texts_have_no_empty_entry() {
    let in_list = |operator: &str, values: &[&str]| {
        let text = format!(
            "[[list]]\nname = \"l\"\ntype = \"texts\"\nitems = [\"abc\", \"d e\"]\n[[firewall]]\nname = \"f\"\n[[firewall.rule]]\nname = \"r\"\ncriteria = [\"http_x_v {operator} l\"]\nbehaviors = [\"deny\"]"
        );
        crate::support::decided(&crate::support::firewalls(&text), &with(values)) != "pass"
    };
    for (values, expected) in [
        (&["abc"][..], true),
        (&["x", "d e"], false),
        (&["ab"], false),
        (&[""], false),
        (&[], false),
    ] {
        assert_eq!(in_list("is_in_list", values), expected, "{values:?}");
        assert_eq!(in_list("is_not_in_list", values), !expected, "{values:?}");
    }
}

#[test]
fn an_address_is_one_in_every_spelling() {
    for (criterion, peer, expected) in [
        ("remote_addr is_equal 192.0.2.7", "192.0.2.7", true),
        ("remote_addr is_equal 192.0.2.7", "::ffff:192.0.2.7", true),
        ("remote_addr is_equal ::ffff:192.0.2.7", "192.0.2.7", true),
        (
            "remote_addr is_equal ::ffff:192.0.2.0/120",
            "192.0.2.7",
            true,
        ),
        (
            "remote_addr is_not_equal 192.0.2.7",
            "::ffff:192.0.2.7",
            false,
        ),
        ("remote_addr is_equal 192.0.2.0/24", "192.0.2.255", true),
        ("remote_addr is_equal 192.0.2.0/24", "192.0.3.0", false),
        ("network is_equal 2001:db8::/32", "2001:db8:ffff::1", true),
        ("network is_equal 2001:DB8:0::1", "2001:db8::1", true),
        ("network is_equal 0.0.0.0/0", "::1", false),
        (
            "${remote_addr} starts_with 192.0.",
            "::ffff:192.0.2.7",
            true,
        ),
        ("remote_addr matches ^2001:db8::", "2001:0db8:0::7", true),
        ("remote_addr exists", "::1", true),
        ("remote_port is_equal 40000", "::1", true),
        ("remote_port starts_with 40", "::1", true),
    ] {
        let asked = Asked::default().from(peer);
        assert_eq!(
            holds(&format!("'{criterion}'"), &asked),
            expected,
            "{criterion} {peer}"
        );
    }
}

#[test]
fn keys_of_the_query_are_decoded() {
    for (criterion, query, expected) in [
        ("arg_role is_equal admin", "role=%61dmin", true),
        ("arg_role is_equal admin", "r%6fle=admin", true),
        ("arg_role is_equal admin", "ROLE=admin", true),
        ("arg_role is_equal admin", "roles=admin&xrole=admin", false),
        ("arg_role is_equal a b", "role=a+b", true),
        ("arg_role is_equal a+b", "role=a%2Bb", true),
        ("arg_role exists", "role", true),
        ("arg_role exists", "x=role", false),
        ("arg_role matches ^a.*z$", "role=a%0Az", true),
        // Not UTF-8, and not hidden by that.
        ("arg_role contains admin", "role=%FFadmin", true),
        ("arg_role matches ^.*admin", "role=%FFadmin", true),
        ("args is_equal a=%61", "a=%61", true),
        ("request_args contains a=1", "b&a=1", true),
    ] {
        let asked = Asked::at(&format!("/?{query}"));
        assert_eq!(
            holds(&format!("'{criterion}'"), &asked),
            expected,
            "{criterion} {query}"
        );
    }
}

#[test]
fn cookies_are_found_in_every_header_and_among_others() {
    let asked = Asked::default()
        .header("cookie", b"a=1; c_role=user ;b=")
        .header("cookie", b"x; role=admin;sid=\xff7");
    for (criterion, expected) in [
        ("cookie_role is_equal admin", true),
        ("cookie_Role is_equal admin", true),
        ("cookie_role is_not_equal admin", false),
        ("cookie_x exists", false),
        ("cookie_b exists", true),
        ("cookie_sid ends_with 7", true),
        ("cookie_c exists", false),
        ("header_cookie contains role=admin", true),
    ] {
        assert_eq!(
            holds(&format!("'{criterion}'"), &asked),
            expected,
            "{criterion}"
        );
    }
}

#[test]
fn headers_have_short_names_and_azion_s() {
    let asked = Asked::default()
        .header("user-agent", b"curl/8")
        .header("origin", b"https://example.org")
        .header("x-odd", b"\xffadmin");
    for (criterion, expected) in [
        ("user_agent starts_with curl", true),
        ("http_user_agent starts_with curl", true),
        ("${header_user_agent} starts_with curl", true),
        ("http_user-agent starts_with curl", true),
        ("origin is_equal https://example.org", true),
        ("http_x_odd matches ^.admin", false),
        ("http_x_odd matches ^.*admin", true),
        ("http_x_odd ends_with admin", true),
    ] {
        assert_eq!(
            holds(&format!("'{criterion}'"), &asked),
            expected,
            "{criterion}"
        );
    }
}

#[test]
fn method_scheme_host_and_path() {
    let mut asked = Asked::at("/Admin/x");
    asked.host = Some("chat.example.org".into());
    for (criterion, expected) in [
        ("request_method is_equal GET", true),
        ("request_method is_equal get", false),
        ("scheme is_equal https", true),
        // Hosts are compared in lower case.
        ("host is_equal Chat.Example.ORG", true),
        ("host ends_with .EXAMPLE.org", true),
        ("host matches_glob *.EXAMPLE.org", true),
        ("uri starts_with /Admin", true),
        ("uri starts_with /admin", false),
        ("request_uri matches (?i)^/admin(/|$)", true),
    ] {
        assert_eq!(
            holds(&format!("'{criterion}'"), &asked),
            expected,
            "{criterion}"
        );
    }
}

#[test]
fn certificates_and_the_result_of_their_check() {
    let tls = |verification, client| Tls {
        protocol: "TLSv1.3",
        server_name: Some("a.example.org"),
        verification,
        client,
    };
    let certificate = Certificate {
        subject: "CN=ann",
        issuer: "CN=root",
        serial: "0a",
        fingerprint: "ff",
    };
    let of = |tls| Asked {
        tls,
        ..Asked::default()
    };
    let valid = of(Some(tls(Verification::Success, Some(certificate))));
    let none = of(Some(tls(Verification::Missing, None)));
    let failed = of(Some(tls(Verification::Failed, None)));
    let plain = of(None);
    for (criterion, expected) in [
        (
            "ssl_client_verify is_equal SUCCESS",
            [true, false, false, false],
        ),
        (
            "ssl_client_verify is_equal NONE",
            [false, true, false, false],
        ),
        (
            "ssl_client_verify is_not_equal SUCCESS",
            [false, true, true, true],
        ),
        ("ssl_client_verify exists", [true, true, true, false]),
        (
            "ssl_verification_status is_equal MISSING_CLIENT_CERTIFICATE",
            [false, true, false, false],
        ),
        (
            "ssl_verification_status is_equal CERTIFICATE_VERIFICATION_ERROR",
            [false, false, true, false],
        ),
        (
            "ssl_client_s_dn is_equal CN=ann",
            [true, false, false, false],
        ),
        (
            "ssl_client_i_dn is_equal CN=root",
            [true, false, false, false],
        ),
        ("ssl_client_serial is_equal 0a", [true, false, false, false]),
        ("ssl_client_fingerprint exists", [true, false, false, false]),
        ("ssl_protocol is_equal TLSv1.3", [true, true, true, false]),
        (
            "ssl_server_name is_equal A.example.org",
            [true, true, true, false],
        ),
    ] {
        let found = [&valid, &none, &failed, &plain];
        let found = found.map(|asked| holds(&format!("'{criterion}'"), asked));
        assert_eq!(found, expected, "{criterion}");
    }
}

#[test]
fn claims_of_every_type() {
    let claims = json!({
        "sub": "ann", "n": 7, "ok": true, "none": null, "roles": ["a", "b"], "empty": [],
        "realm": {"roles": ["c"]}, "a.b": "dotted", "https://example.org/x": "space",
    });
    let asked = Asked {
        claims: claims.as_object().cloned(),
        ..Asked::default()
    };
    for (criterion, expected) in [
        ("claim_sub is_equal ann", true),
        ("claim_n is_equal 7", true),
        ("claim_ok is_equal true", true),
        ("claim_none exists", false),
        ("claim_roles is_equal b", true),
        ("claim_roles is_not_equal b", false),
        ("claim_empty exists", false),
        ("claim_realm.roles is_equal c", true),
        ("claim_a.b is_equal dotted", true),
        ("claim_https://example.org/x is_equal space", true),
        ("claim_sub.x exists", false),
        ("claim_SUB exists", false),
    ] {
        assert_eq!(
            holds(&format!("'{criterion}'"), &asked),
            expected,
            "{criterion}"
        );
    }
}

#[test]
fn and_binds_tighter_than_or_and_groups_bind_tightest() {
    // A letter holds if the query has it.
    let holds_for =
        |criteria: &str, query: &str| holds(criteria, &Asked::at(&format!("/?{query}")));
    for (criteria, expected) in [
        // Rows: none, a, b, c, ab, ac, bc, abc.
        (
            "'arg_a exists', 'or arg_b exists', 'and arg_c exists'",
            [0, 1, 0, 0, 1, 1, 1, 1],
        ),
        (
            "'arg_a exists', 'and arg_b exists', 'or arg_c exists'",
            [0, 0, 0, 1, 1, 1, 1, 1],
        ),
        (
            "['arg_a exists', 'or arg_b exists'], 'and arg_c exists'",
            [0, 0, 0, 0, 0, 1, 1, 1],
        ),
        (
            "'arg_c exists', ['and arg_a exists', 'or arg_b exists']",
            [0, 0, 0, 0, 0, 1, 1, 1],
        ),
        (
            "['if arg_a exists', 'and arg_b exists'], ['or arg_c exists']",
            [0, 0, 0, 1, 1, 1, 1, 1],
        ),
        (
            "'arg_a exists', ['or arg_b exists', ['and arg_c exists', 'or arg_a exists']]",
            [0, 1, 0, 0, 1, 1, 1, 1],
        ),
        (
            "'if arg_a exists', 'arg_b exists'",
            [0, 0, 0, 0, 1, 0, 0, 1],
        ),
    ] {
        let queries = ["", "a", "b", "c", "a&b", "a&c", "b&c", "a&b&c"];
        let found = queries.map(|query| i32::from(holds_for(criteria, query)));
        assert_eq!(found, expected, "{criteria}");
    }
}

#[test]
fn an_address_whose_owner_is_not_named_is_in_no_network_and_in_no_list() {
    for (criterion, expected) in [
        ("remote_addr is_equal 192.0.2.0/24", false),
        ("remote_addr is_not_equal 192.0.2.0/24", true),
        ("remote_addr starts_with 192.", false),
        ("remote_addr exists", false),
        ("remote_addr does_not_exist", true),
        ("remote_addr is_equal 192.0.2.7", false),
    ] {
        let asked = Asked {
            peer: "192.0.2.7".into(),
            is_unnamed: true,
            ..Asked::default()
        };
        assert_eq!(
            holds(&format!("'{criterion}'"), &asked),
            expected,
            "{criterion}"
        );
    }
}

/// HTTP/2 has the host in the target, and `Host` has several spellings.
#[test]
fn the_host_header_is_the_host_of_the_request() {
    let mut asked = Asked::default().header("host", b"INTRANET.example.:8080");
    asked.host = Some("intranet.example".into());
    for variable in ["http_host", "header_host", "host"] {
        let criterion = format!("'{variable} is_equal Intranet.example'");
        assert!(holds(&criterion, &asked), "{variable}");
    }
}

#[test]
fn quotes_around_a_cookie_are_no_part_of_it() {
    for sent in [
        &b"role=guest"[..],
        b"role=\"guest\"",
        b"a=1; role=\"guest\" ; b",
    ] {
        let asked = Asked::default().header("cookie", sent);
        assert!(holds("'cookie_role is_equal guest'", &asked), "{sent:?}");
    }
    let odd = Asked::default().header("cookie", b"role=\"guest");
    assert!(!holds("'cookie_role is_equal guest'", &odd));
}
