//! Signatures: AWS's published test suite for version 4, requests as botocore
//! sends them, and what a peer could change.

use proptest::prelude::*;

use super::*;

const SECRET: &[u8] = b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW_S: u64 = 1_440_938_160;
const DATE: (&str, &str) = ("x-amz-date", "20150830T123600Z");
const HOST: (&str, &str) = ("host", "example.amazonaws.com");

fn authorization(headers: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders={headers}, Signature={signature}"
    )
}

const GET: SignedRequest<'_> = SignedRequest {
    method: "GET",
    path: "/",
    query: "",
    headers: &[HOST, DATE],
    body: b"",
};

/// Verifies a case of the published suite.
fn verify_case(name: &str, request: SignedRequest<'_>, headers: &str, signature: &str) {
    let header = authorization(headers, signature);
    let read = Authorization::read(&header).unwrap();
    assert_eq!(read.access_key(), "AKIDEXAMPLE");
    let verified = read.verify(&request, SECRET, "service", NOW_S);
    assert_eq!(verified, Ok(()), "{name}");
}

#[test]
fn paths_and_queries_of_the_published_suite() {
    let case = |name, request, signature| verify_case(name, request, "host;x-amz-date", signature);
    let signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    case("get-vanilla", GET, signature);
    let request = SignedRequest {
        query: "Param2=value2&Param1=value1",
        ..GET
    };
    let signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
    case("get-vanilla-query-order-key-case", request, signature);
    let request = SignedRequest {
        path: "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        ..GET
    };
    let signature = "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f";
    case("get-unreserved", request, signature);
    let request = SignedRequest {
        path: "/ሴ", ..GET
    };
    let signature = "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85";
    case("get-utf8", request, signature);
    let request = SignedRequest {
        method: "POST",
        ..GET
    };
    let signature = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
    case("post-vanilla", request, signature);
}

#[test]
fn headers_and_bodies_of_the_published_suite() {
    let of_headers = |headers| SignedRequest { headers, ..GET };
    let twice = [
        HOST,
        ("my-header1", "value2"),
        ("my-header1", "value2"),
        ("my-header1", "value1"),
        DATE,
    ];
    let signature = "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea";
    let names = "host;my-header1;x-amz-date";
    verify_case(
        "get-header-key-duplicate",
        of_headers(&twice),
        names,
        signature,
    );
    let spaced = [
        HOST,
        ("my-header1", " value1"),
        ("my-header2", " \"a   b   c\""),
        DATE,
    ];
    let signature = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736";
    let names = "host;my-header1;my-header2;x-amz-date";
    verify_case(
        "get-header-value-trim",
        of_headers(&spaced),
        names,
        signature,
    );
    let request = SignedRequest {
        method: "POST",
        headers: &[HOST, ("my-header1", "value1"), DATE],
        ..GET
    };
    let signature = "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c";
    verify_case(
        "post-header-key-sort",
        request,
        "host;my-header1;x-amz-date",
        signature,
    );
    let form = ("content-type", "application/x-www-form-urlencoded");
    let request = SignedRequest {
        method: "POST",
        headers: &[form, HOST, DATE],
        body: b"Param1=value1",
        ..GET
    };
    let signature = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
    let names = "content-type;host;x-amz-date";
    verify_case("post-x-www-form-urlencoded", request, names, signature);
}

/// What botocore 1.43 sends with `endpoint_url` `http://127.0.0.1:8080/prod`.
const BOTOCORE_HOST: (&str, &str) = ("host", "127.0.0.1:8080");

fn botocore(signature: &str) -> String {
    authorization("host;x-amz-date", signature).replace("/service/", "/execute-api/")
}

const POST: SignedRequest<'_> = SignedRequest {
    method: "POST",
    path: "/prod/@connections/L0SM9cOFvHcCIhw%3D",
    query: "",
    headers: &[BOTOCORE_HOST, DATE],
    body: b"hello",
};
const POST_SIGNATURE: &str = "963170a596cac703c06037affc8551a5e1510e62f101a97368d42eaaa1cee05f";

#[test]
fn requests_of_botocore() {
    let get = SignedRequest {
        method: "GET",
        path: "/prod/@connections/0123abc",
        body: b"",
        ..POST
    };
    let delete = SignedRequest {
        method: "DELETE",
        ..get
    };
    for (request, signature) in [
        (POST, POST_SIGNATURE),
        (
            get,
            "d45d18319336c7ac169949983aacb51a0b12853c67cc83d4291683ca344ccf8d",
        ),
        (
            delete,
            "4266489d81c26f453c913b12b137ee40310b37851d2545924bbea578e6bf1ae4",
        ),
    ] {
        let header = botocore(signature);
        let read = Authorization::read(&header).unwrap();
        assert_eq!(read.verify(&request, SECRET, SERVICE, NOW_S), Ok(()));
        // A proxy, or another SDK, may write the path in the other way.
        let path = request.path.replace('@', "%40");
        let other = SignedRequest {
            path: &path,
            ..request
        };
        let expected = if path.contains("%3D") {
            // Signed twice, it is another path than signed once.
            Err(SignatureError::Wrong)
        } else {
            Ok(())
        };
        assert_eq!(read.verify(&other, SECRET, SERVICE, NOW_S), expected);
    }
}

