//! Every answer that the documents list.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;
use watchword_core::account::{
    AccountId, AccountRecord, AccountStore, Announced, CreateOutcome, HashError, Identifier,
    Password, PasswordHash, PasswordHasher,
};
use watchword_core::keys::KeyId;
use watchword_core::{StoreError, Verdict};

use crate::world::{EMAIL, MOBILE, PASSWORD, Setting, World};

pub const TAKEN: &str = "An account with this email or mobile number already exists.";
pub const WRONG: &str = "Invalid or expired OTP. Please try again or request a new one.";
const UNABLE: &str = "Unable to send OTP at this moment. Please try again later.";

#[tokio::test]
async fn a_login_code_is_sent_over_whatsapp_and_verified_once() {
    let world = World::new();
    let sent = world.request_otp("+14155550123", true).await;
    sent.is(
        200,
        json!({ "message": "OTP sent successfully", "expires_in": 300 }),
    );
    let code = world.code();
    let body = json!({ "mobile_number": "+14155550123", "otp": code });
    let verified = world.post("verify-otp", body.clone()).await;
    let token = verified.body["access_token"].clone();
    verified.is(
        200,
        json!({
            "message": "OTP verified successfully", "access_token": token,
            "token_type": "bearer", "expires_in": 2_592_000, "remember_me": true,
        }),
    );
    world.post("verify-otp", body).await.says(400, WRONG);
}

#[tokio::test]
async fn a_registration_becomes_an_account_when_its_code_comes() {
    let world = World::new();
    let sent = world.register(EMAIL, MOBILE, PASSWORD).await;
    let message = "OTP sent to your mobile number for verification.";
    sent.is(202, json!({ "message": message }));
    let verified = world.verify(MOBILE, &world.code()).await;
    let (id, token) = (&verified.body["id"], &verified.body["access_token"]);
    assert_eq!(id.as_str().unwrap().len(), 36);
    verified.is(
        200,
        json!({
            "id": id, "email": EMAIL, "mobile": MOBILE, "is_active": true,
            "access_token": token, "token_type": "bearer", "expires_in": 1800,
        }),
    );
    // As it was said: the number may be written in either way.
    let world = World::new();
    world.register(EMAIL, "+1 415 555 0123", PASSWORD).await;
    let verified = world.verify("+14155550123", &world.code()).await;
    assert_eq!(verified.body["mobile"], "+14155550123");
}

#[tokio::test]
async fn a_registration_of_a_taken_number_or_address_is_a_conflict() {
    let world = World::without_limits();
    world.account(EMAIL, MOBILE).await;
    for (email, mobile) in [
        (EMAIL, MOBILE),
        ("ANN@Example.com", "4155550199"),
        ("bob@example.com", "+14155550123"),
    ] {
        let before = world.pigeon.count();
        let refused = world.register(email, mobile, "another horse").await;
        refused.says(409, TAKEN);
        assert_eq!(world.pigeon.count(), before, "{email} {mobile}");
    }
}

#[tokio::test]
async fn a_resend_sends_a_fresh_code_and_kills_the_old_one() {
    let world = World::new();
    world.register(EMAIL, MOBILE, PASSWORD).await;
    let old = world.code();
    let resent = world.resend(MOBILE).await;
    let message = "A new OTP has been sent to your mobile number.";
    resent.is(200, json!({ "message": message }));
    assert_ne!(world.code(), old);
    world.verify(MOBILE, &old).await.says(400, WRONG);
    assert_eq!(world.verify(MOBILE, &world.code()).await.status, 200);
}

#[tokio::test]
async fn only_a_pending_registration_is_resent() {
    let world = World::without_limits();
    let nothing = "No pending registration found for this mobile number.";
    world.resend(MOBILE).await.says(404, nothing);
    world.resend("no number").await.says(404, nothing);
    // A login is no registration.
    world.request_otp(MOBILE, false).await;
    world.resend(MOBILE).await.says(404, nothing);
    world.account(EMAIL, MOBILE).await;
    world.resend(MOBILE).await.says(404, nothing);
    for body in [
        json!({}),
        json!({ "mobile": "" }),
        json!({ "mobile": null }),
        json!({ "mobile": " " }),
    ] {
        let refused = world.post("resend-otp", body).await;
        refused.says(400, "Mobile number is required.");
    }
}

