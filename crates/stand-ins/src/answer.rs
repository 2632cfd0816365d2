//! From a message that fits the contract to what was told to be done with it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::callback::Callback;
use crate::family::Family;
use crate::mode::Mode;
use crate::options::Options;
use crate::receipt::{Receipt, disordered};
use crate::server::HangUp;
use crate::shared::{Order, Shared, Taken};

/// How one family says things.
pub(crate) trait Api: Sync {
    /// The answer to a message that is taken.
    fn accepted(&self, taken: &Taken) -> Response;
    /// The body of a refusal with this number.
    fn refusal(&self, code: u32, status: u16, what: &str) -> Value;
    /// An error where a success is expected.
    fn error_inside(&self, taken: &Taken, code: u32) -> Response;
    /// What is reported of a message that arrives.
    fn arrives(&self, taken: &Taken) -> Vec<Receipt>;
    /// What is reported of a message that does not; with the number, if one was told.
    fn fails(&self, taken: &Taken, code: Option<u32>) -> Vec<Receipt>;
    /// A report as a request.
    fn callback(&self, options: &Options, taken: &Taken, receipt: &Receipt, url: &str) -> Callback;
}

impl Family {
    pub(crate) fn api(self) -> &'static dyn Api {
        match self {
            Self::Twilio => &crate::twilio::Twilio,
            Self::Meta => &crate::meta::Meta,
            Self::Gupshup => &crate::gupshup::Gupshup,
        }
    }

    /// A refusal as it is answered.
    pub(crate) fn refuse(self, code: u32, status: Option<u16>, what: &str) -> Response {
        let status = status.unwrap_or_else(|| self.status(code));
        let body = self.api().refusal(code, status, what);
        json(status, &body)
    }
}

/// JSON with a status.
pub(crate) fn json(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = [(CONTENT_TYPE, "application/json")];
    (status, kind, body.to_string()).into_response()
}

/// Whether a request says that its body is of this media type.
pub(crate) fn is_of(headers: &HeaderMap, media: &str) -> bool {
    let given = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let given = given.and_then(|kind| kind.split(';').next());
    given.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(media))
}

/// Does with a message what was told.
pub(crate) async fn answer(shared: &Arc<Shared>, order: Order) -> Response {
    let family = shared.family;
    let api = family.api();
    let taken = shared.record(order);
    let plan = match taken.mode {
        Mode::Accept | Mode::Slow { .. } => api.arrives(&taken),
        Mode::DisorderedReceipts => disordered(api.arrives(&taken)),
        Mode::AcceptThenFail { code } => api.fails(&taken, code),
        _ => Vec::new(),
    };
    let later = match taken.mode {
        Mode::Accept
        | Mode::DisorderedReceipts
        | Mode::AcceptThenFail { .. }
        | Mode::AcceptWithoutReceipts => Duration::ZERO,
        Mode::Slow { millis } => Duration::from_millis(millis),
        Mode::Refuse { code, status } => {
            let code = code.unwrap_or_else(|| family.unreachable());
            return family.refuse(code, status, "The stand-in was told to refuse");
        }
        Mode::Throttle { retry_after } => {
            let mut response = family.refuse(family.too_fast(), Some(429), "Too Many Requests");
            response
                .headers_mut()
                .insert(RETRY_AFTER, retry_after.into());
            return response;
        }
        Mode::Hang => return std::future::pending().await,
        Mode::Close => return HangUp.into_response(),
        Mode::Garbage => {
            let page = "<html><body>Welcome to the maintenance page</body></html>";
            return ([(CONTENT_TYPE, "text/html")], page).into_response();
        }
        Mode::ErrorInside { code } => {
            let code = code.unwrap_or_else(|| family.unreachable());
            return api.error_inside(&taken, code);
        }
    };
    // Whoever does not wait for the answer gets the message, and its receipts, all the same.
    if !plan.is_empty() && taken.callback_url.is_some() {
        shared.report(&taken.id, later, plan);
    }
    if !later.is_zero() {
        tokio::time::sleep(later).await;
    }
    api.accepted(&taken)
}
