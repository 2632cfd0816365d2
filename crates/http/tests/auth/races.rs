//! Many at once, through the real router.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;

use serde_json::json;

use crate::disk::Disk;
use crate::world::{Answer, EMAIL, MOBILE, PASSWORD, Setting, World, without_limits};

const CROWD: usize = 24;

async fn crowd<F>(call: impl Fn(usize) -> F) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let tasks: Vec<_> = (0..CROWD)
        .map(|number| tokio::spawn(call(number)))
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

fn count(answers: &[Answer], status: u16) -> usize {
    answers
        .iter()
        .filter(|answer| answer.status == status)
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_parallel_registrations_of_one_number_one_is_pending_and_becomes_the_account() {
    let world = Arc::new(World::without_limits());
    let answers = crowd(|number| {
        let world = Arc::clone(&world);
        async move {
            let email = format!("user{number}@example.com");
            world
                .register(&email, MOBILE, &format!("password {number}"))
                .await
        }
    })
    .await;
    assert_eq!((count(&answers, 202), count(&answers, 409)), (1, CROWD - 1));
    let winner = answers
        .iter()
        .position(|answer| answer.status == 202)
        .unwrap();
    assert_eq!(world.pigeon.count(), 1);
    let verified = world.verify(MOBILE, &world.code()).await;
    assert_eq!(verified.body["email"], format!("user{winner}@example.com"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_registrations_with_the_same_details_are_one_registration() {
    let world = Arc::new(World::without_limits());
    let answers = crowd(|_| {
        let world = Arc::clone(&world);
        async move { world.register(EMAIL, MOBILE, PASSWORD).await }
    })
    .await;
    assert_eq!(count(&answers, 202), CROWD);
    let mut accounts = 0;
    for code in world
        .codes()
        .into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .rev()
        .take(4)
    {
        accounts += usize::from(world.verify(MOBILE, &code).await.status == 200);
    }
    assert!(accounts <= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_parallel_accounts_with_one_address_one_is_made() {
    let world = Arc::new(World::without_limits());
    let mut codes = Vec::new();
    for number in 0..CROWD {
        let mobile = format!("41555501{number:02}");
        let sent = world.register(EMAIL, &mobile, PASSWORD).await;
        assert_eq!(sent.status, 202);
        codes.push((mobile, world.code()));
    }
    let answers = crowd(|number| {
        let (world, (mobile, code)) = (Arc::clone(&world), codes[number].clone());
        async move { world.verify(&mobile, &code).await }
    })
    .await;
    assert_eq!((count(&answers, 200), count(&answers, 404)), (1, CROWD - 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_parallel_right_codes_one_is_approved_and_makes_one_account() {
    for _ in 0..10 {
        let world = Arc::new(World::without_limits());
        world.register(EMAIL, MOBILE, PASSWORD).await;
        let code = world.code();
        let answers = crowd(|_| {
            let (world, code) = (Arc::clone(&world), code.clone());
            async move { world.verify(MOBILE, &code).await }
        })
        .await;
        assert_eq!((count(&answers, 200), count(&answers, 400)), (1, CROWD - 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_wrong_codes_get_no_more_comparisons_than_attempts() {
    let world = Arc::new(World::without_limits());
    world.register(EMAIL, MOBILE, PASSWORD).await;
    let wrong = world.wrong_code();
    let answers = crowd(|_| {
        let (world, wrong) = (Arc::clone(&world), wrong.clone());
        async move { world.verify(MOBILE, &wrong).await }
    })
    .await;
    assert_eq!(count(&answers, 400), CROWD);
    assert_eq!(world.verify(MOBILE, &world.code()).await.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_sends_get_exactly_the_limit_of_the_number() {
    let world = Arc::new(World::with(Setting::default()));
    let answers = crowd(|number| {
        let world = world.from(&format!("198.51.100.{number}"));
        async move { world.request_otp(MOBILE, false).await }
    })
    .await;
    assert_eq!((count(&answers, 200), count(&answers, 429)), (3, CROWD - 3));
    assert_eq!(world.pigeon.count(), 3);
}

/// The account is made even if the client does not wait for it.
#[tokio::test]
async fn who_hangs_up_while_verifying_has_an_account_all_the_same() {
    let disk = Disk::default();
    let world = World::with(Setting {
        policy: without_limits(),
        store: disk.store(),
        ..Setting::default()
    });
    world.register(EMAIL, MOBILE, PASSWORD).await;
    let code = world.code();
    disk.stop();
    {
        // Polled once, which gets it as far as the disk, and dropped.
        let mut verifying = pin!(world.verify(MOBILE, &code));
        assert!(futures_util::poll!(&mut verifying).is_pending());
    }
    disk.go_on();
    let body = json!({ "email": EMAIL, "mobile": MOBILE, "password": PASSWORD });
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(world.post("register", body.clone()).await.status);
        tokio::task::yield_now().await;
    }
    assert_eq!(answers.last(), Some(&409), "{answers:?}");
}
