//! Nobody gets an account that another's code made, and nobody's details change under their eyes.

use std::time::Duration;

use serde_json::json;
use watchword_core::account::Password;
use watchword_core::{
    AppId, BindingDigest, Channel, CheckRequest, Code, Limit, NumberRules, Per, Policy, Purpose,
    Recipient, StartRequest, Terms, Whose,
};

use crate::documents::{TAKEN, WRONG};
use crate::world::{EMAIL, MOBILE, OTHER_MOBILE, PASSWORD, Setting, World, claims, without_limits};

const ATTACKER: &str = "eve@evil.example";

/// The classic: the victim starts, the attacker registers the same number with another password, the
/// victim types the code. The account has to be the victim's.
#[tokio::test]
async fn another_registration_of_a_pending_number_changes_nothing_of_it() {
    let world = World::without_limits();
    world.register(EMAIL, MOBILE, PASSWORD).await;
    let code = world.code();
    for (email, password) in [
        (ATTACKER, "attacker's own"),
        (EMAIL, "attacker's own"),
        (ATTACKER, PASSWORD),
    ] {
        world
            .register(email, MOBILE, password)
            .await
            .says(409, TAKEN);
    }
    assert_eq!(
        world.pigeon.count(),
        1,
        "a message was sent for the attacker"
    );
    let verified = world.verify(MOBILE, &code).await;
    assert_eq!(verified.status, 200);
    assert_eq!(verified.body["email"], EMAIL);
}

#[tokio::test]
async fn the_same_details_again_send_a_fresh_code() {
    let world = World::new();
    world.register(EMAIL, MOBILE, PASSWORD).await;
    let old = world.code();
    let again = world
        .register("ANN@example.COM", "+1 415 555 0123", PASSWORD)
        .await;
    assert_eq!(again.status, 202);
    world.verify(MOBILE, &old).await.says(400, WRONG);
    let verified = world.verify(MOBILE, &world.code()).await;
    assert_eq!(
        verified.body["email"], EMAIL,
        "the details are the first ones"
    );
}

#[tokio::test]
async fn what_was_pending_is_gone_when_its_code_dies() {
    let world = World::without_limits();
    world.register(ATTACKER, MOBILE, "attacker's own").await;
    let old = world.code();
    world.clock.advance(Duration::from_millis(299_999));
    world
        .register(EMAIL, MOBILE, PASSWORD)
        .await
        .says(409, TAKEN);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.resend(MOBILE).await.status, 404);
    assert_eq!(world.register(EMAIL, MOBILE, PASSWORD).await.status, 202);
    world.verify(MOBILE, &old).await.says(400, WRONG);
    let verified = world.verify(MOBILE, &world.code()).await;
    assert_eq!(verified.body["email"], EMAIL);
    // Used up is gone, too.
    world
        .register(ATTACKER, OTHER_MOBILE, "attacker's own")
        .await;
    for _ in 0..5 {
        world.verify(OTHER_MOBILE, &world.wrong_code()).await;
    }
    let free = world
        .register("bob@example.com", OTHER_MOBILE, PASSWORD)
        .await;
    assert_eq!(free.status, 202);
}

#[tokio::test]
async fn a_login_makes_no_account_and_does_not_touch_a_registration() {
    let world = World::without_limits();
    world.register(EMAIL, MOBILE, PASSWORD).await;
    let registration = world.code();
    // Anybody may ask for a login to a number.
    world.request_otp(MOBILE, false).await;
    let login = world.verify(MOBILE, &world.code()).await;
    assert_eq!(login.body["message"], "OTP verified successfully");
    assert_ne!(claims(&login.body["access_token"])["sub"], json!(null));
    let verified = world.verify(MOBILE, &registration).await;
    assert_eq!(verified.body["is_active"], true);
}

