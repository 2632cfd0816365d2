//! What a PostgreSQL connection string may say.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// Where a PostgreSQL is, and how it is to be talked to.
///
/// Neither [`fmt::Debug`] nor [`fmt::Display`] shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    pub(super) config: Config,
    pub(super) certificates: Certificates,
    pub(crate) pool_size: usize,
    pub(super) step_timeout: Duration,
}

/// How the server's certificate is looked at, where TLS is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Certificates {
    /// Not at all (`sslmode` `prefer` and `require` without `sslrootcert`, as libpq has it).
    Any,
    /// It has to come from one of these.
    From(Roots, Names),
}

/// Who may have signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Roots {
    /// Whom the system trusts.
    System,
    /// The certificates in this PEM file.
    File(PathBuf),
}

/// Whether it has to be made out to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// `verify-full`.
    Checked,
    /// `verify-ca`.
    Ignored,
}

/// The text is no usable connection string. Never carries the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPostgresUrl {
    /// `postgres:///db`.
    #[error("names no host; write postgres://USER:PASSWORD@HOST:5432/DATABASE")]
    NoHost,
    /// A parameter has a value that it cannot have.
    #[error("has a {parameter} that is not {expected}")]
    Value {
        /// The parameter.
        parameter: &'static str,
        /// What it may say.
        expected: &'static str,
    },
    /// A parameter that other clients know and this one does not.
    #[error("has {parameter}, which is not supported")]
    Unsupported {
        /// The parameter.
        parameter: &'static str,
    },
    /// Something else.
    #[error("is no PostgreSQL connection string: {reason}")]
    Malformed {
        /// What is wrong with it; none of its values.
        reason: String,
    },
}

/// What other tools put into connection strings, and what means nothing here.
const WITHOUT_MEANING: [&str; 4] = [
    "pgbouncer",
    "connection_limit",
    "gssencmode",
    "sslcompression",
];

impl PostgresUrl {
    /// How many connections are held at most, unless `pool_size` says otherwise.
    pub const POOL_SIZE: usize = 16;
    /// How long a step of a copy may take, in which nobody waits for one row.
    const PATIENCE: Duration = Duration::from_mins(2);
    /// How long a step may take altogether, unless `step_timeout` says otherwise, in milliseconds.
    pub const STEP_TIMEOUT: Duration = Duration::from_millis(1800);

    /// The same database, for long steps.
    pub(crate) fn patient(&self) -> Self {
        Self {
            step_timeout: self.step_timeout.max(Self::PATIENCE),
            ..self.clone()
        }
    }

    /// Reads `postgres://…` or `postgresql://…`, as libpq and the pages of hosted databases write
    /// it; a driver's name behind a plus sign (`postgresql+asyncpg://`) is left out of account.
    ///
    /// # Errors
    /// [`InvalidPostgresUrl`].
    pub fn parse(text: &str) -> Result<Self, InvalidPostgresUrl> {
        let malformed = |reason: &str| InvalidPostgresUrl::Malformed {
            reason: reason.to_owned(),
        };
        let (_, rest) = text
            .trim()
            .split_once("://")
            .ok_or_else(|| malformed("write postgres://USER:PASSWORD@HOST:5432/DATABASE"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut own = Own::default();
        let mut left = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !own.take(name, value)? {
                left.push(pair);
            }
        }
        let query = left.join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        let mut config: Config = format!("postgres://{place}{mark}{query}").parse().map_err(
            |error: tokio_postgres::Error| InvalidPostgresUrl::Malformed {
                reason: reason(&error),
            },
        )?;
        if config.get_hosts().is_empty() {
            return Err(InvalidPostgresUrl::NoHost);
        }
        let (mode, certificates) = own.tls()?;
        config.ssl_mode(mode);
        config.target_session_attrs(own.session);
        if config.get_application_name().is_none() {
            config.application_name("watchword");
        }
        Ok(Self {
            config,
            certificates,
            pool_size: own.pool_size,
            step_timeout: own.step_timeout,
        })
    }
}

/// The cause without the text that it arose from.
fn reason(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), ToString::to_string)
}

