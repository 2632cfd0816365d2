//! What stand-ins sign and report, read by the providers that the messages left through.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watchword_core::DeliveryStatus::{self, Accepted, Delivered, Failed, Read, Sent};
use watchword_core::{About, Callback, CallbackMethod, CallbackRequest, Channel};
use watchword_providers::Provider;
use watchword_stand_ins::{
    Callback as Posted, EventFormat, Family, Mode, Options, Receipt, StandIn, account,
};

use super::messages::{KINDS, NUMBER, PUBLIC_URL, plain, provider};

/// A stand-in that took one message of a provider, which is called back as it was told.
struct Reported {
    stand_in: StandIn,
    provider: Arc<dyn Provider>,
    id: String,
}

impl Reported {
    async fn of(family: Family, kind: &str, channel: Channel, options: Options) -> Self {
        let token = match family {
            Family::Gupshup => format!("?token={}", account::GUPSHUP_CALLBACK_TOKEN),
            _ => String::new(),
        };
        let options = Options {
            callbacks: Some(format!("{PUBLIC_URL}/callbacks/{kind}{token}")),
            ..options
        };
        let stand_in = StandIn::start(family, options).await.unwrap();
        stand_in.set_mode(Mode::AcceptWithoutReceipts);
        let provider = provider(kind, &stand_in, "");
        let soon = Instant::now() + Duration::from_mins(1);
        provider.send(&plain(channel, NUMBER), soon).await;
        let id = stand_in.messages()[0].id.clone();
        Self {
            stand_in,
            provider,
            id,
        }
    }

    fn posted(&self, receipt: &Receipt) -> Posted {
        self.stand_in.callback(&self.id, receipt).unwrap()
    }

    fn read(&self, posted: &Posted) -> Callback {
        let headers: Vec<_> = posted
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        self.provider.callbacks().unwrap().read(&CallbackRequest {
            method: CallbackMethod::Post,
            query: posted.url.split_once('?').map(|(_, query)| query),
            headers: &headers,
            body: &posted.body,
        })
    }
}

/// What each family says of a message, and what it means.
fn states(kind: &str) -> Vec<(Receipt, DeliveryStatus, Option<&'static str>)> {
    let plain = |word, status| (Receipt::new(word), status, None);
    let failed = |word, code, class| (Receipt::failed(word, code), Failed, Some(class));
    match kind {
        "twilio-sms" => vec![
            plain("sent", Sent),
            plain("delivered", Delivered),
            failed("undelivered", 30_005, "invalid_recipient"),
            failed("failed", 30_007, "rejected"),
        ],
        "twilio-whatsapp" => vec![
            plain("sent", Sent),
            plain("delivered", Delivered),
            plain("read", Read),
            failed("failed", 63_024, "invalid_recipient"),
        ],
        "twilio-voice" => vec![plain("completed", Delivered)],
        "meta-whatsapp" => vec![
            plain("sent", Sent),
            plain("delivered", Delivered),
            plain("read", Read),
            failed("failed", 131_026, "invalid_recipient"),
            failed("failed", 131_049, "rejected"),
        ],
        _ => vec![
            plain("enqueued", Accepted),
            plain("sent", Sent),
            plain("delivered", Delivered),
            plain("read", Read),
            failed("failed", 131_026, "invalid_recipient"),
        ],
    }
}

/// The forms that callbacks have: as usual, and the other one of Twilio and Gupshup.
fn forms() -> [Options; 2] {
    let other = Options {
        json_receipts: true,
        event_format: EventFormat::V3,
        ..Options::default()
    };
    [Options::default(), other]
}

#[tokio::test]
async fn what_is_reported_leads_back_to_the_message_and_says_how_far_it_came() {
    for (family, kind, channel) in KINDS {
        for options in forms() {
            let reported = Reported::of(family, kind, channel, options).await;
            for (receipt, status, class) in states(kind) {
                let read = reported.read(&reported.posted(&receipt));
                let Callback::Receipts(receipts) = read else {
                    panic!("{kind} {receipt:?}: {read:?}");
                };
                let [read] = &receipts[..] else {
                    panic!("{kind} {receipt:?}: {receipts:?}");
                };
                assert_eq!((read.status, read.channel), (status, channel), "{kind}");
                assert_eq!(read.message_id.as_deref(), Some(reported.id.as_str()));
                match &read.about {
                    About::Delivery { delivery, .. } => {
                        assert_eq!(delivery.0, plain(channel, NUMBER).delivery_id);
                    }
                    About::Message(id) => {
                        assert_eq!((family, id), (Family::Gupshup, &reported.id));
                    }
                }
                let error = read.error.as_deref().unwrap_or_default();
                assert!(
                    error.starts_with(class.unwrap_or_default()),
                    "{kind} {error}"
                );
                assert_eq!(error.is_empty(), class.is_none());
            }
        }
    }
}

#[tokio::test]
async fn a_report_that_was_changed_on_the_way_is_refused() {
    for (family, kind, channel) in KINDS {
        for options in forms() {
            let reported = Reported::of(family, kind, channel, options).await;
            let right = reported.posted(&Receipt::new("delivered"));
            // Gupshup signs nothing: only its token says who it is.
            for at in (0..right.body.len()).filter(|_| family != Family::Gupshup) {
                let mut posted = right.clone();
                posted.body[at] ^= 1;
                assert_eq!(reported.read(&posted), Callback::Refused, "{kind} {at}");
            }
            let mut unsigned = right.clone();
            unsigned.headers.clear();
            unsigned
                .url
                .truncate(unsigned.url.find('?').unwrap_or(unsigned.url.len()));
            assert_eq!(reported.read(&unsigned), Callback::Refused, "{kind}");
        }
    }
}
