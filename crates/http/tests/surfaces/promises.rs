//! The promises of the rules, seen through each surface, with many callers at once.

use futures_util::future::join_all;
use watchword_http::SurfaceKind;

use crate::world::{Answer, PHONE, World};
use crate::{another, last_code, otp, public, whatsapp};

async fn all<F>(count: usize, call: impl Fn(usize) -> F) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let tasks = (0..count).map(|index| tokio::spawn(call(index)));
    let answers = join_all(tasks).await;
    answers.into_iter().map(Result::unwrap).collect()
}

fn count(answers: &[Answer], status: u16) -> usize {
    let with = |answer: &&Answer| answer.status == status;
    answers.iter().filter(with).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_right_codes_at_once_get_one_approval() {
    let world = public(&[SurfaceKind::Otp]);
    otp::generate(&world, "sms", PHONE).await.is_ok();
    let code = last_code(&world);
    let answers = all(100, |_| {
        let (world, code) = (world.clone(), code.clone());
        async move { otp::verify(&world, "sms", PHONE, &code).await }
    });
    let answers = answers.await;
    assert_eq!((count(&answers, 200), count(&answers, 400)), (1, 99));

    let world = public(&[SurfaceKind::Whatsapp]);
    whatsapp::send(&world, PHONE).await.is_ok();
    let code = last_code(&world);
    let answers = all(100, |_| {
        let (world, code) = (world.clone(), code.clone());
        async move { whatsapp::verify(&world, PHONE, &code).await }
    });
    let answers = answers.await;
    assert_eq!((count(&answers, 200), count(&answers, 400)), (1, 99));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_wrong_codes_at_once_use_the_attempts_up_and_no_more_are_compared() {
    let world = public(&[SurfaceKind::Whatsapp]);
    whatsapp::send(&world, PHONE).await.is_ok();
    let code = last_code(&world);
    let wrong = another(&code);
    let answers = all(100, |_| {
        let (world, wrong) = (world.clone(), wrong.clone());
        async move { whatsapp::verify(&world, PHONE, &wrong).await }
    });
    let answers = answers.await;
    let compared = answers
        .iter()
        .filter(|answer| answer.body["message"] == "Invalid OTP");
    assert_eq!(compared.count(), 5);
    assert_eq!(whatsapp::verify(&world, PHONE, &code).await.status, 400);

    let world = public(&[SurfaceKind::Otp]);
    otp::generate(&world, "sms", PHONE).await.is_ok();
    let code = last_code(&world);
    let wrong = another(&code);
    let answers = all(100, |index| {
        let (world, code, wrong) = (world.clone(), code.clone(), wrong.clone());
        // Five wrong ones are through before the right one comes.
        async move {
            let typed = if index < 99 { wrong } else { code };
            otp::verify(&world, "sms", PHONE, &typed).await
        }
    });
    drop(answers.await);
    for _ in 0..5 {
        otp::verify(&world, "sms", PHONE, &wrong).await;
    }
    assert_eq!(otp::verify(&world, "sms", PHONE, &code).await.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_sends_at_once_send_as_many_as_the_limits_say() {
    let world = public(&[SurfaceKind::Whatsapp]);
    let from = |world: &World, index: usize| world.from(&format!("192.0.2.{}", index + 1));
    let answers = all(100, |index| {
        let world = from(&world, index);
        async move { whatsapp::send(&world, PHONE).await }
    });
    let answers = answers.await;
    assert_eq!((count(&answers, 200), count(&answers, 409)), (1, 99));
    let answers = all(100, |index| {
        let world = from(&world, index);
        async move { whatsapp::resend(&world, PHONE).await }
    });
    let answers = answers.await;
    assert_eq!((count(&answers, 200), count(&answers, 429)), (2, 98));
    assert_eq!(world.pigeon.count(), 3);

    let world = public(&[SurfaceKind::Otp]);
    let answers = all(100, |index| {
        let world = from(&world, index);
        async move { otp::generate(&world, "sms", PHONE).await }
    });
    let answers = answers.await;
    assert_eq!((count(&answers, 200), count(&answers, 429)), (1, 99));
    assert_eq!(world.pigeon.count(), 1);
}