/// The parameters that are ours to read.
struct Own {
    mode: String,
    roots: Option<Roots>,
    session: TargetSessionAttrs,
    pool_size: usize,
    step_timeout: Duration,
}

impl Default for Own {
    fn default() -> Self {
        Self {
            mode: "prefer".to_owned(),
            roots: None,
            // Every step writes. After a failover, the host that became a standby is passed over.
            session: TargetSessionAttrs::ReadWrite,
            pool_size: PostgresUrl::POOL_SIZE,
            step_timeout: PostgresUrl::STEP_TIMEOUT,
        }
    }
}

impl Own {
    /// Reads one parameter; whether it was one of these.
    fn take(&mut self, name: &str, value: &str) -> Result<bool, InvalidPostgresUrl> {
        match name {
            "sslmode" => value.clone_into(&mut self.mode),
            "sslrootcert" if value == "system" => self.roots = Some(Roots::System),
            "sslrootcert" => self.roots = Some(Roots::File(decoded(value))),
            "target_session_attrs" => {
                self.session = match value {
                    "read-write" | "primary" => TargetSessionAttrs::ReadWrite,
                    "any" => TargetSessionAttrs::Any,
                    _ => {
                        return Err(InvalidPostgresUrl::Value {
                            parameter: "target_session_attrs",
                            expected: "read-write, primary or any, as every step writes",
                        });
                    }
                };
            }
            "pool_size" => {
                let size = value.parse().ok().filter(|size| (1..=1000).contains(size));
                self.pool_size = size.ok_or(InvalidPostgresUrl::Value {
                    parameter: "pool_size",
                    expected: "a number from 1 to 1000",
                })?;
            }
            "step_timeout" => {
                let millis = value
                    .parse()
                    .ok()
                    .filter(|millis| (200..=60_000).contains(millis));
                let millis = millis.ok_or(InvalidPostgresUrl::Value {
                    parameter: "step_timeout",
                    expected: "a number of milliseconds from 200 to 60000",
                })?;
                self.step_timeout = Duration::from_millis(millis);
            }
            "sslcert" | "sslkey" => {
                return Err(InvalidPostgresUrl::Unsupported {
                    parameter: "sslcert or sslkey",
                });
            }
            _ => return Ok(WITHOUT_MEANING.contains(&name)),
        }
        Ok(true)
    }

    fn tls(&mut self) -> Result<(SslMode, Certificates), InvalidPostgresUrl> {
        let roots = self.roots.take();
        Ok(match self.mode.as_str() {
            "disable" => (SslMode::Disable, Certificates::Any),
            "allow" | "prefer" => (SslMode::Prefer, Certificates::Any),
            // With roots, libpq reads it as verify-ca, and says that one should not rely on it.
            "require" => match roots {
                Some(roots) => (SslMode::Require, Certificates::From(roots, Names::Ignored)),
                None => (SslMode::Require, Certificates::Any),
            },
            mode @ ("verify-ca" | "verify-full") => {
                let names = if mode == "verify-ca" {
                    Names::Ignored
                } else {
                    Names::Checked
                };
                let roots = roots.unwrap_or(Roots::System);
                (SslMode::Require, Certificates::From(roots, names))
            }
            _ => {
                return Err(InvalidPostgresUrl::Value {
                    parameter: "sslmode",
                    expected: "disable, prefer, require, verify-ca or verify-full",
                });
            }
        })
    }
}

/// With `%2F` and the like read.
fn decoded(value: &str) -> PathBuf {
    let decoded = percent_decode_str(value).decode_utf8_lossy();
    decoded.into_owned().into()
}

