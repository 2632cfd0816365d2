//! The pages of dev mode.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use watchword_core::InboxMessage;

use super::inbox::dev;
use super::only_local;
use crate::app::App;
use crate::asset::{Asset, Caching};
use crate::problem::{Problem, ProblemKind};

#[derive(Template)]
#[template(path = "landing.html")]
struct Landing<'a> {
    url: &'a str,
    messages: usize,
    expose_codes: bool,
}

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage<'a> {
    messages: Vec<Letter<'a>>,
    url: &'a str,
}

/// A message as the page shows it.
struct Letter<'a> {
    at: String,
    time: String,
    channel: &'a str,
    provider: &'a str,
    to: &'a str,
    subject: Option<&'a str>,
    body: &'a str,
    code: &'a str,
}

impl<'a> Letter<'a> {
    fn of(message: &'a InboxMessage) -> Self {
        let at = message.at.to_string();
        let time = at.get(11..19).unwrap_or_default().to_owned();
        Self {
            at,
            time,
            channel: message.channel.as_str(),
            provider: &message.provider,
            to: message.to.canonical(),
            subject: message
                .subject
                .as_ref()
                .map(watchword_core::SecretText::expose),
            body: message.body.expose(),
            code: message.code.expose(),
        }
    }
}

pub(super) async fn landing(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    only_local(&uri, &headers)?;
    let dev = dev(&app)?;
    let page = Landing {
        url: &dev.url,
        messages: dev.inbox.messages(None).len(),
        expose_codes: app.expose_codes,
    };
    render(&page, &headers)
}

pub(super) async fn inbox(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    only_local(&uri, &headers)?;
    let dev = dev(&app)?;
    let messages = dev.inbox.messages(None);
    let page = InboxPage {
        messages: messages.iter().map(|message| Letter::of(message)).collect(),
        url: &dev.url,
    };
    render(&page, &headers)
}

pub(super) fn render(page: &impl Template, headers: &HeaderMap) -> Result<Response, Problem> {
    let html = page.render().map_err(|error| {
        let detail = "the page could not be rendered";
        let problem = Problem::new(ProblemKind::InternalError, detail);
        problem.caused_by(error)
    })?;
    Ok(Asset::html(html).cached(Caching::No).answer(headers))
}
