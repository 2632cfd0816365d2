//! The surface in this process, over core's fakes, the memory stores and the real pool of passwords.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use watchword_core::account::{
    AccountParts, AccountStore, Accounts, HashCost, MemoryAccounts, PasswordHasher,
};
use watchword_core::fakes::{Pigeon, SeededEntropy, SetClock, keys};
use watchword_core::memory::MemoryStore;
use watchword_core::{
    ApiKeyId, ApiKeyRecord, ApiKeyStore, Code, LONGEST_WINDOW, NumberRules, Parts, Policy, Store,
    StoreError, Timestamp, Verifier,
};
use watchword_http::client_address::ClientAddress;
use watchword_http::{App, Gate, PasswordPool, Policies, SurfaceKind, Told, api_router};

pub const MOBILE: &str = "4155550123";
pub const OTHER_MOBILE: &str = "4155550124";
pub const EMAIL: &str = "ann@example.com";
pub const PASSWORD: &str = "correct horse";

pub struct World {
    pub router: Router,
    pub clock: Arc<SetClock>,
    pub pigeon: Arc<Pigeon>,
    pub accounts: Arc<Accounts>,
    pub verifier: Arc<Verifier>,
    pub address: IpAddr,
    pub gate: Arc<Gate>,
}

/// How a world differs from the usual one.
pub struct Setting {
    pub policy: Policy,
    pub expose_codes: bool,
    pub default_region: Option<&'static str>,
    pub accounts: Arc<dyn AccountStore>,
    pub passwords: Arc<dyn PasswordHasher>,
    pub store: Arc<dyn Store>,
}

impl Default for Setting {
    fn default() -> Self {
        let entropy = Arc::new(SeededEntropy::new(9));
        Self {
            policy: SurfaceKind::Auth.policy(),
            expose_codes: false,
            default_region: Some("US"),
            accounts: Arc::new(MemoryAccounts::default()),
            passwords: Arc::new(PasswordPool::new(HashCost::default(), 4, 1000, entropy)),
            store: Arc::new(MemoryStore::default()),
        }
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Answer {
    /// Asserts the whole of it.
    #[track_caller]
    pub fn is(&self, status: u16, body: Value) -> &Self {
        assert_eq!((self.status, &self.body), (status, &body), "{}", self.text);
        self
    }

    /// Asserts a refusal in words.
    #[track_caller]
    pub fn says(&self, status: u16, detail: &str) -> &Self {
        self.is(status, json!({ "detail": detail }))
    }

    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(Setting::default())
    }

    pub fn without_limits() -> Self {
        Self::with(Setting {
            policy: without_limits(),
            ..Setting::default()
        })
    }

    pub fn with(setting: Setting) -> Self {
        let clock = Arc::new(SetClock::default());
        let pigeon = Arc::new(Pigeon::default());
        let verifier = Arc::new(Verifier::new(Parts {
            store: setting.store.clone(),
            messenger: pigeon.clone(),
            keys: Arc::new(keys(1)),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(7)),
            events: Arc::new(()),
            issuer: "https://otp.example".to_owned(),
            deadline: Duration::from_secs(10),
            fallback_after: BTreeMap::new(),
            horizon: LONGEST_WINDOW,
        }));
        let accounts = Arc::new(Accounts::new(AccountParts {
            accounts: setting.accounts,
            store: setting.store,
            verifier: verifier.clone(),
            passwords: setting.passwords,
            issuer: "https://otp.example".to_owned(),
            token_life: Default::default(),
        }));
        let gate = Arc::<Gate>::default();
        let app = App {
            verifier: verifier.clone(),
            api_keys: Arc::new(NoKeys),
            callbacks: Default::default(),
            accounts: Some(accounts.clone()),
            replays: Arc::new(MemoryStore::default()),
            policies: Policies::documented().with_surface(SurfaceKind::Auth, setting.policy),
            numbers: NumberRules {
                default_region: setting.default_region.map(|region| region.parse().unwrap()),
                strict: true,
            },
            surfaces: HashMap::new(),
            providers: Arc::new(()),
            cors_origins: Vec::new(),
            dev: None,
            expose_codes: setting.expose_codes,
            gate: gate.clone(),
            told: Told::default(),
        };
        Self {
            router: api_router(Arc::new(app), &[SurfaceKind::Auth]),
            clock,
            pigeon,
            accounts,
            verifier,
            gate,
            address: IpAddr::from([192, 0, 2, 1]),
        }
    }