/// Hosts, ports and database: what an operator needs to recognise it.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        let ports = self.config.get_ports();
        for (place, host) in self.config.get_hosts().iter().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            match host {
                Host::Tcp(host) => f.write_str(host)?,
                Host::Unix(path) => write!(f, "{}", path.display())?,
            }
            if let Some(port) = ports.get(place).or_else(|| ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self}, redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> PostgresUrl {
        PostgresUrl::parse(text).unwrap_or_else(|error| panic!("{text} {error}"))
    }

    #[test]
    fn the_strings_of_hosted_databases_are_read_as_they_are_copied() {
        for (user, host) in [
            (
                "postgresql://postgres:secret",
                "db.abcdefgh.supabase.co:5432/postgres",
            ),
            (
                "postgresql://postgres.abcdefgh:secret",
                "pooler.supabase.com:6543/postgres?pgbouncer=true&connection_limit=1",
            ),
            (
                "postgres://u:secret",
                "ep-x.aws.neon.tech/db?sslmode=require&channel_binding=prefer",
            ),
            ("postgresql+asyncpg://u:secret", "localhost/app"),
        ] {
            let url = parse(&format!("{user}@{host}"));
            assert!(!format!("{url} {url:?}").contains("secret"), "{url}");
            assert_eq!(url.config.get_password(), Some(&b"secret"[..]));
            assert_eq!(url.config.get_hosts().len(), 1);
        }
        let url = parse(&format!(
            "postgres://u.x:s%40cret@{}",
            "pooler.supabase.com:6543/db"
        ));
        assert_eq!(url.config.get_password(), Some(&b"s@cret"[..]));
        assert_eq!(url.to_string(), "postgres://pooler.supabase.com:6543/db");
    }

    #[test]
    fn several_hosts_are_tried_for_the_one_that_writes() {
        let url = parse("postgres://u@a:1,b:2/db?target_session_attrs=primary&pool_size=4");
        assert_eq!(url.to_string(), "postgres://a:1,b:2/db");
        assert_eq!(url.pool_size, 4);
        let attributes = url.config.get_target_session_attrs();
        assert_eq!(attributes, TargetSessionAttrs::ReadWrite);
        assert_eq!(parse("postgres://u@a,b/db").config, {
            let mut same = parse("postgres://u@a,b/db?target_session_attrs=read-write").config;
            same.application_name("watchword");
            same
        });
    }

    #[test]
    fn sslmode_means_what_it_means_to_libpq() {
        let tls = |query: &str| {
            let url = parse(&format!("postgres://u@h/db{query}"));
            (url.config.get_ssl_mode(), url.certificates)
        };
        let file = || Roots::File("/etc/ca 1.pem".into());
        assert_eq!(tls(""), (SslMode::Prefer, Certificates::Any));
        assert_eq!(
            tls("?sslmode=disable"),
            (SslMode::Disable, Certificates::Any)
        );
        assert_eq!(
            tls("?sslmode=require"),
            (SslMode::Require, Certificates::Any)
        );
        let required = tls("?sslmode=require&sslrootcert=/etc/ca%201.pem");
        let expected = Certificates::From(file(), Names::Ignored);
        assert_eq!(required, (SslMode::Require, expected));
        let full = tls("?sslrootcert=%2Fetc/ca%201.pem&sslmode=verify-full");
        assert_eq!(
            full,
            (SslMode::Require, Certificates::From(file(), Names::Checked))
        );
        let system = Certificates::From(Roots::System, Names::Checked);
        assert_eq!(tls("?sslmode=verify-full"), (SslMode::Require, system));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_being_repeated() {
        for text in [
            "postgres://u:geheim@h/db?sslmode=sometimes",
            "postgres://u:geheim@h/db?target_session_attrs=standby",
            "postgres://u:geheim@h/db?pool_size=0",
            "postgres://u:geheim@h/db?step_timeout=soon",
            "postgres://u:geheim@h/db?sslcert=x",
            "postgres://u:geheim@h/db?colour=red",
            "postgres://u:geheim@h:port/db",
            "postgres:///db",
            "postgres:u:geheim",
        ] {
            let refused = PostgresUrl::parse(text).unwrap_err();
            assert!(
                !format!("{refused} {refused:?}").contains("geheim"),
                "{text}"
            );
        }
    }
}
