//! Counts what the rules decided.

use std::collections::BTreeMap;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use watchword_core::{Channel, CheckFailure, DeliveryStatus, Event, Events, SendRefusal, Subject};

mod by_country;

use self::by_country::ByCountry;

type Labels = [(&'static str, &'static str); 1];

/// One counter for each thing that can happen, resolved when the server starts.
pub(crate) struct CountedEvents {
    /// Every provider by its name, and where its counters are.
    providers: BTreeMap<String, usize>,
    started: ByCountry,
    resent: ByCountry,
    approved: ByCountry,
    refused: [Counter; 8],
    failed: [Counter; 4],
    receipts: Vec<[Counter; 6]>,
    fell_back: [Counter; 4],
    fallbacks_failed: [Counter; 4],
    canceled: Counter,
    locked: Counter,
    unlocked: Counter,
    recipients_shown: Counter,
    erased: Counter,
    shown: Counter,
    store_failed: Counter,
}

const REFUSALS: [SendRefusal; 8] = [
    SendRefusal::Country,
    SendRefusal::SourceLimit,
    SendRefusal::RecipientLimit,
    SendRefusal::Cooldown,
    SendRefusal::Locked,
    SendRefusal::Live,
    SendRefusal::Undeliverable,
    SendRefusal::Unreachable,
];

const STATUSES: [DeliveryStatus; 6] = [
    DeliveryStatus::Unknown,
    DeliveryStatus::Accepted,
    DeliveryStatus::Sent,
    DeliveryStatus::Failed,
    DeliveryStatus::Delivered,
    DeliveryStatus::Read,
];

const FAILURES: [CheckFailure; 4] = [
    CheckFailure::Incorrect,
    CheckFailure::Exhausted,
    CheckFailure::Locked,
    CheckFailure::NotFound,
];

