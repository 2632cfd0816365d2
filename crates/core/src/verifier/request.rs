//! What a surface asks of a start, and what it gets.

use std::sync::Arc;

use crate::app::AppId;
use crate::binding::BindingDigest;
use crate::channel::Channel;
use crate::code::Code;
use crate::limit::Standing;
use crate::policy::Policy;
use crate::purpose::Purpose;
use crate::recipient::Recipient;
use crate::verifier::Overview;

/// Who asks, for the limits of a source: a client address as the surface counts it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The surface. Sources are counted separately at each.
    pub surface: &'static str,
    /// The address, IPv6 as its /64.
    pub address: String,
}

/// What a send has to pay, and who asks for it.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The policy of the surface and app.
    pub policy: Arc<Policy>,
    /// Who asks; `None` where the surface's callers are servers that are not counted.
    pub source: Option<Source>,
}

/// A start. `Debug` leaves the metadata out: callers put into it what they like, recipients too.
#[derive(Clone)]
pub struct StartRequest {
    /// Whose it is.
    pub app: AppId,
    /// Whom the code goes to. Without one, nothing is sent and the surface hands the code over.
    pub to: Option<Recipient>,
    /// The channels to try, in order; at least one that reaches the recipient.
    pub channels: Vec<Channel>,
    /// What the code authorises.
    pub purpose: Purpose,
    /// The language of the message.
    pub locale: Option<String>,
    /// What a check has to repeat.
    pub binding: BindingDigest,
    /// What the caller wants to find again.
    pub metadata: Option<serde_json::Value>,
    /// Whether the caller asked for a long session.
    pub remember_me: bool,
    /// The policy, with what this request changes of it, and who asks.
    pub terms: Terms,
}

impl std::fmt::Debug for StartRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StartRequest")
            .field("app", &self.app)
            .field("to", &self.to)
            .field("channels", &self.channels)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

/// A code on its way.
pub struct Sent {
    /// The verification as it stands.
    pub overview: Overview,
    /// The code, for a surface that may show it: never without `--expose-codes` or a key that
    /// has the scope `codes:read`.
    pub code: Code,
    /// What who asked has left of its limits, where somebody is counted and the store says it.
    pub standing: Option<Standing>,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sent")
            .field("overview", &self.overview)
            .finish_non_exhaustive()
    }
}
