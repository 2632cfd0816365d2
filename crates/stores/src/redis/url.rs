//! What a Redis URL may say.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

/// Where a Redis is, and how it is talked to:
///
/// - `redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]`, and `rediss://` for TLS
/// - `redis-sentinel://[…@]HOST:PORT,HOST:PORT/MASTER`, and `rediss-sentinel://`
/// - `redis-cluster://[…@]HOST:PORT,HOST:PORT`, and `rediss-cluster://`
///
/// Behind a `?`, in any order: `namespace=NAME`, `wait_replicas=N`, `wait_timeout=MILLISECONDS`, `step_timeout=MILLISECONDS`,
/// `ca=FILE`, and for a Sentinel `db=N`, `sentinel_user=…`, `sentinel_password=…`. `valkey` may
/// stand for `redis` everywhere. Its `Debug` and `Display` show neither user nor password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(super) shape: Shape,
    pub(super) tls: bool,
    pub(super) hosts: Vec<Address>,
    pub(super) login: Login,
    pub(super) sentinel_login: Login,
    pub(super) db: i64,
    pub(super) ca: Option<PathBuf>,
    pub(super) namespace: String,
    pub(super) wait_replicas: u32,
    pub(super) wait_timeout: Duration,
    /// How long a step may take: its calls, with finding their servers and connecting to them.
    pub(super) step_timeout: Duration,
}

/// How the servers stand to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Single,
    /// Sentinels know which server is the master of this name.
    Sentinel {
        master: String,
    },
    Cluster,
}

/// A host name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<Zeroizing<String>>,
}

const DEFAULT_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const DEFAULT_NAMESPACE: &str = "ww";
/// Well inside the time that a step may take.
const WAIT_TIMEOUT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_millis(900);
const STEP_TIMEOUT: Duration = Duration::from_millis(1800);
const STEP_TIMEOUTS: RangeInclusive<Duration> = STEP_TIMEOUT..=Duration::from_secs(60);

impl RedisUrl {
    /// Whether this scheme is one of Redis.
    pub(crate) fn has_scheme(scheme: &str) -> bool {
        shape_of(scheme).is_some()
    }

    /// Reads a URL. An error says what is wrong and never carries the text.
    fn parse(scheme: &str, rest: &str) -> Result<Self, &'static str> {
        let (kind, tls) = shape_of(scheme).ok_or("is not a Redis URL")?;
        let rest = rest
            .strip_prefix("//")
            .ok_or("names no server; write redis://HOST:PORT")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (login_of(login)?, hosts),
            None => (Login::default(), authority),
        };
        let port = match kind {
            Kind::Sentinel => SENTINEL_PORT,
            Kind::Single | Kind::Cluster => DEFAULT_PORT,
        };
        let hosts = hosts
            .split(',')
            .map(|host| address(host, port))
            .collect::<Result<Vec<_>, _>>()?;
        let mut url = Self {
            shape: Shape::Single,
            tls,
            hosts,
            login,
            sentinel_login: Login::default(),
            db: 0,
            ca: None,
            namespace: DEFAULT_NAMESPACE.to_owned(),
            wait_replicas: 0,
            wait_timeout: WAIT_TIMEOUT,
            step_timeout: STEP_TIMEOUT,
        };
        match kind {
            Kind::Single => {
                if url.hosts.len() > 1 {
                    return Err(
                        "names several servers; write redis-cluster:// or redis-sentinel://",
                    );
                }
                if !path.is_empty() {
                    url.db = database(path)?;
                }
            }
            Kind::Sentinel => {
                let master = decoded(path)?;
                if master.is_empty() {
                    return Err("names no master; write redis-sentinel://HOST:PORT/MASTER");
                }
                url.shape = Shape::Sentinel { master };
            }
            Kind::Cluster => {
                if !path.is_empty() {
                    return Err("a Redis Cluster has no databases and no path");
                }
                url.shape = Shape::Cluster;
            }
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            url.set(name, &decoded(value)?)?;
        }
        Ok(url)
    }

    pub(super) const fn is_tls(&self) -> bool {
        self.tls
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let sentinel = matches!(self.shape, Shape::Sentinel { .. });
        match name {
            "namespace" => {
                let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
                if value.is_empty() || value.len() > 64 || !value.bytes().all(valid) {
                    return Err("namespace: takes letters, digits and - _ . : only");
                }
                value.clone_into(&mut self.namespace);
            }
            "wait_replicas" => {
                let replicas = value.parse().ok().filter(|count| *count <= 16);
                self.wait_replicas = replicas.ok_or("wait_replicas: is a number from 0 to 16")?;
            }
            "wait_timeout" => {
                let millis = value.parse().ok().map(Duration::from_millis);
                let wait = millis.filter(|wait| !wait.is_zero() && *wait <= LONGEST_WAIT);
                self.wait_timeout = wait.ok_or("wait_timeout: is milliseconds, from 1 to 900")?;
            }
            "step_timeout" => {
                let millis = value.parse().ok().map(Duration::from_millis);
                let step = millis.filter(|step| STEP_TIMEOUTS.contains(step));
                self.step_timeout =
                    step.ok_or("step_timeout: is milliseconds, from 1800 to 60000")?;
            }
            "ca" if self.tls && !value.is_empty() => self.ca = Some(PathBuf::from(value)),
            "ca" => return Err("ca: names a file, for rediss:// only"),
            "db" if sentinel => self.db = database(value)?,
            "sentinel_user" if sentinel => self.sentinel_login.user = Some(value.to_owned()),
            "sentinel_password" if sentinel => {
                self.sentinel_login.password = Some(Zeroizing::new(value.to_owned()));
            }
            _ => {
                return Err(
                    "takes the parameters namespace, wait_replicas, wait_timeout, step_timeout and ca, \
                     and for a Sentinel db, sentinel_user and sentinel_password",
                );
            }
        }
        Ok(())
    }
}