#[tokio::test]
async fn right_codes_of_logins_cost_a_pending_registration_no_attempt() {
    let world = World::without_limits();
    world.register(EMAIL, MOBILE, PASSWORD).await;
    let registration = world.code();
    // As many as it has attempts.
    for _ in 0..5 {
        world.clock.advance(Duration::from_secs(1));
        world.request_otp(MOBILE, false).await;
        assert_eq!(world.verify(MOBILE, &world.code()).await.status, 200);
    }
    let verified = world.verify(MOBILE, &registration).await;
    assert_eq!(verified.body["is_active"], true, "{}", verified.text);
}

#[tokio::test]
async fn a_right_code_of_a_registration_costs_a_pending_login_no_attempt() {
    let world = World::without_limits();
    world.request_otp(MOBILE, false).await;
    let (login, wrong) = (world.code(), world.wrong_code());
    world.clock.advance(Duration::from_secs(1));
    world.register(EMAIL, MOBILE, PASSWORD).await;
    assert_eq!(world.verify(MOBILE, &world.code()).await.status, 200);
    // All but the last that it has.
    for _ in 0..4 {
        world.verify(MOBILE, &wrong).await.says(400, WRONG);
    }
    assert_eq!(world.verify(MOBILE, &login).await.status, 200);
}

/// A start to the number of the tests that came by way of another surface.
fn foreign(purpose: &str) -> StartRequest {
    let rules = NumberRules::default();
    StartRequest {
        app: AppId::default(),
        to: Some(Recipient::parse("+14155550123", &rules).unwrap()),
        channels: vec![Channel::Sms],
        purpose: Purpose::parse(purpose).unwrap(),
        locale: None,
        binding: BindingDigest::none(),
        metadata: Some(json!({ "registration": "AAAA" })),
        remember_me: true,
        terms: Terms {
            policy: std::sync::Arc::new(without_limits()),
            source: None,
        },
    }
}

/// What another surface sent for the same number and purpose is worth nothing here, and does not keep
/// anybody from registering.
#[tokio::test]
async fn a_code_of_another_surface_opens_nothing() {
    for purpose in ["signup", "login"] {
        let world = World::without_limits();
        world.verifier.start(foreign(purpose)).await.unwrap();
        world.verify(MOBILE, &world.code()).await.says(400, WRONG);
        assert_eq!(world.resend(MOBILE).await.status, 404);
        assert_eq!(world.register(EMAIL, MOBILE, PASSWORD).await.status, 202);
        assert_eq!(world.verify(MOBILE, &world.code()).await.status, 200);
    }
}

/// It could not be right here, whenever it was sent.
#[tokio::test]
async fn a_code_of_another_surface_is_not_charged_with_the_right_one() {
    let world = World::without_limits();
    world.register(EMAIL, MOBILE, PASSWORD).await;
    let registration = world.code();
    world.clock.advance(Duration::from_secs(1));
    let sent = world.verifier.start(foreign("login")).await.unwrap();
    let other = sent.overview.verification;
    assert_eq!(world.verify(MOBILE, &registration).await.status, 200);
    let found = world.verifier.get(&other.app, other.id).await.unwrap();
    let left = found.unwrap().verification.attempts_left;
    assert_eq!(left, other.attempts_left);
}

/// Seen to fail where the other code is canceled before it is known whether a registration may send.
#[tokio::test]
async fn only_a_registration_that_is_admitted_supersedes_the_code_of_another_surface() {
    let limit = Limit {
        per: Per::Recipient,
        max: 2,
        window: Duration::from_mins(10),
    };
    let world = World::with(Setting {
        policy: Policy {
            limits: vec![limit],
            ..without_limits()
        },
        ..Setting::default()
    });
    let check = async |id, code: &str| {
        let request = CheckRequest {
            app: AppId::default(),
            whose: Whose::Handle(id),
            code: Code::parse(code).unwrap(),
            binding: BindingDigest::none(),
            failures: None,
        };
        world.verifier.check(request).await
    };
    let sent = world.verifier.start(foreign("signup")).await.unwrap();
    let superseded = (sent.overview.verification.id, world.code());
    assert_eq!(world.register(EMAIL, MOBILE, PASSWORD).await.status, 202);
    assert!(check(superseded.0, &superseded.1).await.is_err());

    world.clock.advance(Duration::from_mins(10));
    world.verifier.start(foreign("login")).await.unwrap();
    let sent = world.verifier.start(foreign("signup")).await.unwrap();
    let (live, count) = (world.code(), world.pigeon.count());
    let refused = world.register(EMAIL, MOBILE, PASSWORD).await;
    assert_eq!((refused.status, world.pigeon.count()), (429, count));
    assert!(check(sent.overview.verification.id, &live).await.is_ok());
}

