//! What the settings mean together: from the tree that was given to a [`Config`] that can be
//! served, or to everything that stands against it.

mod accounts;
mod audit;
mod network;
mod routes;
mod surfaces;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use watchword_core::keys::{KeyRing, SecretKey};
use watchword_core::routing::Route;
use watchword_core::{
    AppId, Channel, NumberRules, Policy, PolicyPatch, Region, TemplateSettings, Templates,
};
use watchword_http::serve::Settings as ServeSettings;
use watchword_http::{SurfaceKind, SurfaceSettings};
use watchword_providers::{ProviderSettings, Secret};
use watchword_stores::StorageUrl;

use super::fault::{Fault, unknown};
use super::reading::read;
use super::shape::{self, Log, Telemetry};
use super::tree::{Value, What};
use super::{Given, Mode};

pub(crate) use accounts::AccountSettings;
pub(crate) use audit::{AuditSettings, audit_place};
pub(crate) use network::{ListenerConfig, NEVER};
use surfaces::{run_surfaces, surface};

/// Everything that a server needs to know.
pub(crate) struct Config {
    pub(crate) mode: Mode,
    /// Newest first. Empty in dev mode until it has made one.
    pub(crate) secret_keys: Vec<SecretKey>,
    /// A key that other nodes may use already, and this one only knows.
    pub(crate) next_secret_key: Option<SecretKey>,
    pub(crate) numbers: NumberRules,
    pub(crate) public_url: Option<String>,
    pub(crate) storage: Storage,
    pub(crate) accounts: AccountSettings,
    pub(crate) audit: AuditSettings,
    pub(crate) listeners: Vec<ListenerConfig>,
    pub(crate) admin: Option<std::net::SocketAddr>,
    /// The settings of the serve layer, the same on all listeners.
    pub(crate) serve: ServeSettings,
    /// How long it goes on serving after it was told to stop, for balancers to notice.
    pub(crate) shutdown_delay: Duration,
    pub(crate) policy: Policy,
    /// The policy of each surface.
    pub(crate) surfaces: BTreeMap<SurfaceKind, Policy>,
    /// How each surface is run beside its policy.
    pub(crate) surface_settings: BTreeMap<SurfaceKind, SurfaceSettings>,
    /// The origins whose web pages may read what surfaces answer.
    pub(crate) cors_origins: Vec<String>,
    pub(crate) apps: BTreeMap<AppId, AppConfig>,
    pub(crate) templates: TemplateSettings,
    pub(crate) channels: BTreeMap<Channel, Route<String>>,
    pub(crate) providers: BTreeMap<String, ProviderSettings>,
    /// How long a message of a channel may go without a word of its arrival.
    pub(crate) fallback_after: BTreeMap<Channel, Duration>,
    /// How long a start may wait for providers.
    pub(crate) deadline: Duration,
    pub(crate) log: Log,
    pub(crate) telemetry: Telemetry,
    /// Tells this configuration from others, without a word of it; empty until [`Config::sum_up`].
    pub(crate) digest: String,
}

/// Where things are kept.
pub(crate) struct Storage {
    pub(crate) url: StorageUrl,
    pub(crate) max_live: usize,
    /// The file of the store that stands in while the one at `url` is away.
    pub(crate) fallback: Option<PathBuf>,
}

/// A tenant.
pub(crate) struct AppConfig {
    /// By surface.
    pub(crate) policies: BTreeMap<SurfaceKind, Policy>,
    pub(crate) templates: Option<TemplateSettings>,
}

impl Config {
    /// Makes the digest, of what `config show` prints.
    pub(crate) fn sum_up(&mut self, given: &Given) {
        let shown = Sha256::digest(super::show::show(self, given));
        let digits = shown.iter().take(16).map(|byte| format!("{byte:02x}"));
        self.digest = digits.collect();
    }

    /// The longest window or cooldown of any policy: how long sends are remembered.
    pub(crate) fn horizon(&self) -> Duration {
        let apps = self.apps.values().flat_map(|app| app.policies.values());
        let policies = self.surfaces.values().chain(apps).chain([&self.policy]);
        let spans = policies.flat_map(|policy| {
            let windows = policy.limits.iter().map(|limit| limit.window);
            windows.chain([policy.resend_cooldown])
        });
        spans.max().unwrap_or_default()
    }
}

