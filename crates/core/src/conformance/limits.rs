//! Promises about how often may be sent.

use std::sync::Arc;
use std::time::Duration;

use super::Opened;
use super::desk::{
    CROWD, Desk, MILLI, MINUTE, Order, RIGHT, SECOND, T0, approved, count, crowd, limited, quota,
    started,
};
use crate::step::{Refusal, ResendOutcome, StartOutcome};

const TEN_MINUTES: Duration = Duration::from_mins(10);

/// Three in ten minutes are three, however many ask at once.
pub async fn parallel_starts_of_one_recipient_get_exactly_its_limit(store: impl Opened) {
    let desk = Desk::open(store);
    let outcomes = crowd(CROWD, |number| {
        let desk = Arc::clone(&desk);
        // Under different purposes, so that nothing but the limit stands in the way.
        let purpose = ["login", "signup", "transfer", "reset"][number % 4];
        let order = Order {
            purpose,
            ..limited(3)
        };
        async move { desk.try_start(&order, T0).await.1 }
    })
    .await;
    assert_eq!(count(&outcomes, started), 3, "admitted starts");
    let refusal = StartOutcome::Refused(Refusal::RecipientLimit {
        retry_after: TEN_MINUTES,
    });
    let refused = count(&outcomes, |outcome| *outcome == refusal);
    assert_eq!(refused, CROWD - 3);
    // Many small crowds meet at the edge of a limit more often than one big crowd does.
    for to in 0..50 {
        let outcomes = crowd(8, |_| {
            let (desk, order) = (Arc::clone(&desk), Order { to, ..limited(2) });
            async move { desk.try_start(&order, T0).await.1 }
        })
        .await;
        assert_eq!(count(&outcomes, started), 2, "admitted starts");
    }
}

/// Thirty in ten minutes are thirty, whomever they are for.
pub async fn parallel_starts_of_one_source_get_exactly_its_limit(store: impl Opened) {
    let desk = Desk::open(store);
    let outcomes = crowd(CROWD, |number| {
        let desk = Arc::clone(&desk);
        let order = Order {
            to: u32::try_from(number).expect("few callers"),
            source: Some((1, vec![quota(30, TEN_MINUTES)])),
            ..limited(3)
        };
        async move { desk.try_start(&order, T0).await.1 }
    })
    .await;
    assert_eq!(count(&outcomes, started), 30, "admitted starts");
    let refusal = StartOutcome::Refused(Refusal::SourceLimit {
        retry_after: TEN_MINUTES,
    });
    let refused = count(&outcomes, |outcome| *outcome == refusal);
    assert_eq!(refused, CROWD - 30);
    for who in 2..200 {
        let outcomes = crowd(8, |number| {
            let desk = Arc::clone(&desk);
            let order = Order {
                to: 1000 + u32::from(who) * 8 + u32::try_from(number).expect("few callers"),
                source: Some((who, vec![quota(1, TEN_MINUTES)])),
                ..Order::default()
            };
            async move { desk.try_start(&order, T0).await.1 }
        })
        .await;
        assert_eq!(count(&outcomes, started), 1, "admitted starts");
    }
}

/// One source stops at its own limit over many recipients, many sources stop at the limit of one
/// recipient: neither is counted as a pair.
pub async fn recipients_and_sources_are_limited_apart(store: impl Opened) {
    let desk = Desk::open(store);
    let order = |to, who| Order {
        to,
        source: Some((who, vec![quota(5, TEN_MINUTES)])),
        ..limited(3)
    };
    for to in 0..5 {
        desk.start(&order(to, 1), T0).await;
    }
    let (_, sixth) = desk.try_start(&order(5, 1), T0).await;
    let retry_after = TEN_MINUTES;
    let by_source = Refusal::SourceLimit { retry_after };
    assert_eq!(sixth, StartOutcome::Refused(by_source));
    for who in 2..4 {
        desk.start(&order(0, who), T0).await;
    }
    let (_, fourth) = desk.try_start(&order(0, 4), T0).await;
    let by_recipient = Refusal::RecipientLimit { retry_after };
    assert_eq!(fourth, StartOutcome::Refused(by_recipient));
}

/// Refused by the recipient (its limit, its cooldown, its live code): the source is not charged.
pub async fn a_refusal_by_the_recipient_costs_the_source_nothing(store: impl Opened) {
    let desk = Desk::open(store);
    let source = Some((1, vec![quota(3, TEN_MINUTES)]));
    let full = Order {
        source: source.clone(),
        ..limited(1)
    };
    let cooling = Order {
        to: 101,
        cooldown: MINUTE,
        source: source.clone(),
        ..Order::default()
    };
    let id = desk.start(&full, T0).await;
    let cooled = desk.start(&cooling, T0).await;
    for _ in 0..5 {
        let (_, outcome) = desk.try_start(&full, T0).await;
        assert!(!started(&outcome));
        let outcome = desk.resend(id, &full, T0).await;
        assert!(matches!(outcome, ResendOutcome::Refused(_)), "{outcome:?}");
        let (_, outcome) = desk.try_start(&cooling, T0).await;
        assert!(!started(&outcome));
        let outcome = desk.resend(cooled, &cooling, T0).await;
        assert!(matches!(outcome, ResendOutcome::Refused(_)), "{outcome:?}");
        let unknown = desk.start_step(&full).id;
        let outcome = desk.resend(unknown, &full, T0).await;
        assert_eq!(outcome, ResendOutcome::NotFound);
    }
    let third = Order {
        to: 102,
        source,
        ..Order::default()
    };
    desk.start(&third, T0).await;
    let (_, fourth) = desk.try_start(&third, T0).await;
    assert!(!started(&fourth), "the source had three");
}

