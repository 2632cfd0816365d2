//! Attack cases, by their numbers in the catalogue of security requirements.

use std::sync::Arc;
use std::time::Duration;

use watchword_core::{
    AppId, Channel, CheckError, Event, Locked, Policy, Purpose, Refusal, SendError, Terms,
    VerificationId, Whose,
};

use crate::server::{NUMBER, Server, binding, crowd, generous, guess, number, request, strict};

/// Wrong codes until a send or a check is refused for good; how many were compared.
async fn guess_until_locked(
    server: &Arc<Server>,
    mut next: impl AsyncFnMut(usize) -> Result<VerificationId, SendError>,
) -> usize {
    let mut compared = 0;
    for round in 0..50 {
        let id = match next(round).await {
            Ok(id) => id,
            Err(SendError::Refused(Refusal::Locked(_))) => return compared,
            Err(other) => panic!("{other:?}"),
        };
        for _ in 0..3 {
            match server.check(id, server.wrong(id)).await {
                Err(CheckError::Incorrect { .. }) => compared += 1,
                Err(CheckError::Locked(_)) => {
                    let right = server.check(id, server.code(id)).await;
                    assert!(matches!(right, Err(CheckError::Locked(_))), "{right:?}");
                    return compared;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    panic!("50 rounds, {compared} guesses, and nobody locked anything")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn x1_two_hundred_right_codes_at_once_are_one_approval() {
    let server = Server::new();
    let id = server.start(request(generous())).await;
    let outcomes = crowd(200, |_| {
        let server = Arc::clone(&server);
        async move { server.check(id, server.code(id)).await.is_ok() }
    })
    .await;
    assert_eq!(outcomes.iter().filter(|approved| **approved).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn x2_two_hundred_wrong_codes_at_once_are_five_guesses_and_the_right_one_is_refused() {
    let server = Server::new();
    let id = server.start(request(generous())).await;
    let outcomes = crowd(200, |_| {
        let server = Arc::clone(&server);
        async move { server.check(id, server.wrong(id)).await }
    })
    .await;
    let compared = |outcome: &&Result<_, _>| matches!(outcome, Err(CheckError::Incorrect { .. }));
    assert_eq!(outcomes.iter().filter(compared).count(), 5);
    let right = server.check(id, server.code(id)).await;
    assert!(matches!(right, Err(CheckError::Exhausted)), "{right:?}");
}

#[tokio::test]
async fn x6_a_resend_after_every_three_failures_buys_no_more_than_ten() {
    let server = Server::new();
    let id = server.start(request(generous())).await;
    let compared = guess_until_locked(&server, async |round| match round {
        0 => Ok(id),
        _ => server.resend(id).await.map(|_| id),
    });
    assert_eq!(compared.await, 10);
}

#[tokio::test]
async fn x7_a_new_verification_after_every_three_failures_buys_no_more_than_ten() {
    let server = Server::new();
    let compared = guess_until_locked(&server, async |_| {
        let sent = server.verifier.start(request(generous())).await;
        sent.map(|sent| sent.overview.verification.id)
    });
    assert_eq!(compared.await, 10);
}

#[tokio::test]
async fn x8_other_channels_and_purposes_after_every_three_failures_buy_no_more_than_ten() {
    let server = Server::new();
    let channels = [Channel::Sms, Channel::Voice, Channel::Whatsapp];
    let compared = guess_until_locked(&server, async |round| {
        let mut asked = request(generous());
        asked.channels = vec![channels[round % 3]];
        asked.purpose = Purpose::parse(&format!("purpose {}", round % 4)).unwrap();
        let sent = server.verifier.start(asked).await;
        sent.map(|sent| sent.overview.verification.id)
    });
    assert_eq!(compared.await, 10);
}

#[tokio::test]
async fn x6_over_weeks_a_hundred_failures_in_a_row_are_the_end() {
    let server = Server::new();
    let mut compared = 0;
    for _ in 0..60 {
        let once = guess_until_locked(&server, async |_| {
            let sent = server.verifier.start(request(generous())).await;
            sent.map(|sent| sent.overview.verification.id)
        });
        compared += once.await;
        server.clock.advance(Duration::from_hours(12));
    }
    assert_eq!(compared, 100);
    // It is told once, when it happens.
    let told = server.diary.take();
    let made = told.iter().filter(|event| **event == Event::Locked);
    assert_eq!(made.count(), 1);
    server.clock.advance(Duration::from_hours(24 * 30));
    let refused = server.verifier.start(request(generous())).await;
    let forever = Locked { retry_after: None };
    let Err(SendError::Refused(Refusal::Locked(locked))) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(locked, forever);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn x11_two_hundred_starts_at_once_send_three_messages() {
    let server = Server::new();
    let policy = Arc::new(Policy {
        resend_cooldown: Duration::ZERO,
        ..Policy::default()
    });
    let sent = crowd(200, |_| {
        let server = Arc::clone(&server);
        let asked = request(Terms {
            policy: Arc::clone(&policy),
            ..strict("::1")
        });
        async move { server.verifier.start(asked).await.is_ok() }
    })
    .await;
    assert_eq!(sent.iter().filter(|sent| **sent).count(), 3);
    assert_eq!(server.pigeon.count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn x12_of_two_parallel_starts_one_lives() {
    let server = Server::new();
    for _ in 0..50 {
        let ids = crowd(2, |_| {
            let server = Arc::clone(&server);
            async move { server.start(request(generous())).await }
        })
        .await;
        let mut approved = 0;
        for id in ids {
            approved += usize::from(server.check(id, server.code(id)).await.is_ok());
        }
        assert_eq!(approved, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn x13_while_a_resend_swaps_the_codes_at_most_one_of_them_is_right() {
    let server = Server::new();
    let mut caught = 0;
    for _ in 0..50 {
        let id = server.start(request(generous())).await;
        let old = server.code(id);
        let outcomes = crowd(2, |caller| {
            let (server, old) = (Arc::clone(&server), old.clone());
            async move {
                if caller == 0 {
                    server.check(id, old).await.is_ok()
                } else {
                    let _ = server.resend(id).await;
                    false
                }
            }
        })
        .await;
        let by_old = outcomes.contains(&true);
        let by_new = server.check(id, server.code(id)).await.is_ok();
        assert!(by_old != by_new, "one code is right, and only one");
        caught += usize::from(by_old);
        assert!(server.check(id, old).await.is_err());
        // Failures of the old code must not lock the recipient during this test.
        let app = AppId::default();
        server
            .verifier
            .unlock(&app, &number(NUMBER), None)
            .await
            .unwrap();
    }
    assert!(caught <= 50);
}

#[tokio::test]
async fn x22_a_success_of_ones_own_resets_neither_the_victims_nor_the_sources_counters() {
    let server = Server::new();
    let mine = "+14155550199";
    let terms = |_| {
        let mut policy = Policy {
            resend_cooldown: Duration::ZERO,
            ..Policy::default()
        };
        policy.limits.iter_mut().for_each(|limit| limit.max = 6);
        Terms {
            policy: Arc::new(policy),
            ..strict("::1")
        }
    };
    let mut compared = 0;
    for round in 0..3 {
        let id = server.start(request(terms(round))).await;
        for _ in 0..4 {
            let outcome = server.check(id, server.wrong(id)).await;
            compared += usize::from(matches!(outcome, Err(CheckError::Incorrect { .. })));
        }
        let mut own = request(terms(round));
        own.to = Some(number(mine));
        let id = server.start(own).await;
        assert!(server.check(id, server.code(id)).await.is_ok());
    }
    assert_eq!(compared, 10);
    let mut own = request(terms(3));
    own.to = Some(number("+14155550177"));
    let refused = server.verifier.start(own).await;
    let Err(SendError::Refused(Refusal::SourceLimit { .. })) = refused else {
        panic!("{refused:?}");
    };
}

#[tokio::test]
async fn x24_a_locked_recipient_gets_one_answer_for_right_and_wrong_codes() {
    let server = Server::new();
    guess_until_locked(&server, async |_| {
        let sent = server.verifier.start(request(generous())).await;
        sent.map(|sent| sent.overview.verification.id)
    })
    .await;
    let asked = request(generous());
    let index = server.keys.recipient_index(&asked.app, &number(NUMBER));
    let now = watchword_core::Clock::now(&*server.clock);
    let newest = server.store.newest(&asked.app, index, &asked.purpose, now);
    let id = newest.await.unwrap().unwrap().id;
    let right = format!("{:?}", server.check(id, server.code(id)).await);
    let wrong = format!("{:?}", server.check(id, server.wrong(id)).await);
    assert_eq!(right, wrong);
    assert!(right.contains("Locked"), "{right}");
}

#[tokio::test]
async fn x32_a_code_is_worth_nothing_after_its_success_or_its_time() {
    let server = Server::new();
    let id = server.start(request(generous())).await;
    assert!(server.check(id, server.code(id)).await.is_ok());
    let again = server.check(id, server.code(id)).await;
    assert!(matches!(again, Err(CheckError::NotFound)));
    for (early, in_time) in [(1000, true), (1, true), (0, false)] {
        let id = server.start(request(generous())).await;
        let life = Duration::from_mins(5) - Duration::from_millis(early);
        server.clock.advance(life);
        assert_eq!(server.check(id, server.code(id)).await.is_ok(), in_time);
    }
    let id = server.start(request(generous())).await;
    server.clock.advance(Duration::from_secs(301));
    assert!(server.check(id, server.code(id)).await.is_err());
}

#[tokio::test]
async fn x33_a_wrong_code_after_the_success_is_not_verified() {
    let server = Server::new();
    let id = server.start(request(generous())).await;
    assert!(server.check(id, server.code(id)).await.is_ok());
    let wrong = server.check(id, server.wrong(id)).await;
    assert!(matches!(wrong, Err(CheckError::NotFound)), "{wrong:?}");
}

#[tokio::test]
async fn x34_a_code_is_right_at_its_own_handle_app_purpose_and_payload_only() {
    let server = Server::new();
    let mut payment = request(generous());
    payment.purpose = Purpose::parse("transfer").unwrap();
    payment.binding = binding("10");
    let mut elsewhere = request(generous());
    elsewhere.to = Some(number("+14155550199"));
    let login = server.start(request(generous())).await;
    let payment = server.start(payment).await;
    let elsewhere = server.start(elsewhere).await;
    for (id, code, json) in [
        (payment, server.code(login), "10"),
        (payment, server.code(payment), "1000"),
        (elsewhere, server.code(login), "null"),
    ] {
        let mut swapped = guess(id, code);
        if id == payment {
            swapped.binding = binding(json);
        }
        let outcome = server.verifier.check(swapped).await;
        assert!(matches!(outcome, Err(CheckError::Incorrect { .. })));
    }
    let mut foreign = guess(login, server.code(login));
    foreign.app = AppId::parse("other").unwrap();
    let outcome = server.verifier.check(foreign).await;
    assert!(matches!(outcome, Err(CheckError::NotFound)));
    let mut purpose = guess(login, server.code(payment));
    purpose.whose = Whose::Recipient(number(NUMBER), Purpose::parse("login").unwrap());
    let outcome = server.verifier.check(purpose).await;
    assert!(matches!(outcome, Err(CheckError::Incorrect { .. })));
    assert!(server.check(login, server.code(login)).await.is_ok());
}

#[tokio::test]
async fn x74_two_tenants_share_neither_codes_nor_budgets_of_a_recipient() {
    let server = Server::new();
    let other = AppId::parse("other").unwrap();
    let ours = server.start(request(strict("::1"))).await;
    let mut asked = request(strict("::2"));
    asked.app = other.clone();
    let theirs = server.start(asked).await;
    for _ in 0..5 {
        let mut theirs = guess(theirs, server.code(ours));
        theirs.app = other.clone();
        let outcome = server.verifier.check(theirs).await;
        assert!(matches!(outcome, Err(CheckError::Incorrect { .. })));
    }
    let mut right = guess(theirs, server.code(theirs));
    right.app = other.clone();
    let outcome = server.verifier.check(right).await;
    assert!(matches!(outcome, Err(CheckError::Exhausted)));
    let one = AppId::default();
    assert!(server.verifier.get(&other, ours).await.unwrap().is_none());
    assert!(server.verifier.cancel(&other, ours).await.is_err());
    assert!(
        !server
            .verifier
            .unlock(&one, &number(NUMBER), None)
            .await
            .unwrap()
    );
    assert!(
        server
            .verifier
            .unlock(&other, &number(NUMBER), None)
            .await
            .unwrap()
    );
    assert!(server.check(ours, server.code(ours)).await.is_ok());
}
