//! The smtp provider: mail over SMTP (RFC 5321) with TLS, authentication and kept connections.
//!
//! It speaks the protocol command by command rather than through a ready transport, for three
//! reasons: only so it knows how far a hand-over came when the answer is missing, so that "surely
//! not sent" and "may have been sent" stay apart; a hand-over that is given up closes its
//! connection instead of leaving it, half way through a mail, to the next one; and each command's
//! own reply code is insisted on, so that replies out of step (as injected before STARTTLS) fail.

mod connection;
mod mail;
mod pool;
mod probe;
mod reply;
mod server;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lettre::message::Mailbox;
use tokio::time::{Instant, timeout_at};
use watchword_core::routing::{Class, Detail, Outcome};
use watchword_core::{Channel, Clock, Message};

use crate::probe::{Facts, Probed};
use crate::provider::Provider;
use crate::settings::{Fault, SmtpSettings};
use connection::Progress;
use mail::Mail;
use pool::Pool;
use server::Server;

/// A mail server that takes messages of the email channel.
pub(crate) struct SmtpProvider {
    name: String,
    from: Mailbox,
    timeout: Option<Duration>,
    pool: Pool,
    clock: Arc<dyn Clock>,
}

impl SmtpProvider {
    /// The kind in the configuration.
    pub(crate) const KIND: &'static str = "smtp";

    /// A provider by this name. Reads `ca_file`; opens no connection.
    pub(crate) fn new(
        name: &str,
        settings: &SmtpSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Fault> {
        let from = mail::sender(&settings.from).map_err(|fault| ("from", fault.to_owned()))?;
        let extra = match &settings.ca_file {
            Some(path) => server::certificates(path).map_err(|fault| ("ca_file", fault))?,
            None => Vec::new(),
        };
        let server = Server::parse(settings.url.expose(), extra, from.email.domain())
            .map_err(|fault| ("url", fault))?;
        Ok(Self {
            name: name.to_owned(),
            from,
            timeout: settings.timeout,
            pool: Pool::new(server),
            clock,
        })
    }
}

#[async_trait]
impl Provider for SmtpProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn carries(&self, channel: Channel) -> bool {
        channel == Channel::Email
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    async fn send(&self, message: &Message, deadline: Instant) -> Outcome {
        let mail = match Mail::compose(&self.from, message, self.clock.now()) {
            Ok(mail) => mail,
            Err(outcome) => return outcome,
        };
        let progress = Progress::default();
        match timeout_at(deadline, self.pool.send(&mail, &progress)).await {
            Ok(outcome) => outcome,
            Err(_) if progress.may_have_been_sent() => {
                Outcome::new(Class::Unknown).with(Detail::Word("timeout"))
            }
            Err(_) => Outcome::new(Class::Unavailable).with(Detail::Word(progress.waiting_for())),
        }
    }

    async fn probe(&self, _facts: &Facts, limit: Duration) -> Probed {
        probe::look(&self.pool, limit).await
    }
}

#[cfg(test)]
mod tests;
