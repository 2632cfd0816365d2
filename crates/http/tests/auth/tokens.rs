//! Access tokens: what is in them, and that their signature is that of the published key.

use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Value, json};

use crate::world::{EMAIL, MOBILE, World, claims};

async fn login(world: &World, remember_me: bool) -> Value {
    world.request_otp(MOBILE, remember_me).await;
    let verified = world.verify(MOBILE, &world.code()).await;
    assert_eq!(verified.status, 200, "{}", verified.text);
    verified.body
}

#[tokio::test]
async fn a_token_names_the_account_and_neither_address_nor_number() {
    let world = World::new();
    let account = world.account(EMAIL, MOBILE).await.body;
    let registered = claims(&account["access_token"]);
    assert_eq!(
        registered,
        json!({
            "iss": "https://otp.example", "aud": "default", "sub": account["id"],
            "amr": ["otp", "sms"], "iat": 1_790_000_000_u64, "exp": 1_790_001_800_u64,
            "jti": registered["jti"],
        })
    );
    let body = login(&world, false).await;
    let logged_in = claims(&body["access_token"]);
    assert_eq!(logged_in["sub"], account["id"]);
    assert_eq!(logged_in["amr"], json!(["otp"]));
    assert_ne!(logged_in["jti"], registered["jti"]);
}

#[tokio::test]
async fn who_has_no_account_is_named_alike_at_every_login_and_unlike_anybody() {
    let world = World::new();
    let one = claims(&login(&world, false).await["access_token"]);
    let again = claims(&login(&world, false).await["access_token"]);
    assert_eq!(one["sub"], again["sub"]);
    assert!(!one.to_string().contains("5550123"));
    let elsewhere = world.from("198.51.100.1");
    elsewhere.request_otp("4155550124", false).await;
    let other = elsewhere.verify("4155550124", &world.code()).await;
    assert_ne!(claims(&other.body["access_token"])["sub"], one["sub"]);
}

#[tokio::test]
async fn to_be_remembered_makes_the_token_good_for_thirty_days() {
    let world = World::new();
    for (remember_me, seconds) in [(false, 1800_u64), (true, 2_592_000)] {
        let body = login(&world, remember_me).await;
        assert_eq!(body["expires_in"], seconds);
        assert_eq!(body["remember_me"], remember_me);
        let claims = claims(&body["access_token"]);
        let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert_eq!(life, seconds);
    }
}

#[tokio::test]
async fn the_published_key_verifies_a_token_whose_type_is_its_own() {
    let world = World::new();
    let body = login(&world, false).await;
    let token = body["access_token"].as_str().unwrap();
    let request = Request::get("/.well-known/jwks.json").body(Body::empty());
    let jwks = world.request(request.unwrap()).await.body;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let header: Value = serde_json::from_slice(&decode(token.split('.').next().unwrap())).unwrap();
    assert_eq!(header["typ"], "at+jwt");
    assert_eq!(header["alg"], "EdDSA");
    let keys = jwks["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == header["kid"]).unwrap();
    let key: [u8; 32] = decode(key["x"].as_str().unwrap()).try_into().unwrap();
    let key = VerifyingKey::from_bytes(&key).unwrap();
    let signature = Signature::from_slice(&decode(signature)).unwrap();
    assert!(key.verify_strict(signed.as_bytes(), &signature).is_ok());
    let forged = signed.replacen('.', ".A", 1);
    assert!(key.verify_strict(forged.as_bytes(), &signature).is_err());
}
