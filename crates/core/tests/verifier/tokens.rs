//! Result tokens, and keys that come and go.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use serde_json::Value;
use watchword_core::fakes::SeededEntropy;
use watchword_core::keys::{KeyRing, SecretKey};
use watchword_core::memory::MemoryStore;
use watchword_core::{
    AppId, Channel, CheckError, Clock, Failure, Purpose, SendError, Store, Whose,
};

use crate::server::{NUMBER, Server, generous, guess, number, request};

/// Header and claims, if one of the keys made the signature.
fn verify(token: &str, jwks: &Value) -> Option<(Value, Value)> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let read = |part: &str| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    };
    let header = read(header)?;
    let keys = jwks["keys"].as_array()?;
    let key = keys.iter().find(|key| key["kid"] == header["kid"])?;
    let key = URL_SAFE_NO_PAD.decode(key["x"].as_str()?).ok()?;
    let key = VerifyingKey::from_bytes(&key.try_into().ok()?).ok()?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let signature = Signature::from_slice(&signature).ok()?;
    key.verify(signed.as_bytes(), &signature).ok()?;
    Some((header, read(claims)?))
}

#[tokio::test]
async fn an_approval_comes_with_a_token_that_the_published_keys_verify() {
    let server = Server::new();
    let mut asked = request(generous());
    asked.remember_me = true;
    let id = server.start(asked).await;
    server.clock.advance(Duration::from_secs(30));
    let approved = server.check(id, server.code(id)).await.unwrap();
    let token = server.verifier.vouch(&approved);
    let token = token.expose();
    let (header, claims) = verify(token, &server.keys.jwks()).expect("it verifies");
    assert_eq!(header["alg"], "EdDSA");
    assert_eq!(header["typ"], "verification+jwt");
    let app = AppId::default();
    let index = server.keys.recipient_index(&app, &number(NUMBER));
    let now = server.clock.now().as_secs();
    assert_eq!(
        claims,
        serde_json::json!({
            "iss": "https://otp.example.com", "aud": "default", "sub": index.to_string(),
            "vid": id.to_string(), "jti": id.to_string(), "purpose": "login",
            "amr": ["otp", "sms"], "channel": "sms", "iat": now, "exp": now + 600,
            "remember_me": true,
        })
    );
    let shown = format!("{claims} {token} {approved:?}");
    assert!(!shown.contains("4155550123"), "no recipient");
    assert!(!format!("{approved:?}").contains(token));
}

#[tokio::test]
async fn a_changed_token_verifies_with_no_key() {
    let server = Server::new();
    let id = server.start(request(generous())).await;
    let approved = server.check(id, server.code(id)).await.unwrap();
    let token = server.verifier.vouch(&approved);
    let (token, jwks) = (token.expose(), server.keys.jwks());
    assert!(verify(token, &jwks).is_some());
    for at in 0..token.len() {
        let mut changed = token.as_bytes().to_vec();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(verify(&changed, &jwks).is_none(), "character {at}");
    }
    let foreign = watchword_core::fakes::keys(2).jwks();
    assert!(verify(token, &foreign).is_none());
}

#[tokio::test]
async fn the_channel_in_the_token_is_the_one_that_the_code_came_over() {
    let server = Server::new();
    for (channel, methods) in [
        (Channel::Voice, serde_json::json!(["otp", "tel"])),
        (Channel::Whatsapp, serde_json::json!(["otp"])),
    ] {
        let mut asked = request(generous());
        asked.channels = vec![channel];
        let id = server.start(asked).await;
        let approved = server.check(id, server.code(id)).await.unwrap();
        let (_, claims) = verify(
            server.verifier.vouch(&approved).expose(),
            &server.keys.jwks(),
        )
        .unwrap();
        assert_eq!(claims["amr"], methods);
        assert_eq!(claims["channel"], channel.as_str());
    }
}

#[tokio::test]
async fn a_token_claims_no_channel_where_this_server_sent_nothing() {
    let server = Server::new();
    let mut asked = request(generous());
    (asked.to, asked.channels) = (None, Vec::new());
    let sent = server.verifier.start(asked).await.unwrap();
    let id = sent.overview.verification.id;
    let approved = server.check(id, sent.code).await.unwrap();
    let (_, claims) = verify(
        server.verifier.vouch(&approved).expose(),
        &server.keys.jwks(),
    )
    .unwrap();
    assert_eq!(claims["amr"], serde_json::json!(["otp"]));
    assert_eq!(claims.get("channel"), None);
}

fn secret(seed: u64) -> SecretKey {
    SecretKey::generate(&SeededEntropy::new(seed)).expect("seeded")
}

fn node(store: &Arc<MemoryStore>, keys: KeyRing, seed: u64) -> Arc<Server> {
    let store: Arc<dyn Store> = store.clone();
    Server::with(store, Arc::new(SeededEntropy::new(seed)), keys)
}

#[tokio::test]
async fn keys_rotate_between_a_start_and_its_check() {
    let store = Arc::new(MemoryStore::default());
    let before = node(&store, KeyRing::new(&secret(1), &[]), 7);
    let during = node(&store, KeyRing::new(&secret(2), &[secret(1)]), 8);
    let id = before.start(request(generous())).await;
    let overview = during.verifier.get(&AppId::default(), id).await.unwrap();
    assert_eq!(overview.unwrap().details.to, Some(number(NUMBER)));
    let wrong = during.check(id, before.wrong(id)).await;
    assert!(matches!(wrong, Err(CheckError::Incorrect { .. })));
    let mut by_recipient = guess(id, before.code(id));
    let purpose = Purpose::parse("login").unwrap();
    by_recipient.whose = Whose::Recipient(number(NUMBER), purpose);
    let approved = during.verifier.check(by_recipient).await.unwrap();
    let token = during.verifier.vouch(&approved);
    let token = token.expose();
    assert!(verify(token, &during.keys.jwks()).is_some());
    assert!(
        verify(token, &before.keys.jwks()).is_none(),
        "the new key signs"
    );
    // A node that has not heard of the new key meanwhile counts in the same place.
    let id = during.start(request(generous())).await;
    let superseding = before.start(request(generous())).await;
    let dead = during.check(id, during.code(id)).await;
    assert!(matches!(dead, Err(CheckError::NotFound)), "{dead:?}");
    assert!(
        during
            .check(superseding, before.code(superseding))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_resend_after_a_rotation_needs_the_old_key_no_more() {
    let store = Arc::new(MemoryStore::default());
    let before = node(&store, KeyRing::new(&secret(1), &[]), 7);
    let during = node(&store, KeyRing::new(&secret(2), &[secret(1)]), 8);
    let after = node(&store, KeyRing::new(&secret(2), &[]), 9);
    let id = before.start(request(generous())).await;
    let old = before.code(id);
    let unreadable = after.resend(id).await;
    let Err(SendError::Failure(Failure::Sealed(_))) = unreadable else {
        panic!("{unreadable:?}");
    };
    let wrong = after.check(id, old).await;
    assert!(matches!(wrong, Err(CheckError::Incorrect { .. })));
    during.resend(id).await.unwrap();
    assert!(after.check(id, during.code(id)).await.is_ok());
}