    /// The same server, called from elsewhere.
    pub fn from(&self, address: &str) -> Self {
        Self {
            router: self.router.clone(),
            clock: self.clock.clone(),
            pigeon: self.pigeon.clone(),
            accounts: self.accounts.clone(),
            verifier: self.verifier.clone(),
            gate: self.gate.clone(),
            address: address.parse().unwrap(),
        }
    }

    pub async fn post(&self, call: &str, body: Value) -> Answer {
        self.send(call, body.to_string()).await
    }

    pub async fn send(&self, call: &str, body: impl Into<Body>) -> Answer {
        let path = format!("/api/v1/auth/{call}");
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("content-type", "application/json");
        self.request(request.body(body.into()).unwrap()).await
    }

    pub async fn request(&self, mut request: Request<Body>) -> Answer {
        let client = ClientAddress::new(self.address);
        request.extensions_mut().insert(client);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }

    pub async fn register(&self, email: &str, mobile: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "mobile": mobile, "password": password });
        self.post("register", body).await
    }

    pub async fn request_otp(&self, mobile: &str, remember_me: bool) -> Answer {
        let body = json!({ "mobile_number": mobile, "remember_me": remember_me });
        self.post("request-otp", body).await
    }

    pub async fn resend(&self, mobile: &str) -> Answer {
        self.post("resend-otp", json!({ "mobile": mobile })).await
    }

    pub async fn verify(&self, mobile: &str, otp: &str) -> Answer {
        let body = json!({ "mobile": mobile, "otp": otp });
        self.post("verify-otp", body).await
    }

    /// The code that went out last.
    pub fn code(&self) -> String {
        self.codes().last().unwrap().clone()
    }

    pub fn codes(&self) -> Vec<String> {
        let codes = self.pigeon.codes();
        codes.iter().map(Code::expose).map(str::to_owned).collect()
    }

    /// A code that is not the one that went out last.
    pub fn wrong_code(&self) -> String {
        let right = self.code();
        let first = if right.starts_with('0') { "1" } else { "0" };
        format!("{first}{}", &right[1..])
    }

    /// Registers and verifies; the answer to the verification.
    pub async fn account(&self, email: &str, mobile: &str) -> Answer {
        assert_eq!(self.register(email, mobile, PASSWORD).await.status, 202);
        let verified = self.verify(mobile, &self.code()).await;
        assert_eq!(verified.status, 200, "{}", verified.text);
        verified
    }
}

pub fn without_limits() -> Policy {
    Policy {
        limits: Vec::new(),
        ..SurfaceKind::Auth.policy()
    }
}

/// The payload of a JWT.
pub fn claims(token: &Value) -> Value {
    use base64::Engine as _;
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload);
    serde_json::from_slice(&payload.unwrap()).unwrap()
}

/// Nobody has a key.
struct NoKeys;

#[async_trait::async_trait]
impl ApiKeyStore for NoKeys {
    async fn find(&self, _: &ApiKeyId) -> Result<Option<ApiKeyRecord>, StoreError> {
        Ok(None)
    }

    async fn add(&self, _: ApiKeyRecord) -> Result<(), StoreError> {
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ApiKeyRecord>, StoreError> {
        Ok(Vec::new())
    }

    async fn revoke(&self, _: &ApiKeyId, _: Timestamp) -> Result<bool, StoreError> {
        Ok(false)
    }
}
