//! How providers are configured, for whoever looks for a fault.

use crate::channel::Channel;

/// One provider as it is configured.
///
/// **Invariant:** no setting and no part of the sample holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderDescription {
    /// Its name in the configuration.
    pub name: String,
    /// Its kind in the configuration.
    pub kind: &'static str,
    /// What is set, under the names that its own documents have where they have one.
    pub settings: Vec<(String, String)>,
    /// What it would be sent for an example; `None` where that is no HTTP request.
    pub sample: Option<RequestSample>,
}

/// An HTTP request that was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSample {
    /// Where to.
    pub url: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// The fields of its form, or one nameless part.
    pub body: Vec<(String, String)>,
}

/// Knows how providers are configured.
pub trait ProviderDescriptions: Send + Sync + 'static {
    /// The providers of a channel, in the order in which they are tried for numbers of no special
    /// country.
    fn of(&self, channel: Channel) -> Vec<ProviderDescription>;
}

/// For servers that tell nothing.
impl ProviderDescriptions for () {
    fn of(&self, _: Channel) -> Vec<ProviderDescription> {
        Vec::new()
    }
}
