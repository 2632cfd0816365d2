//! What every handler works with.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use watchword_core::account::Accounts;
use watchword_core::{
    ApiKeyStore, AppId, Channel, Inbox, Limit, NumberRules, Per, Policy, ProviderDescriptions,
    Region, ReplayStore, Timestamp, Verifier, WhenPending,
};

use crate::callbacks::Reception;
use crate::gate::Gate;

/// One HTTP dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SurfaceKind {
    /// The API of this server itself, under `/v1`.
    Native,
    /// Accounts: registration and login by code, under `/api/v1/auth`.
    Auth,
    /// Codes by email, SMS and WhatsApp, under `/api/otp`.
    Otp,
    /// Codes by WhatsApp, at the root.
    Whatsapp,
    /// Codes by handle, at the root.
    Uuid,
}

impl SurfaceKind {
    /// Every surface that can be served, in the order in which documents list them.
    pub const ALL: [Self; 5] = [
        Self::Native,
        Self::Auth,
        Self::Otp,
        Self::Whatsapp,
        Self::Uuid,
    ];

    /// The name in the configuration, and what sources are counted under.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Auth => "auth",
            Self::Otp => "otp",
            Self::Whatsapp => "whatsapp",
            Self::Uuid => "uuid",
        }
    }

    /// The policy that its document describes. What an operator writes stands above it.
    #[must_use]
    pub fn policy(self) -> Policy {
        let usual = Policy::default();
        let window = Duration::from_mins(10);
        let (recipient, source) = (Per::Recipient, Per::Source);
        let three = |per| Limit {
            per,
            max: 3,
            window,
        };
        match self {
            Self::Native | Self::Otp => usual,
            Self::Auth => Policy {
                resend_cooldown: Duration::ZERO,
                limits: vec![three(recipient), three(source)],
                ..usual
            },
            Self::Whatsapp => Policy {
                ttl: Duration::from_mins(3),
                resend_cooldown: Duration::ZERO,
                when_pending: WhenPending::Refuse,
                ..usual
            },
            Self::Uuid => Policy {
                ttl: Duration::from_mins(1),
                resend_cooldown: Duration::ZERO,
                limits: vec![three(recipient)],
                ..usual
            },
        }
    }

    /// Whether its phone numbers have to be ones that can exist, unless configured otherwise.
    #[must_use]
    pub const fn wants_strict_numbers(self) -> bool {
        // Its document's own example is a number that nobody can have.
        !matches!(self, Self::Whatsapp)
    }

    /// The channels that its codes can travel by.
    #[must_use]
    pub const fn channels(self) -> &'static [Channel] {
        match self {
            Self::Native | Self::Uuid => &Channel::ALL,
            Self::Auth => &[Channel::Whatsapp, Channel::Sms],
            Self::Otp => &[Channel::Email, Channel::Sms, Channel::Whatsapp],
            Self::Whatsapp => &[Channel::Whatsapp],
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
#[error("is not a surface that can be served")]
pub struct UnknownSurface;

impl FromStr for SurfaceKind {
    type Err = UnknownSurface;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.as_str() == name).ok_or(UnknownSurface)
    }
}

/// How one surface is run, beside its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SurfaceSettings {
    /// Whether its callers have to show an API key. The native surface's always have to.
    pub require_api_key: bool,
    /// How it reads phone numbers.
    pub numbers: NumberRules,
}

impl SurfaceSettings {
    /// A surface as its document describes it, with the country of numbers that name none.
    #[must_use]
    pub const fn documented(kind: SurfaceKind, default_region: Option<Region>) -> Self {
        Self {
            require_api_key: matches!(kind, SurfaceKind::Native),
            numbers: NumberRules {
                default_region,
                strict: kind.wants_strict_numbers(),
            },
        }
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

    /// Every surface under the policy that its document describes.
    #[must_use]
    pub fn documented() -> Self {
        SurfaceKind::ALL
            .into_iter()
            .fold(Self::default(), |policies, kind| {
                policies.with_surface(kind, kind.policy())
            })
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
    /// Where callbacks of providers are taken in.
    pub callbacks: Reception,
    /// Who may call.
    pub api_keys: Arc<dyn ApiKeyStore>,
    /// Who registered and logs in at the auth surface.
    pub accounts: Option<Arc<Accounts>>,
    /// The answers of requests that may be repeated.
    pub replays: Arc<dyn ReplayStore>,
    /// Which policy holds where.
    pub policies: Policies,
    /// How the native surface reads phone numbers.
    pub numbers: NumberRules,
    /// How each surface is run; one that is not in it, as its document describes it.
    pub surfaces: HashMap<SurfaceKind, SurfaceSettings>,
    /// How providers are configured, for whoever debugs.
    pub providers: Arc<dyn ProviderDescriptions>,
    /// The origins whose web pages may read what surfaces answer, as browsers write them:
    /// `https://app.example.com`. None unless configured.
    pub cors_origins: Vec<String>,
    /// Dev mode: pages, inbox, and no need for a key.
    pub dev: Option<Dev>,
    /// Whether surfaces may return codes where their documents show them. Only in dev mode.
    pub expose_codes: bool,
    /// Who gets in when there is too much to do. One for all listeners.
    pub gate: Arc<Gate>,
    /// What was logged and need not be logged again.
    pub told: Told,
}

impl App {
    pub(crate) fn now(&self) -> Timestamp {
        self.verifier.now()
    }

    pub(crate) fn surface(&self, kind: SurfaceKind) -> SurfaceSettings {
        let documented = || SurfaceSettings::documented(kind, self.numbers.default_region);
        self.surfaces.get(&kind).copied().unwrap_or_else(documented)
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
    /// Every listener's walks, so that the page of one leads to those of others.
    pub demos: Vec<DemoAt>,
    /// Ends the live pages, which otherwise keep their connections open while the server drains.
    pub shutdown: CancellationToken,
}

/// Where `/demo` walks through some surfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoAt {
    /// The address before `/demo`, such as `http://127.0.0.1:8000`, without a slash at the end.
    pub url: String,
    /// The surfaces.
    pub surfaces: Vec<SurfaceKind>,
}
