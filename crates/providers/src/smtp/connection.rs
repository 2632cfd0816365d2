//! One connection to a mail server.

use std::error::Error as _;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::DEFAULT_MECHANISMS;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt, Rset};
use lettre::transport::smtp::extension::{Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;
use watchword_core::routing::{Class, Detail, Outcome};

use super::mail::Mail;
use super::reply::{Stage, classify, queue_id};
use super::server::{Protection, Server};
use crate::http::tls_fault;

/// How far a hand-over has come, for whoever gives it up.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    pub(super) fn reach(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    pub(super) fn stage(&self) -> Stage {
        let reached = usize::from(self.0.load(Ordering::Relaxed));
        Stage::ALL.get(reached).copied().unwrap_or(Stage::Content)
    }

    pub(super) fn may_have_been_sent(&self) -> bool {
        self.stage() == Stage::Content
    }

    pub(super) fn waiting_for(&self) -> &'static str {
        self.stage().timeout()
    }
}

/// Why a hand-over failed.
pub(super) struct Trouble {
    stage: Stage,
    cause: Cause,
}

enum Cause {
    Client(Error),
    /// A positive reply with a code that does not belong to the command.
    OutOfStep(u16),
    /// The server lacks what the operator wants.
    Lacks(&'static str),
}

impl Trouble {
    /// Whether the server refused this mail and waits for the next command.
    pub(super) fn is_refusal(&self) -> bool {
        let Cause::Client(error) = &self.cause else {
            return false;
        };
        let code = error.status().map(u16::from);
        self.stage >= Stage::Sender && code.is_some_and(|code| code != 421)
    }

    pub(super) fn outcome(&self) -> Outcome {
        let of = |class: Class, word| Outcome::new(class).with(Detail::Word(word));
        let error = match &self.cause {
            Cause::Lacks(what) => return of(Class::Misconfigured, what),
            Cause::OutOfStep(_) if self.stage == Stage::Content => {
                return of(Class::Unknown, "out_of_step");
            }
            Cause::OutOfStep(code) => return classify(self.stage, *code, ""),
            Cause::Client(error) => error,
        };
        if let Some(code) = error.status() {
            // The reply text is the error's source.
            let text = error.source().map(ToString::to_string);
            return classify(self.stage, code.into(), text.as_deref().unwrap_or_default());
        }
        if self.stage == Stage::Content {
            return of(Class::Unknown, "connection_lost");
        }
        if let Some(fault) = tls_fault(error) {
            return of(Class::Misconfigured, fault);
        }
        if error.is_tls() {
            return of(Class::Misconfigured, "tls");
        }
        if error.is_client() {
            return of(
                Class::Misconfigured,
                match self.stage {
                    Stage::Auth => "no_common_authentication",
                    _ => "not_supported",
                },
            );
        }
        match self.stage {
            Stage::Connect | Stage::Tls => of(Class::Unavailable, "connect"),
            _ => of(Class::Unavailable, "connection_lost"),
        }
    }
}

/// An open connection, ready for a mail.
pub(super) struct Connection(AsyncSmtpConnection);

impl Connection {
    /// A host may have several addresses; each gets so long.
    const CONNECT: Duration = Duration::from_secs(5);

    /// Connects, protects the connection and authenticates.
    pub(super) async fn open(server: &Server, progress: &Progress) -> Result<Self, Trouble> {
        let at = |stage| move |error| Trouble::new(stage, Cause::Client(error));
        progress.reach(Stage::Connect);
        let implicit = match &server.protection {
            Protection::Implicit(tls) => Some(tls.clone()),
            _ => None,
        };
        let address = (server.host.as_str(), server.port);
        let timeout = Some(Self::CONNECT);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, timeout, &server.hello, implicit, None)
                .await
                .map_err(at(Stage::Connect))?;

        progress.reach(Stage::Tls);
        let offered = connection.can_starttls();
        match &server.protection {
            Protection::Required(_) if !offered => {
                return Err(Trouble::new(Stage::Tls, Cause::Lacks("no_starttls")));
            }
            Protection::Required(tls) | Protection::Opportunistic(tls) if offered => {
                let tls = tls.clone();
                connection
                    .starttls(tls, &server.hello)
                    .await
                    .map_err(at(Stage::Tls))?;
            }
            _ => {}
        }

        if let Some(credentials) = &server.credentials {
            progress.reach(Stage::Auth);
            if !connection.is_encrypted() && !server.local {
                return Err(Trouble::new(Stage::Auth, Cause::Lacks("no_starttls")));
            }
            let response = connection
                .auth(DEFAULT_MECHANISMS, credentials)
                .await
                .map_err(at(Stage::Auth))?;
            expect(Stage::Auth, &response, &[235])?;
        }
        Ok(Self(connection))
    }

    /// Whether nobody on the way can read it.
    pub(super) fn is_encrypted(&self) -> bool {
        self.0.is_encrypted()
    }

    /// Says goodbye. The answer does not matter.
    pub(super) async fn quit(mut self) {
        let _ = self.0.quit().await;
    }

    /// Makes a kept connection ready for the next mail; whether it still answers.
    pub(super) async fn reset(&mut self) -> bool {
        let reply = self.0.command(Rset).await;
        reply.is_ok_and(|response| response.has_code(250))
    }

    /// Hands over one mail.
    pub(super) async fn hand_over(
        &mut self,
        mail: &Mail,
        progress: &Progress,
    ) -> Result<Outcome, Trouble> {
        let at = |stage| {
            progress.reach(stage);
            move |error| Trouble::new(stage, Cause::Client(error))
        };
        let mut parameters = Vec::new();
        if !mail.content.is_ascii() {
            let server = self.0.server_info();
            if !server.supports_feature(Extension::EightBitMime) {
                return Err(Trouble::new(Stage::Sender, Cause::Lacks("no_8bitmime")));
            }
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let failed = at(Stage::Sender);
        let from = MailFrom::new(Some(mail.from.clone()), parameters);
        let response = self.0.command(from).await.map_err(failed)?;
        expect(Stage::Sender, &response, &[250])?;

        let failed = at(Stage::Recipient);
        let to = Rcpt::new(mail.to.clone(), Vec::new());
        let response = self.0.command(to).await.map_err(failed)?;
        expect(Stage::Recipient, &response, &[250, 251])?;

        let failed = at(Stage::Data);
        let response = self.0.command(Data).await.map_err(failed)?;
        expect(Stage::Data, &response, &[354])?;

        let failed = at(Stage::Content);
        // In one write. The library's own way makes two, and the second then waits for the peer to
        // confirm the first, which takes many systems 40 ms.
        let content = self.0.command(mail.content.as_str());
        let response = content.await.map_err(failed)?;
        expect(Stage::Content, &response, &[250])?;
        let text = response.first_line().unwrap_or_default();
        Ok(Outcome::accepted(queue_id(text)))
    }
}

impl Trouble {
    const fn new(stage: Stage, cause: Cause) -> Self {
        Self { stage, cause }
    }
}

fn expect(stage: Stage, response: &Response, codes: &[u16]) -> Result<(), Trouble> {
    if codes.iter().any(|code| response.has_code(*code)) {
        Ok(())
    } else {
        let code = u16::from(response.code());
        Err(Trouble::new(stage, Cause::OutOfStep(code)))
    }
}
