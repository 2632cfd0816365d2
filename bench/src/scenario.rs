//! What the load does: one turn of each scenario, over one connection.

use std::fmt;
use std::fmt::Write as _;
use std::time::Instant;

use clap::ValueEnum;

use crate::Failure;
use crate::recipient::{at_home, recipient, source};
use crate::tally::SharedTally;
use crate::wire::{Connection, text_after};

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Start, read the code in the inbox, check it: three requests.
    Flow,
    /// Start only.
    Start,
    /// Check a right code only.
    Right,
    /// Check a wrong code only; four for each verification.
    Wrong,
    /// Send again only; two for each verification, without a cooldown.
    Resend,
    /// `request-otp`, inbox, `verify-otp` of the surface `auth`; numbers are national ones, of ten digits.
    Auth,
    /// `generate`, inbox, `verify` of the surface `otp`.
    Otp,
    /// `send-otp`, `verify-otp` of the surface `whatsapp`; the code is in the answer.
    Whatsapp,
    /// Make and verify at the surface `uuid`; the code is in the answer.
    Uuid,
    /// `register` of the surface `auth`, which hashes a password.
    #[value(skip)]
    Register,
    /// Flows at `native` (3 of 5), `otp` and `auth`; one request in a hundred is refused.
    Mixed,
}

impl Scenario {
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// How many turns one verification that was prepared is good for.
    pub(crate) const fn uses(self) -> Option<usize> {
        match self {
            Self::Right => Some(1),
            Self::Wrong => Some(4),
            Self::Resend => Some(2),
            _ => None,
        }
    }

    /// Whether it is told at the second listener.
    pub(crate) fn is_second(self) -> bool {
        self == Self::Whatsapp
    }

    /// Whether only Watchword and the bare server know what it asks for.
    pub(crate) fn is_yardstick(self) -> bool {
        matches!(self, Self::Flow | Self::Start | Self::Right | Self::Wrong)
    }
}

/// A verification that waits to be checked.
#[derive(Clone, Default)]
pub(crate) struct Prepared {
    id: String,
    code: String,
}

/// Somebody who uses the server, over one connection.
pub(crate) struct Client {
    connection: Connection,
    at: Prepared,
    path: String,
    body: String,
    due: Instant,
    pub(crate) tally: SharedTally,
}

/// Puts text where other text was.
fn write_over(place: &mut String, text: fmt::Arguments<'_>) -> fmt::Result {
    place.clear();
    place.write_fmt(text)
}

/// Whether an answer was as expected. Any other ends the turn, and is counted.
type Went = Result<bool, Failure>;

impl Client {
    /// Writes down in `tally` what comes of its turns.
    pub(crate) fn new(connection: Connection, tally: SharedTally) -> Self {
        Self {
            connection,
            at: Prepared::default(),
            path: String::new(),
            body: String::new(),
            due: Instant::now(),
            tally,
        }
    }

    /// Turn `n` of a scenario, which was due at `due`.
    pub(crate) async fn turn(
        &mut self,
        scenario: Scenario,
        n: u64,
        prepared: Option<&Prepared>,
        due: Instant,
    ) -> Result<(), Failure> {
        self.due = due;
        if let Some(prepared) = prepared {
            self.at.clone_from(prepared);
        }
        let went = match scenario {
            Scenario::Flow => self.flow(n).await?,
            Scenario::Start => self.start(n).await?,
            Scenario::Right => self.check().await?,
            Scenario::Wrong => self.check_wrong().await?,
            Scenario::Resend => self.resend(n).await?,
            Scenario::Auth => self.auth(n).await?,
            Scenario::Otp => self.otp(n).await?,
            Scenario::Whatsapp => self.whatsapp(n).await?,
            Scenario::Uuid => self.uuid(n).await?,
            Scenario::Register => self.register(n).await?,
            Scenario::Mixed => match n % 5 {
                0 => self.otp(n).await?,
                1 => self.auth(n).await?,
                _ if n % 20 == 2 => {
                    self.start(n).await? && self.read(n).await? && self.stumble().await?
                }
                _ => self.flow(n).await?,
            },
        };
        if went {
            self.tally.open().turn(due);
        }
        Ok(())
    }

    /// Prepares verification `n` for turns of a scenario.
    pub(crate) async fn prepare(
        &mut self,
        scenario: Scenario,
        n: u64,
    ) -> Result<Option<Prepared>, Failure> {
        self.due = Instant::now();
        let mut went = self.start(n).await?;
        if went && scenario == Scenario::Right {
            went = self.read(n).await?;
        }
        Ok(went.then(|| self.at.clone()))
    }

    async fn flow(&mut self, n: u64) -> Went {
        Ok(self.start(n).await? && self.read(n).await? && self.check().await?)
    }

