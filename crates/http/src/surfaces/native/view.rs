//! What the native API answers.

use serde::Serialize;
use utoipa::ToSchema;
use watchword_core::{
    Approved, Delivery, Overview, Policy, ResultToken, Timestamp, VerificationId,
};

use crate::json::display;

/// A verification: one code on its way to one recipient.
#[derive(Serialize, ToSchema)]
#[schema(as = Verification)]
pub(super) struct VerificationView<'a> {
    /// Its handle.
    #[serde(serialize_with = "display")]
    #[schema(value_type = uuid::Uuid)]
    id: VerificationId,
    /// Where it stands. All but `pending` are final.
    #[schema(value_type = StatusName)]
    status: &'a str,
    /// Whom the code goes to, masked. Absent where nothing is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "+1••••••0123")]
    to: Option<String>,
    /// The channel that the present code was first sent over.
    #[schema(value_type = ChannelName)]
    channel: &'a str,
    /// What the code authorises.
    purpose: &'a str,
    /// When it was started.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When the present code dies.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = "date-time")]
    expires_at: Timestamp,
    /// When the next code may be sent.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = "date-time")]
    resend_at: Timestamp,
    /// Guesses that the present code still bears.
    attempts_remaining: u32,
    /// The hand-overs to providers, oldest first.
    deliveries: Vec<DeliveryView<'a>>,
    /// What was attached at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>, nullable = false)]
    metadata: Option<&'a serde_json::Value>,
}

/// One hand-over of one message to one provider.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(super) struct DeliveryView<'a> {
    /// Its id.
    id: uuid::Uuid,
    /// How the message travels.
    #[schema(value_type = ChannelName)]
    channel: &'a str,
    /// The provider's name in the configuration.
    provider: &'a str,
    /// How far the message came. Only ever moves forward.
    #[schema(value_type = DeliveryStatusName)]
    status: &'a str,
    /// When it came that far.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = "date-time")]
    at: Timestamp,
    /// Why it is not known to arrive: the class of the outcome, and the provider's own number where it gives one. Absent
    /// where nothing is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "invalid_recipient: 21211")]
    error: Option<&'a str>,
}

/// An approval. It is given once.
#[derive(Serialize, ToSchema)]
#[schema(as = Approval)]
pub(super) struct ApprovalView<'a> {
    /// The handle of the verification.
    #[serde(serialize_with = "display")]
    #[schema(value_type = uuid::Uuid)]
    id: VerificationId,
    /// Always `approved`.
    #[schema(value_type = ApprovedName)]
    status: &'static str,
    /// When it was approved.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = "date-time")]
    approved_at: Timestamp,
    /// The signed result: a JWT under EdDSA, good for 10 minutes, to be checked with the keys at
    /// `/.well-known/jwks.json`.
    token: &'a str,
}

/// What came of an unlock.
#[derive(Serialize, ToSchema)]
#[schema(as = Unlock)]
pub(super) struct UnlockView {
    /// Whom it is about, masked.
    pub(super) to: String,
    /// Whether there was a lock to lift or a failure to forget.
    pub(super) unlocked: bool,
}

/// Where a verification stands.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum StatusName {
    Pending,
    Approved,
    Canceled,
    Expired,
    Exhausted,
    Superseded,
    Failed,
}

/// An approved verification.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum ApprovedName {
    Approved,
}

/// How far a delivery came.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum DeliveryStatusName {
    Unknown,
    Accepted,
    Sent,
    Failed,
    Delivered,
    Read,
}

/// A way for a code to reach its recipient.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum ChannelName {
    Whatsapp,
    Sms,
    Email,
    Voice,
}

impl<'a> VerificationView<'a> {
    /// `policy` is that of the surface and app: its cooldown says when the next code may be sent.
    pub(super) fn of(overview: &'a Overview, policy: &Policy) -> Self {
        let Overview {
            verification,
            status,
            details,
        } = overview;
        Self {
            id: verification.id,
            status: status.as_str(),
            to: details.to.as_ref().map(watchword_core::Recipient::masked),
            channel: verification.channel.as_str(),
            purpose: verification.purpose.as_str(),
            created_at: verification.created_at,
            expires_at: verification.expires_at,
            resend_at: verification.sent_at.plus(policy.resend_cooldown),
            attempts_remaining: verification.attempts_left,
            deliveries: verification
                .deliveries
                .iter()
                .map(DeliveryView::of)
                .collect(),
            metadata: details.metadata.as_ref(),
        }
    }
}

impl<'a> DeliveryView<'a> {
    pub(super) fn of(delivery: &'a Delivery) -> Self {
        Self {
            id: delivery.id.0,
            channel: delivery.channel.as_str(),
            provider: &delivery.provider,
            status: delivery.status.as_str(),
            at: delivery.at,
            error: delivery.error.as_deref(),
        }
    }
}

impl<'a> ApprovalView<'a> {
    pub(super) fn of(approved: &'a Approved, token: &'a ResultToken) -> Self {
        Self {
            id: approved.overview.verification.id,
            status: approved.overview.status.as_str(),
            approved_at: approved.at,
            token: token.expose(),
        }
    }
}
