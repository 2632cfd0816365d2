//! The vectors are those of Twilio's libraries, and of its page "Webhooks security".

use super::*;
use crate::secret::Secret;

const BASE: &str = "https://mycompany.com/myapp.php";
const CALL: &str = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";
const JSON: &str = r#"{"property": "value", "boolean": true}"#;
const DIGEST: &str = "bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";

fn tokens(text: &str) -> Proofs {
    Proofs::read("auth_token", &Secret::new(text.to_owned())).unwrap()
}

fn proven(base: &str, query: Option<&str>, body: &str, signature: &str) -> bool {
    let signed = Signed {
        base: &base.parse().unwrap(),
        query,
        body: body.as_bytes(),
    };
    signed.is_proven(&tokens("12345"), signature)
}

#[test]
fn the_published_signatures_are_right() {
    let query = Some("foo=1&bar=2");
    let json = format!("foo=1&bar=2&{DIGEST}");
    let own = format!(
        "AccountSid=AC{a}&ApiVersion=2010-04-01&From=%2B14155552345&MessageSid=SM{a}\
         &MessageStatus=delivered&SmsSid=SM{a}&SmsStatus=delivered&To=%2B14155550100",
        a = "a".repeat(32)
    );
    let plain = "https://otp.example.com/v1/callbacks/twilio/main";
    for (base, query, body, signature) in [
        (BASE, query, CALL, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        // Signed with the port, or without, or with the one that only Twilio sees.
        (BASE, query, CALL, "kvajT1Ptam85bY51eRf/AJRuM3w="),
        (
            "https://mycompany.com:443/myapp.php",
            query,
            CALL,
            "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        ),
        (
            "http://mycompany.com/myapp.php",
            query,
            CALL,
            "0ZXoZLH/DfblKGATFgpif+LLRf4=",
        ),
        (
            "http://mycompany.com:80/myapp.php",
            query,
            CALL,
            "0ZXoZLH/DfblKGATFgpif+LLRf4=",
        ),
        // Sorted, and each value once.
        (
            BASE,
            query,
            "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234",
            "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
        ),
        (
            BASE,
            query,
            "Digits=1234&Digits=5678&SidAccount=AC123&Sid=CA123",
            "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
        ),
        (
            BASE,
            query,
            "To=%2B18005551212&Digits=1234&From=%2B12349013030&Caller=%2B12349013030\
             &CallSid=CA1234567890ABCDE",
            "0/KCTR6DLpKmkAf8muzZqo1nDgQ=",
        ),
        (BASE, Some(&*json), JSON, "a9nBmqA0ju/hNViExpshrM61xv4="),
        (BASE, Some(DIGEST), JSON, "y77kIzt2vzLz71DgmJGsen2scGs="),
        (plain, Some("m=01J"), &own, "4Wos7pbUhoowsZC+ArNdE4qpYEs="),
    ] {
        assert!(proven(base, query, body, signature), "{signature}");
        // Another host, scheme, path, port or query is another signature.
        for other in [
            base.replace(".com", ".net"),
            base.replace("http", "ws").replace("wss", "http"),
            format!("{base}/"),
            base.replace(".com:", ".net:"),
        ] {
            if other != base {
                assert!(!proven(&other, query, body, signature), "{other}");
            }
        }
        assert!(!proven(base, None, body, signature));
        assert!(!proven(base, query, &format!("{body}&a"), signature));
    }
}

#[test]
fn a_port_that_is_not_the_usual_one_is_signed_or_left_out() {
    // HMAC-SHA1("12345", "https://mycompany.com:8443/myapp.php?foo=1&bar=2…") was made apart.
    for signature in [
        "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        &signature("https://mycompany.com:8443/myapp.php?foo=1&bar=2"),
    ] {
        let base = "https://mycompany.com:8443/myapp.php";
        assert!(proven(base, Some("foo=1&bar=2"), CALL, signature));
    }
    let other = signature("https://mycompany.com:444/myapp.php?foo=1&bar=2");
    assert!(!proven(BASE, Some("foo=1&bar=2"), CALL, &other));
}

/// What Twilio would sign for this address and the fields of [`CALL`].
fn signature(address: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(b"12345").unwrap();
    mac.update(address.as_bytes());
    mac.update(b"CallSidCA1234567890ABCDECaller+14158675309Digits1234");
    mac.update(b"From+14158675309To+18005551212");
    STANDARD.encode(mac.finalize().into_bytes())
}

#[test]
fn a_query_that_is_spelled_in_another_way_is_still_the_same() {
    for (came, signed) in [
        ("a=it's&b=x", "a=it's&b=x"),
        ("a=it's&b=x", "a=it%27s&b=x"),
        ("a=it%27s&b=x", "a=it's&b=x"),
        ("a=x%20y", "a=x%20y"),
        ("a=x+y", "a=x%20y"),
        ("a=%c3%a9", "a=%C3%A9"),
    ] {
        let signature = signature(&format!("{BASE}?{signed}"));
        assert!(
            proven(BASE, Some(came), CALL, &signature),
            "{came} {signed}"
        );
    }
    for (came, signed) in [
        ("a=1&b=2", "b=2&a=1"),
        ("a=1&b=2", "a=1%26b=2"),
        ("a=1", "a=1&a=1"),
    ] {
        let signature = signature(&format!("{BASE}?{signed}"));
        assert!(
            !proven(BASE, Some(came), CALL, &signature),
            "{came} {signed}"
        );
    }
}

#[test]
fn either_of_two_tokens_proves_and_a_third_does_not() {
    let signed = Signed {
        base: &BASE.parse().unwrap(),
        query: Some("foo=1&bar=2"),
        body: CALL.as_bytes(),
    };
    for (given, proves) in [
        ("12345", true),
        ("12345 67890", true),
        ("67890 12345", true),
        ("67890", false),
        ("1234", false),
        ("12345x 67890", false),
    ] {
        let proven = signed.is_proven(&tokens(given), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
        assert_eq!(proven, proves, "{given}");
    }
}

#[test]
fn base64_is_read_strictly() {
    let right = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
    let query = Some("foo=1&bar=2");
    for wrong in [
        "",
        "=",
        "RSOYDt4T1cUTdK1PDd93/VVr8B8",
        "RSOYDt4T1cUTdK1PDd93/VVr8B8==",
        "RSOYDt4T1cUTdK1PDd93_VVr8B8=",
        " RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        "RSOYDt4T1cUTdK1PDd93/VVr8B8=\n",
        // The same bytes in a spelling with stray bits.
        "RSOYDt4T1cUTdK1PDd93/VVr8B9=",
        "RSOYDt4T1cUTdK1PDd93/VVr",
    ] {
        assert!(!proven(BASE, query, CALL, wrong), "{wrong}");
    }
    assert!(proven(BASE, query, CALL, right));
}

#[test]
fn a_body_that_is_no_form_is_vouched_for_by_its_digest_alone() {
    let form = signature(&format!("{BASE}?foo=1&bar=2"));
    assert!(!proven(BASE, Some("foo=1&bar=2"), JSON, &form));
    let right = "y77kIzt2vzLz71DgmJGsen2scGs=";
    for body in ["", "{}", &JSON.replace("true", "TRUE"), &format!("{JSON} ")] {
        assert!(!proven(BASE, Some(DIGEST), body, right), "{body}");
    }
    let upper = DIGEST.to_ascii_uppercase().replace("BODY", "body");
    for query in [
        format!("{DIGEST}&{DIGEST}"),
        upper,
        "bodySHA256=".to_owned(),
    ] {
        let mut mac = Hmac::<Sha1>::new_from_slice(b"12345").unwrap();
        mac.update(format!("{BASE}?{query}").as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        assert!(!proven(BASE, Some(&query), JSON, &signature), "{query}");
    }
}