/// The text is no URL of a Redis, and why not. Never carries the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRedisUrl(&'static str);

impl FromStr for RedisUrl {
    type Err = InvalidRedisUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.trim().split_once(':').unwrap_or_default();
        Self::parse(&scheme.to_ascii_lowercase(), rest).map_err(InvalidRedisUrl)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Single,
    Sentinel,
    Cluster,
}

fn shape_of(scheme: &str) -> Option<(Kind, bool)> {
    let (base, kind) = match scheme.split_once('-') {
        None => (scheme, Kind::Single),
        Some((base, "sentinel")) => (base, Kind::Sentinel),
        Some((base, "cluster")) => (base, Kind::Cluster),
        Some(_) => return None,
    };
    match base {
        "redis" | "valkey" => Some((kind, false)),
        "rediss" | "valkeys" => Some((kind, true)),
        _ => None,
    }
}

fn decoded(text: &str) -> Result<String, &'static str> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| "has a part that is not UTF-8 when its % are decoded")?;
    Ok(decoded.into_owned())
}

fn login_of(text: &str) -> Result<Login, &'static str> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (text, None),
    };
    let user = Some(decoded(user)?).filter(|user| !user.is_empty());
    let password = password.map(decoded).transpose()?.map(Zeroizing::new);
    Ok(Login { user, password })
}

fn database(text: &str) -> Result<i64, &'static str> {
    let number = text.parse().ok().filter(|number| *number >= 0);
    number.ok_or("names a database that is no number")
}

fn address(text: &str, default_port: u16) -> Result<Address, &'static str> {
    let wrong = "names no server; write HOST:PORT, and several with commas between";
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(wrong)?;
            (host, port.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().map_err(|_| "has a port that is no number")?,
        None => default_port,
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '@') {
        return Err(wrong);
    }
    Ok(Address {
        host: host.to_owned(),
        port,
    })
}

/// Who logs in is left out, and the parameters with it.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = if self.tls { "rediss" } else { "redis" };
        let kind = match self.shape {
            Shape::Single => "",
            Shape::Sentinel { .. } => "-sentinel",
            Shape::Cluster => "-cluster",
        };
        let hosts: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
        write!(f, "{base}{kind}://{}", hosts.join(","))?;
        match &self.shape {
            Shape::Sentinel { master } => write!(f, "/{master}"),
            Shape::Single if self.db != 0 => write!(f, "/{}", self.db),
            Shape::Single | Shape::Cluster => Ok(()),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RedisUrl, InvalidRedisUrl> {
        text.parse()
    }

    #[test]
    fn every_shape_of_a_url_is_read() {
        for (text, shown) in [
            ("redis://localhost", "redis://localhost:6379"),
            ("valkey://10.0.0.1:7000/3", "redis://10.0.0.1:7000/3"),
            ("rediss://me:pass@[::1]:7000", "rediss://[::1]:7000"),
            (
                "redis-sentinel://a,b:1/mymaster?db=2",
                "redis-sentinel://a:26379,b:1/mymaster",
            ),
            (
                "redis-cluster://a:1,b:2?namespace=otp",
                "redis-cluster://a:1,b:2",
            ),
        ] {
            let url = parse(text).unwrap();
            assert_eq!(url.to_string(), shown, "{text}");
        }
        let url = parse("rediss://us%40er:p%3Aa@h/1?wait_replicas=2&wait_timeout=50&ca=/x.pem");
        let url = url.unwrap();
        assert_eq!(url.login.user.as_deref(), Some("us@er"));
        let password = url.login.password.as_deref().map(String::as_str);
        assert_eq!(password, Some("p:a"));
        assert_eq!((url.wait_replicas, url.db, url.tls), (2, 1, true));
        assert_eq!(url.wait_timeout, Duration::from_millis(50));
    }

    #[test]
    fn what_is_in_doubt_is_refused() {
        for text in [
            "redis:localhost",
            "redis://",
            "redis://a,b",
            "redis://h/x",
            "redis://h:port",
            "redis-sentinel://h",
            "redis-cluster://h/1",
            "redis://h?nonsense=1",
            "redis://h?ca=/x.pem",
            "redis://h?wait_timeout=5000",
            "redis://h?step_timeout=1799",
            "redis://h?namespace={x}",
            "redis://h?db=1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("redis-mirror://h").is_err() && parse("redis").is_err());
    }

    #[test]
    fn neither_user_nor_password_is_shown() {
        let url = parse("redis-sentinel://somebody:hush@h/m?sentinel_password=quiet").unwrap();
        let shown = format!("{url} {url:?}");
        assert!(!shown.contains("hush") && !shown.contains("somebody") && !shown.contains("quiet"));
    }
}