/// Settles what was given.
///
/// # Errors
/// Everything that stands against serving it.
pub(crate) fn settle(given: &Given, mode: Mode) -> Result<Config, Vec<Fault>> {
    let mut settling = Settling {
        root: &given.root,
        mode,
        faults: Vec::new(),
    };
    let config = settling.config();
    if settling.faults.is_empty() {
        Ok(config)
    } else {
        Err(settling.faults)
    }
}

/// Settles only where things are kept.
///
/// # Errors
/// What is wrong with `[storage]`.
pub(crate) fn storage_url(given: &Given) -> Result<StorageUrl, Vec<Fault>> {
    let mut settling = Settling {
        root: &given.root,
        mode: Mode::Serve,
        faults: Vec::new(),
    };
    let storage = settling.storage();
    if settling.faults.is_empty() {
        Ok(storage.url)
    } else {
        Err(settling.faults)
    }
}

/// Settles only where the admin listener is.
pub(super) fn admin_of(root: &Value) -> Result<Option<std::net::SocketAddr>, Vec<Fault>> {
    let mut settling = Settling {
        root,
        mode: Mode::Serve,
        faults: Vec::new(),
    };
    let admin = settling.admin();
    if settling.faults.is_empty() {
        Ok(admin)
    } else {
        Err(settling.faults)
    }
}

/// Settles only the keys, newest first.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn secret_keys(given: &Given) -> Result<Vec<SecretKey>, Vec<Fault>> {
    let mut settling = Settling {
        root: &given.root,
        mode: Mode::Serve,
        faults: Vec::new(),
    };
    let keys = settling.secret_keys();
    if settling.faults.is_empty() {
        Ok(keys)
    } else {
        Err(settling.faults)
    }
}

/// Where accounts are kept, if not beside verifications. What is wrong with it, [`storage_url`] says.
pub(crate) fn accounts_url(given: &Given) -> Option<StorageUrl> {
    let text = given.root.find("storage.accounts_url")?.as_text()?;
    StorageUrl::parse(text).ok()
}

/// The ring of these keys; nothing without a key.
fn ring(keys: &[SecretKey], next: Option<&SecretKey>) -> Option<KeyRing> {
    let (newest, leaving) = keys.split_first()?;
    let ring = KeyRing::new(newest, leaving);
    Some(match next {
        Some(next) => ring.expecting(next),
        None => ring,
    })
}

impl Config {
    /// Its keys as a ring; nothing in dev mode that has made none yet.
    pub(crate) fn key_ring(&self) -> Option<KeyRing> {
        ring(&self.secret_keys, self.next_secret_key.as_ref())
    }
}

struct Settling<'a> {
    root: &'a Value,
    mode: Mode,
    faults: Vec<Fault>,
}

/// How many verifications are held unless configured otherwise: about 5 GB.
pub(super) const MAX_LIVE: usize = 10_000_000;

