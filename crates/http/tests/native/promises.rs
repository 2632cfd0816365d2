//! The promises of the rules, seen through the surface.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::world::{Answer, PHONE, World};

async fn all<F>(count: usize, call: impl Fn(usize) -> F) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let tasks = (0..count).map(|index| tokio::spawn(call(index)));
    let answers = join_all(tasks).await;
    answers.into_iter().map(Result::unwrap).collect()
}

fn count(answers: &[Answer], status: u16) -> usize {
    answers
        .iter()
        .filter(|answer| answer.status == status)
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_right_codes_at_once_get_one_approval() {
    let world = World::new();
    let id = world.start(PHONE).await;
    let code = world.code(&id);
    let answers = all(200, |index| {
        let (world, id, code) = (world.clone(), id.clone(), code.clone());
        async move {
            if index % 2 == 0 {
                world.check(&id, &code).await
            } else {
                let body = json!({ "to": PHONE, "code": code });
                world.post("/v1/verifications/check", body).await
            }
        }
    })
    .await;
    assert_eq!(count(&answers, 200), 1);
    assert_eq!(count(&answers, 404), 199);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_wrong_codes_at_once_get_five_comparisons() {
    let world = World::new();
    let id = world.start(PHONE).await;
    let wrong = world.wrong_code(&id);
    let answers = all(200, |_| {
        let (world, id, wrong) = (world.clone(), id.clone(), wrong.clone());
        async move { world.check(&id, &wrong).await }
    })
    .await;
    assert_eq!(count(&answers, 422), 5);
    assert_eq!(count(&answers, 410), 195);
    world
        .check(&id, &world.code(&id))
        .await
        .is(410, "attempts-exhausted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_starts_at_once_send_exactly_one_within_the_cooldown() {
    let world = World::new();
    let answers = all(200, |index| {
        let world = world.from(&format!("192.0.2.{}", index + 1));
        async move {
            world
                .post("/v1/verifications", json!({ "to": PHONE }))
                .await
        }
    })
    .await;
    assert_eq!((count(&answers, 201), count(&answers, 429)), (1, 199));
    assert_eq!(world.pigeon.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_starts_at_once_from_one_source_send_exactly_thirty() {
    let world = World::new();
    let answers = all(200, |index| {
        let world = world.clone();
        let to = format!("+1415555{:04}", 100 + index % 100);
        let purpose = format!("p{}", index / 100);
        async move {
            world
                .post("/v1/verifications", json!({ "to": to, "purpose": purpose }))
                .await
        }
    })
    .await;
    assert_eq!((count(&answers, 201), count(&answers, 429)), (30, 170));
    assert_eq!(world.pigeon.count(), 30);
}

/// X6, X7, X8: neither resends, new verifications, other channels nor other purposes buy guesses.
#[tokio::test]
async fn a_new_code_buys_no_failures_beyond_the_budget() {
    let world = World::without_limits();
    let mut compared = 0;
    let channels = ["sms", "whatsapp", "voice"];
    'rounds: for round in 0..50 {
        let body =
            json!({ "to": PHONE, "channel": channels[round % 3], "purpose": format!("p{round}") });
        let started = world.post("/v1/verifications", body).await;
        if started.status != 201 {
            started.is(429, "recipient-locked");
            break;
        }
        let id = started.body["id"].as_str().unwrap().to_owned();
        for guess in 0..6 {
            if guess == 3 {
                let path = format!("/v1/verifications/{id}/resend");
                world.post(&path, json!({})).await;
            }
            let answer = world.check(&id, &world.wrong_code(&id)).await;
            match answer.status.as_u16() {
                422 => compared += 1,
                429 => break 'rounds,
                status => panic!("{status} {}", answer.text),
            }
            world.clock.advance(Duration::from_millis(10));
        }
    }
    assert_eq!(compared, 10);
}
