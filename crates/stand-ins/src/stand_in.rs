//! A stand-in that runs.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::callback::{Callback, CallbackFault};
use crate::family::Family;
use crate::mode::Mode;
use crate::options::Options;
use crate::receipt::Receipt;
use crate::shared::{Shared, Taken};
use crate::{control, gupshup, meta, server, twilio};

/// Why a stand-in did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// It was told to listen where others could reach it.
    #[error("{0} is not loopback: a stand-in shows codes to whoever asks")]
    NotLoopback(SocketAddr),
    /// Nothing can listen there.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why it cannot.
        #[source]
        source: io::Error,
    },
}

/// One provider on loopback. It ends when it is dropped.
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl StandIn {
    /// Starts one. It accepts everything until it is told otherwise.
    ///
    /// # Errors
    /// [`StartFault`] when it may not or cannot listen there.
    pub async fn start(family: Family, options: Options) -> Result<Self, StartFault> {
        let address = options.bind;
        if !address.ip().is_loopback() {
            return Err(StartFault::NotLoopback(address));
        }
        let bind = |source| StartFault::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let shared = Arc::new(Shared::new(family, options));
        let routes = match family {
            Family::Twilio => twilio::routes(),
            Family::Meta => meta::routes(),
            Family::Gupshup => gupshup::routes(),
        };
        let router = routes
            .merge(control::routes())
            .fallback(nowhere)
            .with_state(Arc::clone(&shared));
        Ok(Self {
            address,
            shared,
            serving: tokio::spawn(server::serve(listener, router)),
        })
    }

    /// Which provider it plays.
    #[must_use]
    pub fn family(&self) -> Family {
        self.shared.family
    }

    /// What a provider's `base_url` is to be: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The settings of a provider of this kind that sends to it, as the lines of a TOML table.
    /// Nothing for a kind that another stand-in plays.
    #[must_use]
    pub fn settings(&self, kind: &str) -> Option<String> {
        let ours = crate::account::kinds(self.family()).contains(&kind);
        ours.then(|| crate::account::settings(kind, &self.base_url()))?
    }

    /// What it is told to do with messages from now on. Numbers that say it themselves win, see
    /// [`Mode::of_number`].
    pub fn set_mode(&self, mode: Mode) {
        self.shared.set_mode(mode);
    }

    /// Every message that came in and fitted the contract, oldest first, whatever was answered.
    #[must_use]
    pub fn messages(&self) -> Vec<Taken> {
        self.shared.taken()
    }

    /// Waits until at least so many messages came in.
    pub async fn wait_for_messages(&self, count: usize) {
        self.shared.wait_for(count).await;
    }

    /// Waits until all receipts that it sends by itself were sent and answered. They begin when a
    /// message is answered.
    pub async fn settled(&self) {
        self.shared.settled().await;
    }

    /// Sends one receipt of a message now, once, and gives the status that came back. In
    /// [`Mode::AcceptWithoutReceipts`] it is the only one.
    ///
    /// # Errors
    /// [`CallbackFault`] when nothing came back, or nothing was sent.
    pub async fn send_receipt(&self, id: &str, receipt: &Receipt) -> Result<u16, CallbackFault> {
        self.shared.send(id, receipt).await
    }

    /// The request that a receipt is, signed, without sending it.
    ///
    /// # Errors
    /// [`CallbackFault`] when there is no such message, or nowhere to send it.
    pub fn callback(&self, id: &str, receipt: &Receipt) -> Result<Callback, CallbackFault> {
        self.shared.callback(id, receipt)
    }

    /// Posts a callback as it is, changed or not, and gives the status that came back.
    ///
    /// # Errors
    /// [`CallbackFault`] when nothing came back, or its address is not on loopback.
    pub async fn post(&self, callback: &Callback) -> Result<u16, CallbackFault> {
        self.shared.caller.post(callback).await
    }

    /// Registers the callback address as Meta does it: asks it to repeat a number, and says
    /// whether it did.
    ///
    /// # Errors
    /// [`CallbackFault`] when nothing came back, or there is no address.
    pub async fn subscribe(&self) -> Result<bool, CallbackFault> {
        meta::subscribe(&self.shared).await
    }

    /// Ends it, and closes every connection.
    pub async fn shutdown(mut self) {
        self.serving.abort();
        // It was aborted; that it ended is all that matters.
        let _ = (&mut self.serving).await;
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn nowhere() -> Response {
    let what = "the stand-in does not play this address\n";
    (StatusCode::NOT_FOUND, what).into_response()
}
