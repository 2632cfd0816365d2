//! Each thing that a provider can do to a message, and the class that comes of it.

use std::time::Duration;

use tokio::time::Instant;
use watchword_core::routing::{Class, Detail};
use watchword_stand_ins::{Family, Mode};

use super::messages::{KINDS, NUMBER, plain, provider, stand_in};

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

fn refuse(code: u32) -> Mode {
    Mode::Refuse {
        code: Some(code),
        status: None,
    }
}

/// Numbers of the three families, in their order.
fn of(family: Family, codes: [u32; 3]) -> u32 {
    codes[Family::ALL
        .iter()
        .position(|known| *known == family)
        .unwrap()]
}

#[tokio::test]
async fn each_thing_that_a_provider_does_comes_to_its_class() {
    for (family, kind, channel) in KINDS {
        let stand_in = stand_in(family).await;
        let provider = provider(kind, &stand_in, "");
        let fails = Mode::AcceptThenFail { code: None };
        let inside = |codes| Mode::ErrorInside {
            code: Some(of(family, codes)),
        };
        // A call that failed at once does not say why.
        let inside_class = match kind {
            "twilio-voice" => "rejected",
            _ => "misconfigured",
        };
        for (mode, class) in [
            (Mode::Accept, "accepted"),
            (Mode::AcceptWithoutReceipts, "accepted"),
            (fails, "accepted"),
            (Mode::DisorderedReceipts, "accepted"),
            (Mode::Slow { millis: 20 }, "accepted"),
            (
                refuse(of(family, [21_211, 131_026, 1002])),
                "invalid_recipient",
            ),
            (
                refuse(of(family, [21_610, 131_050, 1012])),
                "blocked_recipient",
            ),
            (refuse(of(family, [21_408, 131_049, 4004])), "rejected"),
            (refuse(of(family, [20_429, 130_429, 4001])), "throttled"),
            (refuse(of(family, [20_503, 131_000, 500])), "unavailable"),
            (refuse(of(family, [20_003, 190, 401])), "misconfigured"),
            (refuse(of(family, [20_404, 132_001, 4003])), "misconfigured"),
            (Mode::Throttle { retry_after: 7 }, "throttled"),
            (Mode::Close, "unknown"),
            (Mode::Garbage, "unknown"),
            (inside([21_606, 190, 1003]), inside_class),
        ] {
            stand_in.set_mode(mode);
            let before = stand_in.messages().len();
            let outcome = provider.send(&plain(channel, NUMBER), soon()).await;
            assert_eq!(
                outcome.class().as_str(),
                class,
                "{kind} {mode:?} {outcome:?}"
            );
            // Once each time, whatever came of it.
            assert_eq!(stand_in.messages().len(), before + 1, "{kind} {mode:?}");
        }
    }
}

/// A number that nobody knows leaves the status to decide.
#[tokio::test]
async fn an_unknown_number_counts_by_its_status() {
    for (family, kind, channel) in KINDS {
        let stand_in = stand_in(family).await;
        let provider = provider(kind, &stand_in, "");
        for (status, class) in [
            (400, "rejected"),
            (401, "misconfigured"),
            (404, "misconfigured"),
            (429, "throttled"),
            (500, "unavailable"),
            (503, "unavailable"),
        ] {
            stand_in.set_mode(Mode::Refuse {
                code: Some(99_999),
                status: Some(status),
            });
            let outcome = provider.send(&plain(channel, NUMBER), soon()).await;
            assert_eq!(outcome.class().as_str(), class, "{kind} {status}");
        }
    }
}

#[tokio::test]
async fn how_long_to_wait_is_what_the_provider_says() {
    for (family, kind, channel) in KINDS {
        let stand_in = stand_in(family).await;
        stand_in.set_mode(Mode::Throttle { retry_after: 7 });
        let provider = provider(kind, &stand_in, "");
        let outcome = provider.send(&plain(channel, NUMBER), soon()).await;
        let retry_after = Some(Duration::from_secs(7));
        assert_eq!(*outcome.class(), Class::Throttled { retry_after }, "{kind}");
    }
}

/// The clock is moved by hand, once the stand-in has the request.
#[tokio::test]
async fn a_provider_that_hangs_may_have_taken_the_message() {
    for (family, kind, channel) in KINDS {
        let stand_in = stand_in(family).await;
        stand_in.set_mode(Mode::Hang);
        let provider = provider(kind, &stand_in, "");
        let message = plain(channel, NUMBER);
        let sending = tokio::spawn(async move { provider.send(&message, soon()).await });
        stand_in.wait_for_messages(1).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(61)).await;
        let outcome = sending.await.unwrap();
        tokio::time::resume();
        assert_eq!(*outcome.class(), Class::Unknown, "{kind}");
        assert_eq!(outcome.detail(), Some(Detail::Word("timeout")), "{kind}");
        assert_eq!(stand_in.messages().len(), 1);
    }
}

#[tokio::test]
async fn a_provider_that_is_gone_surely_did_not_take_the_message() {
    for (family, kind, channel) in KINDS {
        let stand_in = stand_in(family).await;
        let provider = provider(kind, &stand_in, "");
        stand_in.shutdown().await;
        let outcome = provider.send(&plain(channel, NUMBER), soon()).await;
        assert_eq!(*outcome.class(), Class::Unavailable, "{kind}");
    }
}

#[tokio::test]
async fn one_number_fails_at_one_family_and_arrives_at_the_others() {
    for (family, kind, channel) in KINDS {
        let stand_in = stand_in(family).await;
        let provider = provider(kind, &stand_in, "");
        for (digit, of) in [
            ('1', Family::Twilio),
            ('2', Family::Meta),
            ('3', Family::Gupshup),
        ] {
            let number = format!("+12015559{digit}03");
            let outcome = provider.send(&plain(channel, &number), soon()).await;
            let class = if of == family {
                "unavailable"
            } else {
                "accepted"
            };
            assert_eq!(outcome.class().as_str(), class, "{kind} {number}");
        }
    }
}
