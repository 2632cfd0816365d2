//! What callers without a key are told of a recipient, and what those with one are.

use serde_json::{Value, json};
use watchword_core::{Scope, Verdict};
use watchword_http::SurfaceKind;

use crate::public;

/// A call that sends a code to a number.
struct Send {
    surface: SurfaceKind,
    path: &'static str,
    body: fn(&str) -> Value,
    /// What a caller with a key is told when the providers refuse the number.
    told: &'static str,
}

const SENDS: [Send; 4] = [
    Send {
        surface: SurfaceKind::Otp,
        path: "/api/otp/generate",
        body: |number| json!({ "channel": "sms", "identifier": number }),
        told: "The message cannot be delivered to this identifier",
    },
    Send {
        surface: SurfaceKind::Whatsapp,
        path: "/send-otp",
        body: |number| json!({ "phone_number": number }),
        told: "This number cannot be reached by WhatsApp",
    },
    Send {
        surface: SurfaceKind::Whatsapp,
        path: "/resend-otp",
        body: |number| json!({ "phone_number": number }),
        told: "This number cannot be reached by WhatsApp",
    },
    Send {
        surface: SurfaceKind::Uuid,
        path: "/",
        body: |number| json!({ "channel": "sms", "to": number }),
        told: "TO_UNREACHABLE",
    },
];

/// E3: else anybody could look up who has WhatsApp.
#[tokio::test]
async fn what_a_provider_says_of_a_number_is_for_callers_with_a_key_alone() {
    for send in SENDS {
        let Send {
            surface,
            path,
            body,
            told,
        } = send;
        let world = public(&[surface]);
        world.pigeon.answer(Some(Verdict::Unavailable));
        let failed = world.post(path, body("+14155550121")).await;
        assert!(failed.status.is_server_error(), "{path}: {}", failed.text);
        world.pigeon.answer(Some(Verdict::Refused));
        let refused = world.post(path, body("+14155550122")).await;
        assert_eq!(refused.status, failed.status, "{path}: {}", refused.text);
        assert_eq!(refused.text, failed.text, "{path}");
        assert_eq!(refused.headers, failed.headers, "{path}");
        let known = world.as_app("default", &[Scope::WriteVerifications]);
        let refused = known.post(path, body("+14155550123")).await;
        assert_eq!(refused.status, 400, "{path}: {}", refused.text);
        assert!(refused.text.contains(told), "{path}: {}", refused.text);
    }
}
