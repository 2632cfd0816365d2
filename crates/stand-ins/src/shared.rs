//! What a stand-in remembers.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;

use crate::callback::{Callback, CallbackFault, Caller};
use crate::family::Family;
use crate::mode::Mode;
use crate::options::Options;
use crate::receipt::{Receipt, Told};

/// A message that came in and fitted the contract, whatever was answered. It holds the code in the
/// clear; `Debug` does not show it.
#[derive(Clone, Serialize)]
pub struct Taken {
    /// The provider's id of it.
    pub id: String,
    /// `sms`, `whatsapp` or `voice`.
    pub channel: &'static str,
    /// The recipient's number, with `+`.
    pub to: String,
    /// The code, where it could be told from the text.
    pub code: Option<String>,
    /// The text or what is said, where the request has one.
    pub text: Option<String>,
    /// What was done with it.
    #[serde(rename = "did")]
    pub mode: Mode,
    /// Whether it was taken.
    pub accepted: bool,
    /// Where receipts go.
    pub callback_url: Option<String>,
    /// The request, field by field.
    pub request: Value,
    /// What was reported so far, in the order it was sent.
    pub receipts: Vec<Told>,
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken")
            .field("id", &self.id)
            .field("channel", &self.channel)
            .field("mode", &self.mode)
            .field("accepted", &self.accepted)
            .field("receipts", &self.receipts)
            .finish_non_exhaustive()
    }
}

/// A message as a request has it.
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) channel: &'static str,
    pub(crate) to: String,
    pub(crate) code: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) callback_url: Option<String>,
    pub(crate) request: Value,
}

/// One stand-in.
pub(crate) struct Shared {
    pub(crate) family: Family,
    pub(crate) options: Options,
    pub(crate) caller: Caller,
    mode: Mutex<Mode>,
    taken: Mutex<Vec<Taken>>,
    /// Messages whose receipts are still being sent.
    reporting: Mutex<usize>,
    changed: Notify,
}

impl Shared {
    pub(crate) fn new(family: Family, options: Options) -> Self {
        Self {
            family,
            caller: Caller::new(options.callbacks_via.clone()),
            options,
            mode: Mutex::default(),
            taken: Mutex::default(),
            reporting: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        *self.mode.lock()
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        *self.mode.lock() = mode;
    }

    /// Writes a message down, with what is to be done with it.
    pub(crate) fn record(&self, order: Order) -> Taken {
        let mode = Mode::of_number(self.family, &order.to).unwrap_or_else(|| self.mode());
        let taken = Taken {
            id: order.id,
            channel: order.channel,
            to: order.to,
            code: order.code,
            text: order.text,
            mode,
            accepted: mode.takes(),
            callback_url: order
                .callback_url
                .or_else(|| self.options.callbacks.clone()),
            request: order.request,
            receipts: Vec::new(),
        };
        self.taken.lock().push(taken.clone());
        self.changed.notify_waiters();
        taken
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.taken.lock().clone()
    }

    pub(crate) fn find(&self, id: &str) -> Option<Taken> {
        let taken = self.taken.lock();
        taken.iter().find(|taken| taken.id == id).cloned()
    }

    /// Waits until there are at least so many messages.
    pub(crate) async fn wait_for(&self, count: usize) {
        self.wait(|| self.taken.lock().len() >= count).await;
    }

    /// Waits until no receipts are on their way.
    pub(crate) async fn settled(&self) {
        self.wait(|| *self.reporting.lock() == 0).await;
    }

    async fn wait(&self, reached: impl Fn() -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if reached() {
                return;
            }
            changed.await;
        }
    }

    /// Sends receipts by and by, `later`.
    pub(crate) fn report(self: &Arc<Self>, id: &str, later: Duration, plan: Vec<Receipt>) {
        let (shared, id) = (Arc::clone(self), id.to_owned());
        *shared.reporting.lock() += 1;
        tokio::spawn(async move {
            tokio::time::sleep(later).await;
            for receipt in plan {
                tokio::time::sleep(shared.options.receipt_pause).await;
                // What came of it is written down with the message.
                let _ = shared.send(&id, &receipt).await;
            }
            *shared.reporting.lock() -= 1;
            shared.changed.notify_waiters();
        });
    }

    /// The request that a receipt is, signed and ready to be posted.
    pub(crate) fn callback(&self, id: &str, receipt: &Receipt) -> Result<Callback, CallbackFault> {
        let taken = self.find(id).ok_or(CallbackFault::NoMessage)?;
        let url = taken.callback_url.clone().ok_or(CallbackFault::NoAddress)?;
        let callback = self
            .family
            .api()
            .callback(&self.options, &taken, receipt, &url);
        Ok(callback)
    }

    /// Posts a receipt, once, and writes down what came back.
    pub(crate) async fn send(&self, id: &str, receipt: &Receipt) -> Result<u16, CallbackFault> {
        let callback = self.callback(id, receipt)?;
        let answered = self.caller.post(&callback).await;
        let told = Told {
            receipt: receipt.clone(),
            answered: answered.as_ref().ok().copied(),
        };
        if let Some(taken) = self.taken.lock().iter_mut().find(|taken| taken.id == id) {
            taken.receipts.push(told);
        }
        answered
    }
}
