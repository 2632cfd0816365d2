//! The published vectors of both signatures, and our own that were computed apart.

use super::*;

const TOKEN: &str = "12345";

fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn forms_of_twilio_are_signed_as_its_libraries_expect() {
    let call = fields(&[
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    ]);
    let mut backwards = call.clone();
    backwards.reverse();
    for (url, fields, signature) in [
        (
            "https://mycompany.com/myapp.php?foo=1&bar=2",
            call.clone(),
            "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        ),
        (
            "https://mycompany.com/myapp.php?foo=1&bar=2",
            backwards,
            "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        ),
        (
            "https://mycompany.com:443/myapp.php?foo=1&bar=2",
            call.clone(),
            "kvajT1Ptam85bY51eRf/AJRuM3w=",
        ),
        (
            "http://mycompany.com:80/myapp.php?foo=1&bar=2",
            call,
            "0ZXoZLH/DfblKGATFgpif+LLRf4=",
        ),
        (
            "https://mycompany.com/myapp.php?foo=1&bar=2",
            fields(&[
                ("Sid", "CA123"),
                ("SidAccount", "AC123"),
                ("Digits", "5678"),
                ("Digits", "1234"),
                ("Digits", "1234"),
            ]),
            "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
        ),
    ] {
        assert_eq!(twilio(TOKEN, url, &fields), signature, "{url}");
    }
    let (account, message) = (
        format!("AC{}", "a".repeat(32)),
        format!("SM{}", "a".repeat(32)),
    );
    let status = fields(&[
        ("AccountSid", &account),
        ("ApiVersion", "2010-04-01"),
        ("From", "+14155552345"),
        ("MessageSid", &message),
        ("MessageStatus", "delivered"),
        ("SmsSid", &message),
        ("SmsStatus", "delivered"),
        ("To", "+14155550100"),
    ]);
    let url = "https://otp.example.com/v1/callbacks/twilio/main?m=01J";
    assert_eq!(twilio(TOKEN, url, &status), "4Wos7pbUhoowsZC+ArNdE4qpYEs=");
}

#[test]
fn json_of_twilio_is_signed_by_an_address_that_holds_its_digest() {
    let body = br#"{"property": "value", "boolean": true}"#;
    let digest = "bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    for (url, signed, signature) in [
        (
            "https://mycompany.com/myapp.php?foo=1&bar=2",
            format!("https://mycompany.com/myapp.php?foo=1&bar=2&{digest}"),
            "a9nBmqA0ju/hNViExpshrM61xv4=",
        ),
        (
            "https://mycompany.com/myapp.php",
            format!("https://mycompany.com/myapp.php?{digest}"),
            "y77kIzt2vzLz71DgmJGsen2scGs=",
        ),
    ] {
        let with_digest = twilio_json_url(url, body);
        assert_eq!(with_digest, signed);
        assert_eq!(twilio(TOKEN, &with_digest, &[]), signature);
    }
}

#[test]
fn webhooks_of_meta_are_signed_over_their_bytes() {
    let status = concat!(
        r#"{"object":"whatsapp_business_account","entry":[{"id":"102290129340398","changes":[{"#,
        r#""value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550783881","#,
        r#""phone_number_id":"106540352242922"},"statuses":[{"id":"wamid.TEST","status":"delivered","#,
        r#""timestamp":"1750030073","recipient_id":"16505551234"}]},"field":"messages"}]}]}"#,
    );
    let escaped = concat!(
        r#"{"entry":[{"changes":[{"field":"messages","value":{"name":"\u00e4\u00f6\u00e5"}}]}],"#,
        r#""object":"whatsapp_business_account"}"#,
    );
    assert_eq!((status.len(), escaped.len()), (341, 121));
    for (secret, body, signature) in [
        (
            "0123456789abcdef0123456789abcdef",
            status,
            "sha256=a72fab0db9d83562f2f40017c800686ee8e0701fa517c58177f0dbe4347a4661",
        ),
        (
            "app_secret",
            escaped,
            "sha256=eb0e98e0cffb6b1c1297522a94fe7697858d905858f05d1c662f7294a4d5c75a",
        ),
        (
            "It's a Secret to Everybody",
            "Hello, World!",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        ),
    ] {
        assert_eq!(hub(secret, body.as_bytes()), signature);
    }
}