    async fn start(&mut self, n: u64) -> Went {
        let (to, [a, b, c, d]) = (recipient(n), source(n));
        write_over(
            &mut self.body,
            format_args!(r#"{{"to":"+{to}","channel":"sms","end_user_ip":"{a}.{b}.{c}.{d}"}}"#),
        )?;
        write_over(&mut self.path, format_args!("/v1/verifications"))?;
        self.ask(201, "POST", None, Some("\"id\":\"")).await
    }

    async fn read(&mut self, n: u64) -> Went {
        self.body.clear();
        let to = recipient(n);
        write_over(&mut self.path, format_args!("/dev/messages?to=%2B{to}"))?;
        self.ask(200, "GET", None, Some("\"code\":\"")).await
    }

    async fn check(&mut self) -> Went {
        write_over(
            &mut self.body,
            format_args!(r#"{{"code":"{}"}}"#, self.at.code),
        )?;
        self.check_as_written(200).await
    }

    async fn check_wrong(&mut self) -> Went {
        self.body.clear();
        self.body.push_str(r#"{"code":"000000"}"#);
        self.check_as_written(422).await
    }

    async fn check_as_written(&mut self, expected: u16) -> Went {
        write_over(
            &mut self.path,
            format_args!("/v1/verifications/{}/check", self.at.id),
        )?;
        self.ask(expected, "POST", None, None).await
    }

    /// Checks a wrong code, then the right one.
    async fn stumble(&mut self) -> Went {
        Ok(self.check_wrong().await? && self.check().await?)
    }

    async fn resend(&mut self, n: u64) -> Went {
        self.body.clear();
        self.body.push_str("{}");
        write_over(
            &mut self.path,
            format_args!("/v1/verifications/{}/resend", self.at.id),
        )?;
        self.ask(200, "POST", Some(source(n)), None).await
    }

    async fn otp(&mut self, n: u64) -> Went {
        let (to, from) = (recipient(n), Some(source(n)));
        write_over(
            &mut self.body,
            format_args!(r#"{{"channel":"sms","identifier":"+{to}"}}"#),
        )?;
        write_over(&mut self.path, format_args!("/api/otp/generate"))?;
        if !(self.ask(200, "POST", from, None).await? && self.read(n).await?) {
            return Ok(false);
        }
        let code = &self.at.code;
        write_over(
            &mut self.body,
            format_args!(r#"{{"channel":"sms","identifier":"+{to}","code":"{code}"}}"#),
        )?;
        write_over(&mut self.path, format_args!("/api/otp/verify"))?;
        self.ask(200, "POST", from, None).await
    }

    async fn auth(&mut self, n: u64) -> Went {
        let (to, from) = (at_home(n), Some(source(n)));
        write_over(
            &mut self.body,
            format_args!(r#"{{"mobile_number":"{to}"}}"#),
        )?;
        write_over(&mut self.path, format_args!("/api/v1/auth/request-otp"))?;
        if !(self.ask(200, "POST", from, None).await? && self.read(n).await?) {
            return Ok(false);
        }
        let code = &self.at.code;
        write_over(
            &mut self.body,
            format_args!(r#"{{"mobile_number":"{to}","otp":"{code}"}}"#),
        )?;
        write_over(&mut self.path, format_args!("/api/v1/auth/verify-otp"))?;
        self.ask(200, "POST", from, None).await
    }

    async fn register(&mut self, n: u64) -> Went {
        let to = at_home(n);
        write_over(
            &mut self.body,
            format_args!(
                r#"{{"email":"user{n}@example.com","mobile":"{to}","password":"correct horse {n}"}}"#
            ),
        )?;
        write_over(&mut self.path, format_args!("/api/v1/auth/register"))?;
        self.ask(202, "POST", Some(source(n)), None).await
    }

    async fn whatsapp(&mut self, n: u64) -> Went {
        let (to, from) = (recipient(n), Some(source(n)));
        write_over(
            &mut self.body,
            format_args!(r#"{{"phone_number":"+{to}"}}"#),
        )?;
        write_over(&mut self.path, format_args!("/send-otp"))?;
        if !self.ask(200, "POST", from, Some("\"otp\":\"")).await? {
            return Ok(false);
        }
        let code = &self.at.code;
        write_over(
            &mut self.body,
            format_args!(r#"{{"phone_number":"+{to}","otp":"{code}"}}"#),
        )?;
        write_over(&mut self.path, format_args!("/verify-otp"))?;
        self.ask(200, "POST", from, None).await
    }

    async fn uuid(&mut self, n: u64) -> Went {
        let from = Some(source(n));
        self.body.clear();
        write_over(&mut self.path, format_args!("/?ttl=300"))?;
        if !self.ask(200, "POST", from, Some("\"uuid\":\"")).await? {
            return Ok(false);
        }
        write_over(
            &mut self.path,
            format_args!("/{}/{}", self.at.id, self.at.code),
        )?;
        self.ask(200, "GET", from, None).await
    }

    /// Sends what `body` holds. `keep` says what stands before the part of the answer that is
    /// kept.
    async fn ask(
        &mut self,
        expected: u16,
        method: &str,
        source: Option<[u8; 4]>,
        keep: Option<&str>,
    ) -> Went {
        let sent = Instant::now();
        let asked = self
            .connection
            .call(method, &self.path, source, &self.body)
            .await;
        let answer = match asked {
            Ok(answer) => answer,
            Err(error) => {
                self.tally.open().stray(|| error.to_string());
                self.connection.reopen().await?;
                return Ok(false);
            }
        };
        if answer.status != expected {
            self.tally.open().refusal(sent, &answer);
            return Ok(false);
        }
        // From when the turn was due, or from the answer before.
        self.tally.open().request(self.due);
        self.due = Instant::now();
        let Some(key) = keep else {
            return Ok(true);
        };
        let kept = if key == "\"code\":\"" || key == "\"otp\":\"" {
            &mut self.at.code
        } else {
            &mut self.at.id
        };
        let Some(text) = text_after(answer.body, key) else {
            self.tally.open().missing(key, &answer);
            return Ok(false);
        };
        kept.clear();
        kept.push_str(text);
        if key == "\"uuid\":\"" {
            let code = text_after(answer.body, "\"otp\":\"").unwrap_or_default();
            self.at.code.clear();
            self.at.code.push_str(code);
        }
        Ok(true)
    }
}