impl Settling<'_> {
    fn config(&mut self) -> Config {
        self.refuse_unknown(self.root, "", shape::TOP);
        let secret_keys = self.secret_keys();
        let next_secret_key = self.next_secret_key();
        let surfaces: BTreeMap<SurfaceKind, shape::Surface> = self.surface_settings();
        let allow_weak: bool = self.section("allow_weak_codes");
        let patch: PolicyPatch = self.section("policy");
        let policy = self.policy("policy", &patch, &Policy::default(), allow_weak);
        let policies = self.surface_policies(&patch, &surfaces, allow_weak);
        let default_region: Option<Region> = self.section("default_region");
        let surface_settings = run_surfaces(&surfaces, default_region);
        let providers = self.providers();
        let listeners = self.listeners(&surfaces);
        let channels = self.channels(&providers);
        self.refuse_mute_surfaces(&listeners, &channels, &surfaces);
        let (storage, accounts) = (self.storage(), self.accounts());
        self.refuse_homeless_accounts(&storage, &listeners);
        let audit = self.audit(&storage.url, accounts.url.as_ref());
        let http: shape::Http = self.section("http");
        Config {
            mode: self.mode,
            secret_keys,
            next_secret_key,
            numbers: surface_settings
                .get(&SurfaceKind::Native)
                .map(|settings| settings.numbers)
                .unwrap_or_default(),
            public_url: self.public_url(),
            storage,
            accounts,
            audit,
            listeners,
            surface_settings,
            cors_origins: self.cors_origins(),
            admin: self.admin(),
            serve: self.serve_settings(&http),
            shutdown_delay: self.shutdown_delay(&http),
            apps: self.apps(&policies, allow_weak),
            policy,
            surfaces: policies,
            templates: self.templates("templates"),
            channels,
            fallback_after: self.fallback_after(),
            providers,
            deadline: self.deadline(&http),
            log: self.section("log"),
            telemetry: self.telemetry(),
            digest: String::new(),
        }
    }

    fn complain(&mut self, path: &str, message: impl Into<String>) {
        let origin = self.root.find(path).map(|value| &value.origin);
        self.faults.push(Fault::at(path, message).from(origin));
    }

    /// Reads what stands at `path`; nothing there, or nothing that fits, is the default.
    fn section<T: DeserializeOwned + Default>(&mut self, path: &str) -> T {
        let Some(value) = self.root.find(path) else {
            return T::default();
        };
        read(value, path).unwrap_or_else(|fault| {
            self.faults.push(fault);
            T::default()
        })
    }

    fn refuse_unknown(&mut self, table: &Value, path: &str, known: &[&str]) {
        let Some(entries) = table.as_table() else {
            return;
        };
        for (name, value) in entries
            .iter()
            .filter(|(name, _)| !known.contains(&name.as_str()))
        {
            let full = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            let message = unknown("key", name, known.iter().copied());
            self.faults
                .push(Fault::at(full, message).from(Some(&value.origin)));
        }
    }

    fn secret_keys(&mut self) -> Vec<SecretKey> {
        let single = self.root.find("secret_key").is_some();
        let several = self.root.find("secret_keys").is_some();
        let (path, texts) = match (single, several) {
            (true, true) => {
                self.complain(
                    "secret_key",
                    "is given beside secret_keys; set one of the two",
                );
                return Vec::new();
            }
            (false, false) if self.mode == Mode::Dev => return Vec::new(),
            (false, false) => {
                self.complain(
                    "secret_key",
                    "is missing; make one with `watchword keygen`, and set it in the file, as \
                     WATCHWORD__SECRET_KEY, or as secret_key_file",
                );
                return Vec::new();
            }
            (true, false) => (
                "secret_key",
                self.section::<Option<Secret>>("secret_key")
                    .into_iter()
                    .collect(),
            ),
            (false, true) => ("secret_keys", self.section::<Vec<Secret>>("secret_keys")),
        };
        if several && texts.is_empty() {
            self.complain(path, "is empty; give the newest key first");
        }
        let mut keys = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let place = if several {
                format!("{path}.{index}")
            } else {
                path.to_owned()
            };
            match SecretKey::parse(text.expose()) {
                Ok(key) => keys.push(key),
                Err(weak) => self.complain(&place, weak.to_string()),
            }
        }
        keys
    }

    fn next_secret_key(&mut self) -> Option<SecretKey> {
        let text: Option<Secret> = self.section("next_secret_key");
        let key = SecretKey::parse(text?.expose());
        key.map_err(|weak| self.complain("next_secret_key", weak.to_string()))
            .ok()
    }

    fn policy(
        &mut self,
        path: &str,
        patch: &PolicyPatch,
        base: &Policy,
        allow_weak: bool,
    ) -> Policy {
        let policy = patch.over(base);
        if let Err(invalid) = policy.validate(allow_weak) {
            self.complain(&format!("{path}.{}", invalid.field), invalid.reason);
        }
        policy
    }

    fn apps(
        &mut self,
        surfaces: &BTreeMap<SurfaceKind, Policy>,
        allow_weak: bool,
    ) -> BTreeMap<AppId, AppConfig> {
        let mut apps = BTreeMap::new();
        let given: Vec<shape::App> = self.section("apps");
        for (index, app) in given.into_iter().enumerate() {
            let path = format!("apps.{index}");
            let id = match AppId::parse(&app.name) {
                Ok(id) => id,
                Err(invalid) => {
                    self.complain(&format!("{path}.name"), invalid.to_string());
                    continue;
                }
            };
            let mut policies = BTreeMap::new();
            for (kind, base) in surfaces {
                let before = self.faults.len();
                let path = format!("{path}.policy");
                policies.insert(*kind, self.policy(&path, &app.policy, base, allow_weak));
                // A fault of the base is told already.
                if app.policy == PolicyPatch::default() {
                    self.faults.truncate(before);
                }
            }
            if let Some(templates) = &app.templates {
                self.check_templates(&format!("{path}.templates"), templates);
            }
            let config = AppConfig {
                policies,
                templates: app.templates,
            };
            if apps.insert(id, config).is_some() {
                self.complain(&format!("{path}.name"), "is there twice");
            }
        }
        apps
    }

    fn templates(&mut self, path: &str) -> TemplateSettings {
        let settings = self.section(path);
        self.check_templates(path, &settings);
        settings
    }

    fn check_templates(&mut self, path: &str, settings: &TemplateSettings) {
        if let Err(invalid) = Templates::new(settings) {
            self.complain(
                &format!("{path}.{}", invalid.setting),
                invalid.fault.to_string(),
            );
        }
    }

    fn storage(&mut self) -> Storage {
        let given: shape::Storage = self.section("storage");
        let url = self.storage_url("storage.url", given.url.as_deref());
        if given.accounts_url.is_some() {
            self.storage_url("storage.accounts_url", given.accounts_url.as_deref());
        }
        let fallback = self.fallback(&given, &url);
        let max_live = given.max_live.unwrap_or(MAX_LIVE);
        if max_live == 0 {
            self.complain("storage.max_live", "must be at least 1");
        }
        Storage {
            url,
            max_live,
            fallback,
        }
    }

    /// The file of the store that stands in for the one at `url`, where one does.
    fn fallback(&mut self, given: &shape::Storage, url: &StorageUrl) -> Option<PathBuf> {
        let shared = matches!(url, StorageUrl::Postgres(_) | StorageUrl::Redis(_));
        let local = given.fallback == shape::Fallback::Local;
        // Where nothing is named, everything is local anyway.
        if local && !shared && given.url.is_some() {
            let message = "`local` stands in for PostgreSQL or Redis (storage.url)";
            self.complain("storage.fallback", message);
        }
        let path = given.fallback_path.clone();
        if path.is_some() && !local {
            let message = "is of no use unless storage.fallback is \"local\"";
            self.complain("storage.fallback_path", message);
        }
        let path = path.unwrap_or_else(|| "watchword-fallback.db".into());
        (local && shared).then_some(path)
    }

    fn storage_url(&mut self, path: &str, text: Option<&str>) -> StorageUrl {
        let fallback = || StorageUrl::Sqlite("watchword.db".into());
        let Some(text) = text else { return fallback() };
        StorageUrl::parse(text).unwrap_or_else(|invalid| {
            self.complain(path, invalid.to_string());
            fallback()
        })
    }

    fn telemetry(&mut self) -> Telemetry {
        let telemetry: Telemetry = self.section("telemetry");
        if let Some(url) = &telemetry.otlp_endpoint
            && !is_web_address(url)
        {
            let message = "is not an address such as http://127.0.0.1:4318";
            self.complain("telemetry.otlp_endpoint", message);
        }
        telemetry
    }

    fn public_url(&mut self) -> Option<String> {
        let url: Option<String> = self.section("public_url");
        let url = url?;
        let url = url.trim_end_matches('/');
        if !is_web_address(url) || url.contains(['?', '#']) {
            self.complain(
                "public_url",
                "is not an address such as https://otp.example.com",
            );
        }
        Some(url.to_owned())
    }
}

/// `http` or `https`, with a host and without a user.
fn is_web_address(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
    })
}