#[tokio::test]
async fn a_code_that_is_wrong_expired_or_of_nobody_gets_one_answer() {
    let world = World::new();
    world.verify(MOBILE, "123456").await.says(400, WRONG);
    world.register(EMAIL, MOBILE, PASSWORD).await;
    world
        .verify(MOBILE, &world.wrong_code())
        .await
        .says(400, WRONG);
    world.verify(MOBILE, "abcdef").await.says(400, WRONG);
    world.clock.advance(Duration::from_mins(5));
    world.verify(MOBILE, &world.code()).await.says(400, WRONG);
}

#[tokio::test]
async fn a_code_dies_with_its_last_attempt() {
    let world = World::new();
    world.register(EMAIL, MOBILE, PASSWORD).await;
    for _ in 0..5 {
        world
            .verify(MOBILE, &world.wrong_code())
            .await
            .says(400, WRONG);
    }
    world.verify(MOBILE, &world.code()).await.says(400, WRONG);
}

#[tokio::test]
async fn nothing_is_acknowledged_that_no_provider_took() {
    for verdict in [Verdict::Unavailable, Verdict::Refused, Verdict::Declined] {
        let world = World::without_limits();
        world.register(EMAIL, MOBILE, PASSWORD).await;
        world.pigeon.answer(Some(verdict));
        for answer in [
            world.request_otp(MOBILE, false).await,
            world.resend(MOBILE).await,
            world
                .register("bob@example.com", "4155550177", PASSWORD)
                .await,
        ] {
            answer.says(503, UNABLE);
            // Nobody learns what a provider said of whom.
            assert_eq!(answer.header("retry-after"), "5", "{verdict:?}");
        }
    }
    let world = World::new();
    world.pigeon.serve(false);
    world.request_otp(MOBILE, false).await.says(503, UNABLE);
}

/// A pool that is always full.
struct Full;

#[async_trait]
impl PasswordHasher for Full {
    async fn hash(&self, _: Password) -> Result<PasswordHash, HashError> {
        Err(HashError::Busy)
    }

    async fn matches(&self, _: Password, _: PasswordHash) -> Result<bool, HashError> {
        Err(HashError::Busy)
    }
}

#[tokio::test]
async fn when_too_many_passwords_wait_a_registration_is_refused_and_nothing_sent() {
    let world = World::with(Setting {
        passwords: Arc::new(Full),
        ..Setting::default()
    });
    let refused = world.register(EMAIL, MOBILE, PASSWORD).await;
    refused.says(503, UNABLE);
    assert_eq!(refused.header("retry-after"), "5");
    assert_eq!(world.gate.figures().sends_refused, 1, "counted as overload");
    assert_eq!(world.pigeon.count(), 0);
    assert_eq!(world.request_otp(MOBILE, false).await.status, 200);
}

/// A pool that lets nobody come.
struct Crowded;

#[async_trait]
impl PasswordHasher for Crowded {
    fn announce(&self) -> Result<Announced, HashError> {
        Err(HashError::Busy)
    }

    async fn hash(&self, _: Password) -> Result<PasswordHash, HashError> {
        panic!("it said that it had no room")
    }

    async fn matches(&self, _: Password, _: PasswordHash) -> Result<bool, HashError> {
        panic!("it said that it had no room")
    }
}

#[tokio::test]
async fn a_registration_beyond_the_room_for_passwords_is_refused_before_anything_is_looked_up() {
    let world = World::with(Setting {
        passwords: Arc::new(Crowded),
        accounts: Arc::new(Gone),
        ..Setting::default()
    });
    // More often than a source may ask: nothing is counted.
    for _ in 0..20 {
        let refused = world.register(EMAIL, MOBILE, PASSWORD).await;
        refused.says(503, UNABLE);
        assert_eq!(refused.header("retry-after"), "5");
    }
    assert_eq!(world.pigeon.count(), 0);
}

/// A pool that says so before anybody comes.
struct Closed;

#[async_trait]
impl PasswordHasher for Closed {
    fn has_room(&self) -> bool {
        false
    }

