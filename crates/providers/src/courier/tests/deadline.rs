//! Whatever providers do, a dispatch answers in time.

use watchword_core::routing::PATIENCE;

use super::*;

const S: [Channel; 1] = [Channel::Sms];

/// Numbers below a bound, from a seed.
struct Dice(SeededEntropy);

impl Dice {
    fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes) % bound
    }

    fn span(&self, millis: u64) -> Duration {
        Duration::from_millis(self.below(millis))
    }

    fn outcome(&self) -> Outcome {
        let retry_after = (self.below(3) > 0).then(|| self.span(9_000));
        match self.below(12) {
            0 => Outcome::accepted(None),
            1 => of(Class::InvalidRecipient),
            2 => of(Class::BlockedRecipient),
            3 => of(Class::Rejected),
            4 | 5 => of(Class::Throttled { retry_after }),
            6 | 7 => of(Class::Throttled { retry_after }).about_recipient(),
            8 => of(Class::Unavailable),
            9 => of(Class::Misconfigured),
            10 => of(Class::Expired),
            _ => of(Class::Unknown),
        }
    }

    fn told(&self) -> Told {
        match self.below(5) {
            0 => Told::Hang,
            1 => Told::Answer(self.outcome()),
            2 => Told::Each((0..self.below(4)).map(|_| self.outcome()).collect()),
            _ => Told::AnswerAfter(self.span(6_000), self.outcome()),
        }
    }
}

/// 400 stages, each with several dispatches at once and one after another, so that breakers and
/// holds are in every state.
#[tokio::test(start_paused = true)]
async fn no_dispatch_outlasts_its_deadline_or_its_code_whatever_providers_do() {
    for seed in 0..400 {
        let dice = Dice(SeededEntropy::new(seed));
        let timeout = (dice.below(2) == 0).then(|| dice.span(12_000));
        let duplicates = if dice.below(2) == 0 {
            Duplicates::Once
        } else {
            Duplicates::Never
        };
        let stage = Stage::with(timeout, duplicates);
        for puppet in &stage.puppets {
            puppet.tell(dice.told());
        }
        for _ in 0..4 {
            let dispatch = || async {
                let deadline = dice.span(12_000);
                let mut envelope = envelope(&[Channel::Whatsapp, Channel::Sms]);
                let life = dice.span(20_000);
                envelope.expires_at = SetClock::default().now().plus(life);
                let began = Instant::now();
                let dispatch = stage.courier.dispatch(envelope, deadline).await;
                // The runtime's clock counts in milliseconds, and rounds up.
                let allowed = deadline.min(life) + Duration::from_millis(1);
                let took = began.elapsed();
                assert!(took <= allowed, "seed {seed}: {took:?} of {allowed:?}");
                dispatch
            };
            let both = tokio::join!(dispatch(), dispatch());
            for dispatch in [both.0, both.1] {
                // A verdict always agrees with its deliveries.
                let maybe = dispatch.deliveries.iter().any(|row| {
                    matches!(
                        row.status,
                        DeliveryStatus::Accepted | DeliveryStatus::Unknown
                    )
                });
                let taken = matches!(dispatch.verdict, Verdict::Taken(_));
                assert_eq!(taken, maybe, "seed {seed}: {dispatch:?}");
            }
            tokio::time::advance(dice.span(40_000)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_provider_costs_one_allowance_at_whatever_place() {
    for place in 0..3 {
        let stage = Stage::new();
        for puppet in &stage.puppets[3..3 + place] {
            puppet.answer(Class::Unavailable);
        }
        stage.puppets[3 + place].tell(Told::Hang);
        let began = Instant::now();
        let dispatch = stage.dispatch(&S).await;
        let allowance = if place < 2 {
            PATIENCE
        } else {
            Duration::from_secs(10)
        };
        assert_eq!(began.elapsed(), allowance);
        assert_eq!(dispatch.verdict, Verdict::Taken(Channel::Sms));
        let hung = &dispatch.deliveries[place];
        assert_eq!(hung.error.as_deref(), Some("unknown: timeout"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_only_provider_that_is_well_gets_all_the_time_there_is() {
    let stage = Stage::new();
    for name in ["s2", "s3"] {
        stage.puppet(name).answer(Class::Misconfigured);
    }
    stage.puppet("s1").answer(Class::Unavailable);
    stage.dispatch(&S).await;
    // Those behind it are closed: there is nobody to save time for.
    let slow = Told::AnswerAfter(Duration::from_secs(8), Outcome::accepted(None));
    stage.puppet("s1").tell(slow);
    let dispatch = stage.dispatch(&S).await;
    assert_eq!(dispatch.verdict, Verdict::Taken(Channel::Sms));
    assert_eq!(dispatch.deliveries.len(), 1);
}
