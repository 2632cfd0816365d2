//! The rules of Watchword: codes, recipients, verifications, budgets, limits, routing and messages.
//!
//! **Invariant:** nothing here does I/O, reads a clock or draws randomness by itself. Time and
//! chance are arguments or ports ([`Clock`], [`Entropy`]); what is kept and what is sent goes
//! through [`Store`] and [`Messenger`].

#![forbid(unsafe_code)]

pub mod account;
mod api_key;
mod app;
pub mod audit;
mod binding;
mod callback;
mod channel;
mod clock;
mod code;
mod compact;
mod countries;
mod delivery;
mod description;
mod details;
mod digest;
mod entropy;
mod event;
mod id;
mod inbox;
pub mod keys;
mod ledger;
mod limit;
pub mod memory;
mod message;
mod messenger;
pub mod moving;
mod odds;
mod policy;
mod purpose;
mod recipient;
pub mod routing;
pub mod step;
mod store;
mod template;
mod token;
mod verification;
mod verifier;

#[cfg(feature = "testing")]
pub mod conformance;
#[cfg(feature = "testing")]
pub mod fakes;

pub use api_key::{
    ApiKey, ApiKeyId, ApiKeyRecord, ApiKeyStore, InvalidApiKey, Scope, UnknownScope,
};
pub use app::{AppId, InvalidAppId};
pub use binding::{BindingDigest, InvalidBinding};
pub use callback::{About, Callback, CallbackMethod, CallbackRequest, Callbacks, Receipt};
pub use channel::{Channel, UnknownChannel};
pub use clock::{Clock, Timestamp};
pub use code::{Alphabet, Code, CodeFormat, InvalidCode};
pub use countries::{Countries, NoCountries};
pub use delivery::{Delivery, DeliveryId, DeliveryStatus};
pub use description::{ProviderDescription, ProviderDescriptions, RequestSample};
pub use details::Details;
pub use digest::{Candidate, CodeContext, CodeDigest, RecipientIndex, SourceIndex};
pub use entropy::{Entropy, EntropyError, draw};
pub use event::{CheckFailure, Event, Events, SendRefusal, Subject};
pub use id::VerificationId;
pub use inbox::{Inbox, InboxMessage};
pub use ledger::{Locked, Memory, ROW_MEMORY, RecipientLedger, Slot};
pub use limit::{Limit, Per, Quota, SlidingLog, Standing};
pub use message::{InvalidLocale, Locale, Message, SecretText};
pub use messenger::{Dispatch, Envelope, Messenger, Verdict};
pub use odds::{GuessingOdds, Weakness, one_in, percent};
pub use policy::{
    FailureBudget, InvalidPolicy, LONGEST_WINDOW, Policy, PolicyPatch, WhenPending, span,
};
pub use purpose::{InvalidPurpose, Purpose};
pub use recipient::{
    Email, InvalidRecipient, NumberRules, Phone, Recipient, RecipientKind, Region, UnknownRegion,
};
pub use step::{
    CancelOutcome, Charged, CheckOutcome, CheckStep, CheckTarget, Dispatched, Note, Refusal,
    ResendOutcome, ResendStep, SendTerms, SourceCharge, StartOutcome, StartStep, Turn, Withdrawal,
};
pub use store::{
    MessageKey, Readiness, Remembered, Replay, ReplayKey, ReplayStore, Store, StoreError,
};
pub use template::{
    AppHash, InvalidTemplate, Occasion, Rendered, TemplateFault, TemplateSettings, TemplateTexts,
    Templates, WebOtpDomain,
};
pub use token::{RESULT_TYPE, TOKEN_TTL, result_token, sign};
pub use verification::{Fallback, Guess, MAX_DELIVERIES, RETENTION, Status, Verification};
/// The target of every span of a trace. Nothing else has it, so that where traces go nowhere a span
/// is no more than a look at a flag, and so that no log line finds its way into a trace.
pub const TRACE: &str = "watchword::trace";

pub use verifier::{
    Approved, CancelError, CheckError, CheckRequest, Failure, Known, Overview, Parts, Received,
    ResendRequest, ResultToken, SendError, Sent, Source, StartRequest, Terms, Verifier, Whose,
};