    fn announce(&self) -> Result<Announced, HashError> {
        panic!("it said that it had no room")
    }

    async fn hash(&self, _: Password) -> Result<PasswordHash, HashError> {
        panic!("it said that it had no room")
    }

    async fn matches(&self, _: Password, _: PasswordHash) -> Result<bool, HashError> {
        panic!("it said that it had no room")
    }
}

#[tokio::test]
async fn where_there_is_no_room_for_passwords_a_registration_is_not_even_read() {
    let world = World::with(Setting {
        passwords: Arc::new(Closed),
        ..Setting::default()
    });
    for mobile in [MOBILE, "no number"] {
        let refused = world.register(EMAIL, mobile, PASSWORD).await;
        refused.says(503, UNABLE);
        assert_eq!(refused.header("retry-after"), "5");
    }
    assert_eq!(world.gate.figures().sends_refused, 2, "counted as overload");
    assert_eq!(world.request_otp(MOBILE, false).await.status, 200);
}

/// A store of accounts that cannot be reached.
struct Gone;

fn gone<T>() -> Result<T, StoreError> {
    Err(StoreError::unavailable("connection refused"))
}

#[async_trait]
impl AccountStore for Gone {
    async fn create(&self, _: AccountRecord) -> Result<CreateOutcome, StoreError> {
        gone()
    }

    async fn find(&self, _: &[Identifier]) -> Result<Option<AccountRecord>, StoreError> {
        gone()
    }

    async fn outdated(
        &self,
        _: KeyId,
        _: Option<AccountId>,
        _: u32,
    ) -> Result<Vec<AccountRecord>, StoreError> {
        gone()
    }

    async fn renew(&self, _: AccountRecord) -> Result<bool, StoreError> {
        gone()
    }

    async fn remove(&self, _: AccountId) -> Result<bool, StoreError> {
        gone()
    }
}

#[tokio::test]
async fn without_its_store_nobody_registers_and_no_code_is_used_up() {
    let store = Arc::new(watchword_core::memory::MemoryStore::default());
    let broken = World::with(Setting {
        accounts: Arc::new(Gone),
        store: store.clone(),
        ..Setting::default()
    });
    let refused = broken.register(EMAIL, MOBILE, PASSWORD).await;
    refused.says(503, UNABLE);
    assert_eq!(refused.header("retry-after"), "2");
    broken.request_otp(MOBILE, false).await;
    let code = broken.code();
    let refused = broken.verify(MOBILE, &code).await;
    refused.says(
        503,
        "Unable to verify OTP at this moment. Please try again later.",
    );
    let mended = World::with(Setting {
        store,
        ..Setting::default()
    });
    assert_eq!(mended.verify(MOBILE, &code).await.status, 200);
}

#[tokio::test]
async fn the_code_is_in_no_answer_unless_it_is_asked_for() {
    let world = World::new();
    let mut answers = vec![world.register(EMAIL, MOBILE, PASSWORD).await];
    answers.push(world.resend(MOBILE).await);
    answers.push(world.request_otp(MOBILE, false).await);
    answers.push(world.verify(MOBILE, &world.wrong_code()).await);
    for answer in answers {
        let whole = format!("{} {:?}", answer.text, answer.headers);
        let shown = world.codes().into_iter().find(|code| whole.contains(code));
        assert_eq!(shown, None, "{whole}");
        assert!(!whole.contains(PASSWORD) && !whole.contains("argon2"));
    }
    let world = World::with(Setting {
        expose_codes: true,
        ..Setting::default()
    });
    let sent = world.register(EMAIL, MOBILE, PASSWORD).await;
    assert_eq!(sent.body["otp_for_testing"], world.code());
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_in_the_words_of_the_surface() {
    let world = World::new();
    let request = |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path);
        world.request(request.body(Body::empty()).unwrap())
    };
    let refused = request(Method::GET, "/api/v1/auth/register").await;
    refused.says(405, "Method Not Allowed");
    assert_eq!(refused.header("allow"), "POST");
    let refused = request(Method::POST, "/api/v1/auth/login").await;
    refused.says(404, "Not Found");
}
