use super::*;
use crate::secret::Secret;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const STATUS: &str = r#"{"object":"whatsapp_business_account","entry":[{"id":"102290129340398","changes":[{"value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550783881","phone_number_id":"106540352242922"},"statuses":[{"id":"wamid.TEST","status":"delivered","timestamp":"1750030073","recipient_id":"16505551234"}]},"field":"messages"}]}]}"#;
const ESCAPED: &str = r#"{"entry":[{"changes":[{"field":"messages","value":{"name":"\u00e4\u00f6\u00e5"}}]}],"object":"whatsapp_business_account"}"#;

fn proven(secrets: &str, header: &str, body: &str) -> bool {
    let secrets = Secret::new(secrets.to_owned());
    let secrets = Proofs::read("app_secret", &secrets).unwrap();
    is_proven(&secrets, header, body.as_bytes())
}

#[test]
fn the_published_signatures_are_right() {
    for (secret, body, signature) in [
        (
            SECRET,
            STATUS,
            "a72fab0db9d83562f2f40017c800686ee8e0701fa517c58177f0dbe4347a4661",
        ),
        // Meta escapes what is not ASCII, and signs that.
        (
            "app_secret",
            ESCAPED,
            "eb0e98e0cffb6b1c1297522a94fe7697858d905858f05d1c662f7294a4d5c75a",
        ),
        (
            "secret",
            "test",
            "0329a06b62cd16b33eb6792be8c60b158d89a2ee3a876fce9a881ebb488c0914",
        ),
    ] {
        let header = format!("sha256={signature}");
        assert!(proven(secret, &header, body));
        let upper = format!("sha256={}", signature.to_ascii_uppercase());
        assert!(proven(secret, &upper, body));
        assert!(proven(&format!("other {secret}"), &header, body));
        assert!(!proven("other", &header, body));
        assert!(!proven(secret, &header, &format!("{body} ")));
        for wrong in [
            "",
            "sha256=",
            signature,
            &format!("sha1={signature}"),
            &format!("SHA256={signature}"),
            &format!("sha256={signature}0"),
            &format!("sha256= {signature}"),
            &format!("sha256={}", &signature[..62]),
            &format!("sha256={}+1", &signature[..62]),
            &format!("sha256={}é", &signature[..62]),
            &format!("sha256={}", "0".repeat(64)),
        ] {
            assert!(!proven(secret, wrong, body), "{wrong}");
        }
    }
}

/// GitHub signs the same way, and its secret has spaces in it.
#[test]
fn the_vector_that_github_publishes_is_right() {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"It's a Secret to Everybody").unwrap();
    mac.update(b"Hello, World!");
    let published = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert!(mac.verify_slice(&digest(published).unwrap()).is_ok());
}