/// Refused by the source: the recipient keeps its slots, its cooldown and its live code.
pub async fn a_refusal_by_the_source_costs_the_recipient_nothing(store: impl Opened) {
    let desk = Desk::open(store);
    let flood = Order {
        cooldown: SECOND,
        source: Some((1, vec![quota(1, TEN_MINUTES)])),
        ..limited(2)
    };
    let victim = Order {
        source: None,
        ..flood.clone()
    };
    let id = desk.start(&flood, T0).await;
    let before = desk.get(id, &victim, T0).await;
    let later = T0.plus(SECOND);
    for _ in 0..20 {
        let (_, outcome) = desk.try_start(&flood, later).await;
        assert!(!started(&outcome));
        let outcome = desk.resend(id, &flood, later).await;
        assert!(matches!(outcome, ResendOutcome::Refused(_)), "{outcome:?}");
    }
    assert_eq!(desk.get(id, &victim, later).await, before);
    desk.start(&victim, later).await;
    let end = T0.plus(TEN_MINUTES);
    desk.start(&victim, end).await;
}

/// The answer says how long to wait; waiting that long is enough, and a millisecond less is not.
/// Three just before and three just after an edge are three.
pub async fn a_limit_ends_to_the_millisecond(store: impl Opened) {
    let (desk, order) = (Desk::open(store), limited(3));
    for second in [0, 1, 599] {
        desk.start(&order, T0.plus(SECOND * second)).await;
    }
    let refused = |retry_after| StartOutcome::Refused(Refusal::RecipientLimit { retry_after });
    let edge = T0.plus(TEN_MINUTES);
    let (_, outcome) = desk.try_start(&order, edge.minus(MILLI)).await;
    assert_eq!(outcome, refused(MILLI));
    desk.start(&order, edge).await;
    let (_, outcome) = desk.try_start(&order, edge).await;
    assert_eq!(outcome, refused(SECOND));
    desk.start(&order, edge.plus(SECOND)).await;
    let (_, outcome) = desk.try_start(&order, edge.plus(SECOND)).await;
    assert_eq!(outcome, refused(SECOND * 598));
}

/// Sends under one policy are seen by another with a longer window, for recipients and sources.
pub async fn a_limit_counts_what_was_sent_under_other_limits(store: impl Opened) {
    let desk = Desk::open(store);
    let short = |to, who| Order {
        to,
        limits: vec![quota(2, MINUTE)],
        source: Some((who, vec![quota(2, MINUTE)])),
        ..Order::default()
    };
    let long = |to, who| Order {
        limits: vec![quota(4, MINUTE * 60)],
        source: Some((who, vec![quota(4, MINUTE * 60)])),
        ..short(to, who)
    };
    for minute in 0..4 {
        desk.start(&short(1, 1), T0.plus(MINUTE * minute)).await;
    }
    let now = T0.plus(MINUTE * 4);
    let retry_after = MINUTE * 56;
    let (_, outcome) = desk.try_start(&long(1, 2), now).await;
    let refusal = Refusal::RecipientLimit { retry_after };
    assert_eq!(outcome, StartOutcome::Refused(refusal));
    let (_, outcome) = desk.try_start(&long(2, 1), now).await;
    let refusal = Refusal::SourceLimit { retry_after };
    assert_eq!(outcome, StartOutcome::Refused(refusal));
}

/// Thirty seconds after a send, the same recipient and purpose may be sent the next.
pub async fn the_cooldown_holds_for_starts_and_resends_of_its_purpose(store: impl Opened) {
    let desk = Desk::open(store);
    let order = Order {
        cooldown: SECOND * 30,
        ..Order::default()
    };
    let signup = Order {
        purpose: "signup",
        ..order.clone()
    };
    let neighbour = Order {
        to: 101,
        ..order.clone()
    };
    let id = desk.start(&order, T0).await;
    let wait = |retry_after| Refusal::Cooldown { retry_after };
    let soon = T0.plus(SECOND * 30).minus(MILLI);
    let (_, outcome) = desk.try_start(&order, soon).await;
    assert_eq!(outcome, StartOutcome::Refused(wait(MILLI)));
    let outcome = desk.resend(id, &order, soon).await;
    assert_eq!(outcome, ResendOutcome::Refused(wait(MILLI)));
    desk.start(&signup, soon).await;
    desk.start(&neighbour, soon).await;
    let due = T0.plus(SECOND * 30);
    desk.renew(id, &order, due).await;
    let (_, outcome) = desk.try_start(&order, due).await;
    assert_eq!(outcome, StartOutcome::Refused(wait(SECOND * 30)));
    // Neither does an approval end it.
    assert!(approved(&desk.check(id, &order, RIGHT, due).await));
    let (_, outcome) = desk.try_start(&order, due.plus(SECOND)).await;
    assert_eq!(outcome, StartOutcome::Refused(wait(SECOND * 29)));
    desk.start(&order, due.plus(SECOND * 30)).await;
}
