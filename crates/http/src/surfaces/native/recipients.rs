//! What is held about a recipient: told whole, and erased.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use watchword_core::account::Account;
use watchword_core::{Known, Overview, Scope, SlidingLog, Timestamp};

use super::body;
use super::call::{self, Call};
use super::view::{ChannelName, DeliveryView, StatusName};
use crate::app::App;
use crate::direct::Asked;
use crate::json::answer as json;

/// Whom it is about.
#[derive(ToSchema, serde::Deserialize)]
#[schema(as = NameRecipient, example = json!({"to": "+14155550123"}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct WhoseBody {
    /// Whose data it is.
    #[schema(max_length = 508, example = "+14155550123")]
    to: String,
}

/// Everything that is held about a recipient.
#[derive(Serialize, ToSchema)]
#[schema(as = Recipient)]
pub(super) struct RecipientView<'a> {
    /// Whom it is about, masked.
    to: String,
    /// The keyed index that it is found by: what the audit log calls it, and `sub` of result tokens.
    recipient: String,
    /// Its verifications, oldest first.
    verifications: Vec<KnownView<'a>>,
    /// How many more there are that cannot be read, as their secret key has left the configuration.
    unreadable: usize,
    /// What is counted of it.
    counters: CountersView,
    /// The account that it belongs to. Absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    account: Option<AccountView>,
}

/// A verification as it is held.
#[derive(Serialize, ToSchema)]
#[schema(as = HeldVerification)]
struct KnownView<'a> {
    /// Its handle.
    #[schema(value_type = uuid::Uuid)]
    id: String,
    /// Where it stands.
    #[schema(value_type = StatusName)]
    status: &'static str,
    /// What the code authorises.
    purpose: &'a str,
    /// The channels that were asked for, in order.
    #[schema(value_type = Vec<ChannelName>)]
    channels: Vec<&'static str>,
    /// The language that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    locale: Option<&'a str>,
    /// Whether a long session was asked for.
    remember_me: bool,
    /// When it was started.
    #[schema(format = "date-time")]
    created_at: String,
    /// When the present code was sent.
    #[schema(format = "date-time")]
    sent_at: String,
    /// When the present code dies.
    #[schema(format = "date-time")]
    expires_at: String,
    /// When it reached its end, unless that is the end of its life.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "date-time")]
    ended_at: Option<String>,
    /// Guesses that the present code still bears.
    attempts_remaining: u32,
    /// The hand-overs to providers, oldest first.
    deliveries: Vec<DeliveryView<'a>>,
    /// What was attached at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>, nullable = false)]
    metadata: Option<&'a serde_json::Value>,
}

/// What is counted of a recipient. An erasure leaves it.
#[derive(Serialize, ToSchema)]
#[schema(as = Counters)]
struct CountersView {
    /// When something was sent.
    #[schema(value_type = Vec<String>)]
    sends: Vec<String>,
    /// When a check failed.
    failures: Vec<String>,
    /// How many failed without a success in between.
    failures_in_a_row: u32,
    /// Whether it is locked until somebody unlocks it.
    locked: bool,
}

/// An account.
#[derive(Serialize, ToSchema)]
#[schema(as = HeldAccount)]
struct AccountView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    id: String,
    /// Its address.
    email: String,
    /// What is known of the address.
    email_status: &'static str,
    /// Its number.
    mobile: String,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
}

/// What was erased of a recipient.
#[derive(Serialize, ToSchema)]
#[schema(as = Erasure)]
pub(super) struct ErasureView {
    /// Whom it is about, masked.
    to: String,
    /// How many verifications were removed.
    verifications: u64,
    /// Whether an account was removed.
    account: bool,
}

fn times(log: &SlidingLog) -> Vec<String> {
    log.moments().iter().map(Timestamp::to_string).collect()
}

impl<'a> RecipientView<'a> {
    fn of(to: String, known: &'a Known, account: Option<&Account>) -> Self {
        Self {
            to,
            recipient: known.index.to_string(),
            verifications: known.verifications.iter().map(KnownView::of).collect(),
            unreadable: known.unreadable.len(),
            counters: CountersView {
                sends: times(&known.ledger.sends),
                failures: times(&known.ledger.failures),
                failures_in_a_row: known.ledger.row,
                locked: known.ledger.locked,
            },
            account: account.map(|account| AccountView {
                id: account.id.to_string(),
                email: account.email.canonical().to_owned(),
                email_status: account.email_status.as_str(),
                mobile: account.mobile.canonical().to_owned(),
                created_at: account.created_at.to_string(),
            }),
        }
    }
}

impl<'a> KnownView<'a> {
    fn of(overview: &'a Overview) -> Self {
        let Overview {
            verification,
            status,
            details,
        } = overview;
        let channels = details.channels.iter();
        Self {
            id: verification.id.to_string(),
            status: status.as_str(),
            purpose: verification.purpose.as_str(),
            channels: channels.map(|channel| channel.as_str()).collect(),
            locale: details.locale.as_deref(),
            remember_me: details.remember_me,
            created_at: verification.created_at.to_string(),
            sent_at: verification.sent_at.to_string(),
            expires_at: verification.expires_at.to_string(),
            ended_at: verification.ended_at.map(|at| at.to_string()),
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

/// Show what is held about a recipient
///
/// Everything of the caller's app, but codes and what is kept of them. That it was shown is noted in the audit log,
/// each time: an `Idempotency-Key` does not matter.
#[utoipa::path(
    post, path = "/v1/recipients/show", tag = "native",
    request_body = WhoseBody,
    responses((status = 200, description = "What is held.", body = RecipientView<'_>)),
)]
pub(super) async fn show_recipient(State(app): State<Arc<App>>, asked: Asked) -> Response {
    call::look(app, asked, Scope::ManageRecipients, async |call: Call| {
        let to = body::unlocked(&call.body, &call.app.numbers)?;
        let (app, by) = (&call.caller.app, call.caller.key.as_ref());
        let known = call.app.verifier.known(app, &to, by).await?;
        let account = match &call.app.accounts {
            Some(accounts) => accounts.of(app, &to).await?,
            None => None,
        };
        let view = RecipientView::of(to.masked(), &known, account.as_ref());
        Ok(json(StatusCode::OK, &view))
    })
    .await
}

/// Erase a recipient
///
/// Removes its verifications, live ones too, and its account. Counters stay under its keyed index, as erasing would
/// be a way around every limit. To do it again is fine.
#[utoipa::path(
    post, path = "/v1/recipients/erase", tag = "native",
    request_body = WhoseBody,
    responses((status = 200, description = "It is done.", body = ErasureView)),
)]
pub(super) async fn erase_recipient(State(app): State<Arc<App>>, asked: Asked) -> Response {
    call::write(app, asked, Scope::ManageRecipients, async |call: Call| {
        let to = body::unlocked(&call.body, &call.app.numbers)?;
        let (app, by) = (&call.caller.app, call.caller.key.as_ref());
        // First what could still become an account.
        let verifications = call.app.verifier.erase(app, &to, by).await?;
        let account = match &call.app.accounts {
            Some(accounts) => accounts.erase(app, &to).await?,
            None => false,
        };
        let view = ErasureView {
            to: to.masked(),
            verifications,
            account,
        };
        Ok(json(StatusCode::OK, &view))
    })
    .await
}