impl CountedEvents {
    /// Adds the counters. `providers` names all there are.
    pub(crate) fn new<'a>(
        registry: &mut Registry,
        providers: impl IntoIterator<Item = &'a String>,
    ) -> Self {
        let names: Vec<String> = providers.into_iter().cloned().collect();
        let mut of_country = |name: &str, help: &str| ByCountry::new(registry, name, help, &names);
        let started = of_country("verifications_started", "Verifications started");
        let resent = of_country("verifications_resent", "Fresh codes sent");
        let approved = of_country("verifications_approved", "Checks approved");
        let receipts = Family::<[(&'static str, String); 2], Counter>::default();
        registry.register(
            "receipts",
            "Receipts of providers about messages of ours",
            receipts.clone(),
        );
        let of_provider = |name: &String| {
            STATUSES.map(|status| {
                let status = ("status", status.as_str().to_owned());
                receipts.get_or_create_owned(&[("provider", name.clone()), status])
            })
        };
        let receipts = names.iter().map(of_provider).collect();
        let by_channel = |registry: &mut Registry, name: &str, help: &str| {
            family(
                registry,
                name,
                help,
                "channel",
                Channel::ALL.map(Channel::as_str),
            )
        };
        let single = |registry: &mut Registry, name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        Self {
            providers: names.into_iter().zip(0..).collect(),
            started,
            resent,
            approved,
            receipts,
            refused: family(
                registry,
                "sends_refused",
                "Sends refused",
                "reason",
                REFUSALS.map(SendRefusal::as_str),
            ),
            failed: family(
                registry,
                "checks_failed",
                "Checks failed",
                "reason",
                FAILURES.map(CheckFailure::as_str),
            ),
            fell_back: by_channel(
                registry,
                "fallbacks_sent",
                "Messages that were sent over the next channel, as another did not arrive",
            ),
            fallbacks_failed: by_channel(
                registry,
                "fallbacks_failed",
                "Turns of the next channel in which no provider took the message",
            ),
            canceled: single(registry, "verifications_canceled", "Verifications canceled"),
            locked: single(
                registry,
                "recipients_locked",
                "Recipients that a failed check locked until somebody unlocks them",
            ),
            shown: single(
                registry,
                "codes_shown",
                "Codes shown to callers who may see them",
            ),
            recipients_shown: single(
                registry,
                "recipients_shown",
                "Recipients of whom everything that is held was told",
            ),
            erased: single(registry, "recipients_erased", "Recipients erased"),
            unlocked: single(registry, "recipients_unlocked", "Recipients unlocked"),
            store_failed: single(
                registry,
                "store_failures",
                "Steps that the store did not do",
            ),
        }
    }
}

/// A family with every member made, so that nothing is looked up later and all start at zero.
fn family<const N: usize>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: [&'static str; N],
) -> [Counter; N] {
    let family = Family::<Labels, Counter>::default();
    registry.register(name, help, family.clone());
    values.map(|value| family.get_or_create_owned(&[(label, value)]))
}

impl Events for CountedEvents {
    fn note(&self, event: Event, subject: &Subject<'_>) {
        let of = |channel: Channel| channel as usize;
        let provider = || subject.provider.and_then(|name| self.providers.get(name));
        let count = |counters: &ByCountry, channel| {
            counters.inc(channel, provider().copied(), subject.country)
        };
        match event {
            Event::Started(channel) => count(&self.started, channel),
            Event::Resent(channel) => count(&self.resent, channel),
            Event::Approved(channel) => count(&self.approved, channel),
            Event::SendRefused(refusal) => self.refused[refusal as usize].inc(),
            Event::CheckFailed(failure) => self.failed[failure as usize].inc(),
            Event::Receipt(_, status) => {
                // A receipt came in by its provider's name, so there is one.
                provider().map_or(0, |place| self.receipts[*place][status as usize].inc())
            }
            Event::FellBack { channel, taken } => {
                let counters = if taken {
                    &self.fell_back
                } else {
                    &self.fallbacks_failed
                };
                counters[of(channel)].inc()
            }
            Event::Canceled => self.canceled.inc(),
            Event::Locked => self.locked.inc(),
            Event::Unlocked => self.unlocked.inc(),
            Event::RecipientShown => self.recipients_shown.inc(),
            Event::RecipientErased => self.erased.inc(),
            Event::CodeShown => self.shown.inc(),
            Event::StoreFailed => self.store_failed.inc(),
        };
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    const NOBODY: Subject<'_> = Subject {
        app: None,
        verification: None,
        recipient: None,
        by: None,
        provider: None,
        country: None,
    };

    #[test]
    fn each_event_counts_under_its_own_name() {
        let mut registry = Registry::default();
        let events = CountedEvents::new(&mut registry, [&"tw".to_owned()]);
        for channel in Channel::ALL {
            events.note(Event::Started(channel), &NOBODY);
            events.note(Event::Resent(channel), &NOBODY);
            events.note(Event::Approved(channel), &NOBODY);
            for taken in [true, false] {
                events.note(Event::FellBack { channel, taken }, &NOBODY);
            }
        }
        REFUSALS
            .into_iter()
            .for_each(|refusal| events.note(Event::SendRefused(refusal), &NOBODY));
        FAILURES
            .into_iter()
            .for_each(|failure| events.note(Event::CheckFailed(failure), &NOBODY));
        for status in STATUSES {
            let subject = Subject {
                provider: Some("tw"),
                ..NOBODY
            };
            events.note(Event::Receipt(Channel::Sms, status), &subject);
        }
        for event in [
            Event::Canceled,
            Event::Locked,
            Event::Unlocked,
            Event::RecipientShown,
            Event::RecipientErased,
            Event::CodeShown,
            Event::StoreFailed,
        ] {
            events.note(event, &NOBODY);
        }
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        let counted: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(counted.len(), 45);
        assert!(counted.iter().all(|line| line.ends_with(" 1")), "{page}");
    }
}
