//! Checks, cancellations and unlocks.

use std::time::Duration;

use watchword_core::{
    AppId, BindingDigest, CancelError, CheckError, Event, Locked, Purpose, Refusal, SendError,
    Status, Whose,
};

use crate::server::{NUMBER, Server, binding, generous, guess, number, request};

#[tokio::test]
async fn another_binding_is_an_incorrect_code_and_costs_an_attempt() {
    let server = Server::new();
    let mut asked = request(generous());
    asked.binding = binding(r#"{"amount": 10, "to": "ACME"}"#);
    let id = server.start(asked).await;
    let bound = |digest| {
        let mut bound = guess(id, server.code(id));
        bound.binding = digest;
        bound
    };
    let others = [
        BindingDigest::none(),
        binding("null"),
        binding(r#"{"amount": 1000, "to": "ACME"}"#),
        binding(r#"{"amount": "10", "to": "ACME"}"#),
    ];
    for (spent, other) in others.into_iter().enumerate() {
        let outcome = server.verifier.check(bound(other)).await;
        let Err(CheckError::Incorrect { attempts_left }) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(attempts_left as usize, 4 - spent);
    }
    let same = bound(binding(r#"{"to":"ACME","amount":1e1}"#));
    assert!(server.verifier.check(same).await.is_ok());
}

#[tokio::test]
async fn a_check_by_recipient_takes_any_spelling_of_it() {
    let server = Server::new();
    let id = server.start(request(generous())).await;
    let mut by_recipient = guess(id, server.code(id));
    let purpose = Purpose::parse(" login ").unwrap();
    by_recipient.whose = Whose::Recipient(number("001 (415) 555-0123"), purpose);
    let approved = server.verifier.check(by_recipient).await.unwrap();
    assert_eq!(approved.overview.verification.id, id);
    assert_eq!(approved.overview.details.to, Some(number(NUMBER)));
}

#[tokio::test]
async fn the_answers_of_a_check_are_counted() {
    use watchword_core::CheckFailure::{Exhausted, Incorrect, Locked, NotFound};
    let server = Server::new();
    let id = server.start(request(generous())).await;
    server.diary.take();
    for _ in 0..6 {
        let _ = server.check(id, server.wrong(id)).await;
    }
    let id = server.start(request(generous())).await;
    for _ in 0..5 {
        let _ = server.check(id, server.wrong(id)).await;
    }
    let mut other = request(generous());
    other.to = Some(number("+14155550199"));
    let canceled = server.start(other).await;
    let app = AppId::default();
    server.verifier.cancel(&app, canceled).await.unwrap();
    let _ = server.check(canceled, server.code(canceled)).await;
    let events = server.diary.take();
    let count = |event| events.iter().filter(|other| **other == event).count();
    assert_eq!(count(Event::CheckFailed(Incorrect)), 10);
    // The tenth failure used up the attempts too, and that is what it says.
    assert_eq!(count(Event::CheckFailed(Exhausted)), 1);
    assert_eq!(count(Event::CheckFailed(Locked)), 0);
    assert_eq!(count(Event::CheckFailed(NotFound)), 1);
    assert_eq!(count(Event::Canceled), 1);
}

#[tokio::test]
async fn cancel_ends_what_is_pending_and_says_what_ended_otherwise() {
    let server = Server::new();
    let (app, other) = (AppId::default(), AppId::parse("other").unwrap());
    let id = server.start(request(generous())).await;
    let foreign = server.verifier.cancel(&other, id).await;
    assert!(matches!(foreign, Err(CancelError::NotFound)));
    for _ in 0..2 {
        let canceled = server.verifier.cancel(&app, id).await.unwrap();
        assert_eq!(canceled.status, Status::Canceled);
    }
    let outcome = server.check(id, server.code(id)).await;
    assert!(matches!(outcome, Err(CheckError::NotFound)));
    let id = server.start(request(generous())).await;
    server.check(id, server.code(id)).await.unwrap();
    let late = server.verifier.cancel(&app, id).await;
    assert!(matches!(late, Err(CancelError::Ended(Status::Approved))));
}

#[tokio::test]
async fn an_unlock_lets_a_locked_recipient_go_on() {
    let server = Server::new();
    for _ in 0..2 {
        let id = server.start(request(generous())).await;
        for _ in 0..5 {
            let _ = server.check(id, server.wrong(id)).await;
        }
    }
    let locked = Locked {
        retry_after: Some(Duration::from_hours(1)),
    };
    let refused = server.verifier.start(request(generous())).await;
    let Err(SendError::Refused(Refusal::Locked(found))) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(found, locked);
    let app = AppId::default();
    let other = number("+14155550199");
    assert!(!server.verifier.unlock(&app, &other, None).await.unwrap());
    assert!(
        server
            .verifier
            .unlock(&app, &number(NUMBER), None)
            .await
            .unwrap()
    );
    let id = server.start(request(generous())).await;
    assert!(server.check(id, server.code(id)).await.is_ok());
}
