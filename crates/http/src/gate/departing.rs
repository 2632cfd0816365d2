//! The way from a store on the network to the provider.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use watchword_core::{Channel, Dispatch, Envelope, Messenger};

use super::desk::leave_store;

/// Carries messages as another does, once the request at hand has left the store: its code is there, and others are
/// not to wait for its provider. Without a [`Gate::before_remote_store`](crate::Gate::before_remote_store) nothing is left,
/// and it only carries.
pub struct Departing(Arc<dyn Messenger>);

impl Departing {
    /// Has them carried by this.
    #[must_use]
    pub fn by(messenger: Arc<dyn Messenger>) -> Self {
        Self(messenger)
    }
}

#[async_trait]
impl Messenger for Departing {
    fn serves(&self, channel: Channel) -> bool {
        self.0.serves(channel)
    }

    fn tracks(&self, provider: &str) -> bool {
        self.0.tracks(provider)
    }

    async fn dispatch(&self, envelope: Envelope, deadline: Duration) -> Dispatch {
        leave_store();
        self.0.dispatch(envelope, deadline).await
    }
}
