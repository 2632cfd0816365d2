//! What every handler works with.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio_util::sync::CancellationToken;
use watchword_core::{
    ApiKeyStore, AppId, Inbox, NumberRules, Policy, ReplayStore, Timestamp, Verifier,
};

/// One HTTP dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SurfaceKind {
    /// The API of this server itself, under `/v1`.
    Native,
}

impl SurfaceKind {
    /// Every surface, in the order in which documents list them.
    pub const ALL: [Self; 1] = [Self::Native];

    /// The name in the configuration, and what sources are counted under.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
        }
    }
}

impl fmt::Display for SurfaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no surface.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a surface; there is: native")]
pub struct UnknownSurface;

impl FromStr for SurfaceKind {
    type Err = UnknownSurface;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.as_str() == name).ok_or(UnknownSurface)
    }
}

/// Which policy holds where: that of an app at a surface, else that of the surface, else the default.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    default: Arc<Policy>,
    surfaces: HashMap<SurfaceKind, Arc<Policy>>,
    apps: HashMap<AppId, HashMap<SurfaceKind, Arc<Policy>>>,
}

impl Policies {
    /// One policy for everything.
    #[must_use]
    pub fn new(default: Policy) -> Self {
        Self {
            default: Arc::new(default),
            ..Self::default()
        }
    }

    /// With another policy at one surface.
    #[must_use]
    pub fn with_surface(mut self, surface: SurfaceKind, policy: Policy) -> Self {
        self.surfaces.insert(surface, Arc::new(policy));
        self
    }

    /// With another policy for one app at one surface.
    #[must_use]
    pub fn with_app(mut self, app: AppId, surface: SurfaceKind, policy: Policy) -> Self {
        let policies = self.apps.entry(app).or_default();
        policies.insert(surface, Arc::new(policy));
        self
    }

    /// The policy of an app at a surface.
    #[must_use]
    pub fn of(&self, surface: SurfaceKind, app: &AppId) -> &Arc<Policy> {
        let of_app = self
            .apps
            .get(app)
            .and_then(|policies| policies.get(&surface));
        let policy = of_app.or_else(|| self.surfaces.get(&surface));
        policy.unwrap_or(&self.default)
    }
}

/// What the API is made of. One for all listeners.
pub struct App {
    /// The way to verifications.
    pub verifier: Arc<Verifier>,
    /// Who may call.
    pub api_keys: Arc<dyn ApiKeyStore>,
    /// The answers of requests that may be repeated.
    pub replays: Arc<dyn ReplayStore>,
    /// Which policy holds where.
    pub policies: Policies,
    /// How the native surface reads phone numbers.
    pub numbers: NumberRules,
    /// Dev mode: pages, inbox, and no need for a key.
    pub dev: Option<Dev>,
    /// Whether surfaces may return codes where their documents show them. Only in dev mode.
    pub expose_codes: bool,
    /// What was logged and need not be logged again.
    pub told: Told,
}

impl App {
    pub(crate) fn now(&self) -> Timestamp {
        self.verifier.now()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("App")
    }
}

/// Warnings that are written once in the life of the server.
#[derive(Debug, Default)]
pub struct Told {
    /// A key without the scope said on whose behalf it calls.
    pub(crate) end_user_ip: AtomicBool,
}

/// What dev mode has beside the surfaces.
pub struct Dev {
    /// Where messages go.
    pub inbox: Arc<dyn Inbox>,
    /// The address to show in examples, such as `http://127.0.0.1:8080`, without a slash at the end.
    pub url: String,
    /// Ends the live pages, which otherwise keep their connections open while the server drains.
    pub shutdown: CancellationToken,
}