fn verify(request: &SignedRequest<'_>, secret: &[u8], now_s: u64) -> Result<(), SignatureError> {
    let header = botocore(POST_SIGNATURE);
    let read = Authorization::read(&header).unwrap();
    read.verify(request, secret, SERVICE, now_s)
}

#[test]
fn every_change_is_noticed() {
    for changed in [
        SignedRequest {
            method: "DELETE",
            ..POST
        },
        SignedRequest {
            path: "/prod/@connections/L0SM9cOFvHcCIhx%3D",
            ..POST
        },
        SignedRequest {
            path: "/@connections/L0SM9cOFvHcCIhw%3D",
            ..POST
        },
        SignedRequest {
            query: "a=b",
            ..POST
        },
        SignedRequest {
            body: b"hellp",
            ..POST
        },
        SignedRequest {
            headers: &[("host", "other"), DATE],
            ..POST
        },
        SignedRequest {
            headers: &[BOTOCORE_HOST, ("x-amz-date", "20150830T123601Z")],
            ..POST
        },
        SignedRequest {
            headers: &[BOTOCORE_HOST, BOTOCORE_HOST, DATE],
            ..POST
        },
    ] {
        assert_eq!(
            verify(&changed, SECRET, NOW_S),
            Err(SignatureError::Wrong),
            "{changed:?}"
        );
    }
    assert_eq!(verify(&POST, b"other", NOW_S), Err(SignatureError::Wrong));
    let headers = Err(SignatureError::Headers);
    for changed in [
        &[BOTOCORE_HOST][..],
        &[DATE],
        &[BOTOCORE_HOST, ("x-amz-date", "now")],
    ] {
        let changed = SignedRequest {
            headers: changed,
            ..POST
        };
        assert_eq!(verify(&changed, SECRET, NOW_S), headers);
    }
    // The day of the credential is that of the request.
    let header = botocore(POST_SIGNATURE).replace("/20150830/", "/20150831/");
    let read = Authorization::read(&header).unwrap();
    assert_eq!(read.verify(&POST, SECRET, SERVICE, NOW_S), headers);
    let read = Authorization::read(&header).unwrap();
    assert_eq!(
        read.verify(&POST, SECRET, "s3", NOW_S),
        Err(SignatureError::Service)
    );
}

#[test]
fn a_signature_is_good_for_five_minutes() {
    let expired = Err(SignatureError::Expired);
    assert_eq!(verify(&POST, SECRET, NOW_S + WINDOW_S), Ok(()));
    assert_eq!(verify(&POST, SECRET, NOW_S + WINDOW_S + 1), expired);
    assert_eq!(verify(&POST, SECRET, NOW_S - WINDOW_S), Ok(()));
    assert_eq!(verify(&POST, SECRET, NOW_S - WINDOW_S - 1), expired);
    assert_eq!(verify(&POST, SECRET, u64::MAX), expired);
    assert_eq!(verify(&POST, SECRET, 0), expired);
    assert_eq!(SignatureError::Expired.failure().parts().0, 403);
}

#[test]
fn headers_of_other_forms_are_refused() {
    let good = botocore(POST_SIGNATURE);
    assert!(Authorization::read(&good).is_ok());
    assert!(Authorization::read(&good.replace(", ", ",")).is_ok());
    let names = |count: usize| {
        let names: Vec<_> = (0..count).map(|number| format!("{number:03}")).collect();
        good.replace("host;x-amz-date", &names.join(";"))
    };
    assert!(Authorization::read(&names(SIGNED_HEADERS_MAX)).is_ok());
    for bad in [
        String::new(),
        "Bearer abc".to_owned(),
        good.replace("HMAC-SHA256", "HMAC-SHA512"),
        good.replace("aws4_request", "aws5_request"),
        good.replace("aws4_request", "aws4_request/x"),
        good.replace("AKIDEXAMPLE", ""),
        good.replace("host;x-amz-date", "x-amz-date;host"),
        good.replace("host;x-amz-date", "host;host;x-amz-date"),
        good.replace("host", "Host"),
        good.replace("Signature=9631", "Signature=963G"),
        good.replace("Signature=9631", "Signature=963"),
        good.replace("Signature=9631", "Signature=963A"),
        format!("{good}, Signature={POST_SIGNATURE}"),
        format!("{good}, More=1"),
        names(SIGNED_HEADERS_MAX + 1),
        names(2).replace("AKID", &"A".repeat(5_000)),
    ] {
        assert_eq!(
            Authorization::read(&bad),
            Err(SignatureError::Malformed),
            "{bad}"
        );
    }
}

proptest! {
    #[test]
    fn any_header_is_read_or_refused(header in ".{0,200}", tail in ".{0,80}") {
        let _ = Authorization::read(&header);
        let _ = Authorization::read(&format!("AWS4-HMAC-SHA256 {tail}"));
    }
}