/// Classic-federated merge, trojan identifier and their like: an account that bears somebody's address
/// opens nothing of theirs, for who they are is said by their number alone.
#[tokio::test]
async fn an_account_with_somebody_elses_address_is_never_theirs() {
    let world = World::without_limits();
    let planted = world.account("victim@example.com", OTHER_MOBILE).await.body;
    world.request_otp(MOBILE, true).await;
    let victim = world.verify(MOBILE, &world.code()).await.body;
    let subject = claims(&victim["access_token"])["sub"].clone();
    assert_ne!(subject, planted["id"]);
    for token in [&planted["access_token"], &victim["access_token"]] {
        let claims = claims(token).to_string();
        assert!(
            !claims.contains("email") && !claims.contains("victim"),
            "{claims}"
        );
    }
}

/// Unexpired session: what an attacker got before the victim registered is not a token of the account.
#[tokio::test]
async fn a_token_from_before_the_account_does_not_name_it() {
    let world = World::without_limits();
    world.request_otp(MOBILE, true).await;
    let before = world.verify(MOBILE, &world.code()).await.body;
    let account = world.account(EMAIL, MOBILE).await.body;
    assert_ne!(claims(&before["access_token"])["sub"], account["id"]);
}

/// Of two registrations with one address, the first that is proven wins; the other code, though right,
/// has nobody to activate, and is used.
#[tokio::test]
async fn an_address_goes_to_the_first_who_verifies() {
    let world = World::without_limits();
    world.register(EMAIL, MOBILE, PASSWORD).await;
    let first = world.code();
    assert_eq!(
        world
            .register(EMAIL, OTHER_MOBILE, "another horse")
            .await
            .status,
        202
    );
    let second = world.code();
    assert_eq!(world.verify(OTHER_MOBILE, &second).await.status, 200);
    let refused = world.verify(MOBILE, &first).await;
    refused.says(404, "User not found for activation.");
    world.verify(MOBILE, &first).await.says(400, WRONG);
    world
        .register(EMAIL, MOBILE, PASSWORD)
        .await
        .says(409, TAKEN);
}

#[tokio::test]
async fn what_is_kept_of_a_registration_shows_neither_address_nor_password() {
    let store = std::sync::Arc::new(watchword_core::memory::MemoryStore::default());
    let world = World::with(Setting {
        store: store.clone(),
        ..Setting::default()
    });
    world.register(EMAIL, MOBILE, PASSWORD).await;
    let app = AppId::default();
    let to = Recipient::parse("+14155550123", &NumberRules::default()).unwrap();
    let index = world.verifier.keys().recipient_index(&app, &to);
    let purpose = Purpose::parse("signup").unwrap();
    let now = world.verifier.now();
    let kept = watchword_core::Store::newest(&*store, &app, index, &purpose, now).await;
    let id = kept.unwrap().unwrap().id;
    // Whoever may read verifications sees the metadata.
    let seen = world.verifier.get(&app, id).await.unwrap().unwrap();
    let metadata = seen.details.metadata.unwrap().to_string();
    for secret in [EMAIL, PASSWORD, "argon2", "4155550123"] {
        assert!(!metadata.contains(secret), "{metadata}");
    }
    assert!(Password::parse(PASSWORD).is_ok());
}
