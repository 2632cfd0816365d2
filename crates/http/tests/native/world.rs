//! The API in this process, over core's fakes and the memory store.

use std::collections::BTreeMap;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use watchword_core::fakes::{Pigeon, SeededEntropy, SetClock, keys};
use watchword_core::keys::KeyRing;
use watchword_core::memory::MemoryStore;
use watchword_core::{
    ApiKey, ApiKeyRecord, AppId, Clock as _, Code, Entropy, Events, LONGEST_WINDOW, Messenger,
    NumberRules, Parts, Policy, ReplayStore, Scope, Store, VerificationId, Verifier,
};
use watchword_http::client_address::ClientAddress;
use watchword_http::{
    App, Dev, Gate, Policies, Reception, Routes, SurfaceKind, SurfaceSettings, Told, api_routes,
};

use crate::stand_ins::{KeyBox, Postbox};

pub const PHONE: &str = "+14155550123";
pub const JSON: &str = "application/json";

/// What went over the wire: method, path template, status, problem code.
pub type Observed = (String, String, u16, String);

/// A server without sockets.
#[derive(Clone)]
pub struct World {
    pub router: Routes,
    pub clock: Arc<SetClock>,
    pub pigeon: Arc<Pigeon>,
    pub postbox: Arc<Postbox>,
    pub api_keys: Arc<KeyBox>,
    /// What [`World::post`] and its siblings send as `Authorization`.
    pub key: Option<String>,
    /// Where they come from.
    pub address: IpAddr,
    pub observed: Arc<Mutex<BTreeSet<Observed>>>,
}

/// How a world differs from the usual one.
pub struct Setting {
    pub dev: bool,
    pub expose_codes: bool,
    /// One for all surfaces, in the place of those that their documents describe.
    pub policy: Option<Policy>,
    /// What a listener serves.
    pub serves: Vec<SurfaceKind>,
    pub surfaces: HashMap<SurfaceKind, SurfaceSettings>,
    pub cors_origins: Vec<String>,
    pub store: Arc<dyn Store>,
    pub replays: Arc<dyn ReplayStore>,
    pub keys: KeyRing,
    pub entropy: Arc<dyn Entropy>,
    /// Who gets in.
    pub gate: Arc<Gate>,
    /// In the place of the pigeon.
    pub messenger: Option<Arc<dyn Messenger>>,
    /// Who is told what happens.
    pub events: Arc<dyn Events>,
}

impl Default for Setting {
    fn default() -> Self {
        let store = Arc::new(MemoryStore::default());
        Self {
            dev: false,
            expose_codes: false,
            policy: None,
            serves: vec![SurfaceKind::Native],
            surfaces: HashMap::new(),
            cors_origins: Vec::new(),
            replays: store.clone(),
            store,
            keys: keys(1),
            entropy: Arc::new(SeededEntropy::new(7)),
            gate: Arc::default(),
            messenger: None,
            events: Arc::new(()),
        }
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(Setting::default())
    }

    pub fn dev() -> Self {
        Self::with(Setting {
            dev: true,
            ..Setting::default()
        })
    }

    /// A world whose limits no test reaches by the way.
    pub fn without_limits() -> Self {
        Self::with(Setting {
            policy: Some(without_limits()),
            ..Setting::default()
        })
    }

    pub fn with(setting: Setting) -> Self {
        let clock = Arc::new(SetClock::default());
        let pigeon = Arc::new(Pigeon::default());
        let postbox = Arc::new(Postbox::default());
        let api_keys = Arc::new(KeyBox::default());
        let verifier = Verifier::new(Parts {
            store: setting.store,
            messenger: setting.messenger.unwrap_or_else(|| pigeon.clone()),
            keys: Arc::new(setting.keys),
            clock: clock.clone(),
            entropy: setting.entropy,
            events: Arc::new(setting.events),
            issuer: "https://otp.example".to_owned(),
            deadline: Duration::from_secs(10),
            fallback_after: BTreeMap::new(),
            horizon: LONGEST_WINDOW,
        });
        let app = App {
            verifier: Arc::new(verifier),
            callbacks: Reception::default(),
            api_keys: api_keys.clone(),
            replays: setting.replays,
            policies: match setting.policy {
                Some(policy) => Policies::new(policy),
                None => Policies::documented(),
            },
            numbers: NumberRules {
                default_region: None,
                strict: true,
            },
            dev: setting.dev.then(|| Dev {
                inbox: postbox.clone(),
                url: "http://127.0.0.1:8080".to_owned(),
                demos: Vec::new(),
                shutdown: CancellationToken::new(),
            }),
            accounts: None,
            surfaces: setting.surfaces,
            providers: Arc::new(()),
            cors_origins: setting.cors_origins,
            expose_codes: setting.expose_codes,
            gate: setting.gate,
            told: Told::default(),
        };
        let mut world = Self {
            router: api_routes(Arc::new(app), &setting.serves),
            clock,
            pigeon,
            postbox,
            api_keys,
            key: None,
            address: IpAddr::from([192, 0, 2, 1]),
            observed: Arc::default(),
        };
        if !setting.dev {
            world.key = Some(world.api_key("default", &Scope::ALL));
        }
        world
    }

    /// Makes an API key and returns its text.
    pub fn api_key(&self, app: &str, scopes: &[Scope]) -> String {
        let seed = 100 + self.api_keys.count() as u64;
        let key = ApiKey::generate(&SeededEntropy::new(seed)).unwrap();
        let app = AppId::parse(app).unwrap();
        let record = ApiKeyRecord::of(
            &key,
            "test".into(),
            app,
            scopes.to_vec(),
            self.clock.now(),
            None,
        );
        self.api_keys.put(record);
        key.expose().to_owned()
    }

    /// The same server, called with another key.
    pub fn as_app(&self, app: &str, scopes: &[Scope]) -> Self {
        let key = Some(self.api_key(app, scopes));
        Self {
            key,
            ..self.clone()
        }
    }

    /// The same server, called from elsewhere.
    pub fn from(&self, address: &str) -> Self {
        Self {
            address: address.parse().unwrap(),
            ..self.clone()
        }
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.post_with(path, body, &[]).await
    }

    pub async fn post_with(&self, path: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
        let mut all = vec![("content-type", JSON)];
        all.extend(headers);
        self.send(Method::POST, path, &all, body.to_string()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], "").await
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method.clone()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut request = request.body(body.into()).unwrap();
        request
            .extensions_mut()
            .insert(ClientAddress::new(self.address));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let answer = Answer::read(response).await;
        let observed = (
            method.to_string(),
            template(path),
            answer.status.as_u16(),
            answer.code().to_owned(),
        );
        self.observed.lock().insert(observed);
        answer
    }

    /// Starts a verification of this recipient.
    pub async fn start(&self, to: &str) -> String {
        let started = self
            .post("/v1/verifications", serde_json::json!({ "to": to }))
            .await;
        assert_eq!(started.status, StatusCode::CREATED, "{}", started.text);
        started.body["id"].as_str().unwrap().to_owned()
    }

    /// The code that went out last for a verification.
    pub fn code(&self, id: &str) -> String {
        let id = VerificationId::parse(id).unwrap();
        self.pigeon.code(id).unwrap().expose().to_owned()
    }

    /// A code that is not the right one.
    pub fn wrong_code(&self, id: &str) -> String {
        let right = self.code(id);
        let first = if right.starts_with('0') { "1" } else { "0" };
        format!("{first}{}", &right[1..])
    }

    pub async fn check(&self, id: &str, code: &str) -> Answer {
        let path = format!("/v1/verifications/{id}/check");
        self.post(&path, serde_json::json!({ "code": code })).await
    }

    /// Every code that was ever sent.
    pub fn codes(&self) -> Vec<String> {
        let codes = self.pigeon.codes();
        codes.iter().map(Code::expose).map(str::to_owned).collect()
    }
}

/// A world twice: as it is reached, and through the router alone.
pub struct BothWays {
    pub direct: World,
    pub routed: World,
}

impl BothWays {
    pub fn of(make: impl Fn() -> World) -> Self {
        let (direct, mut routed) = (make(), make());
        routed.router = axum::Router::from(routed.router).into();
        Self { direct, routed }
    }

    /// Asks by each method, with this body and with others: both ways have the same answers. The method of each
    /// that succeeds.
    pub async fn ask(&self, path: &str, body: &str) -> Vec<Method> {
        let mut succeeded = Vec::new();
        for method in [
            Method::POST,
            Method::GET,
            Method::HEAD,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
        ] {
            for (kind, body) in [
                (JSON, body),
                (JSON, "{"),
                (JSON, ""),
                ("text/plain", body),
                ("application/x-www-form-urlencoded", body),
            ] {
                let answer = self.send(&method, path, kind, body).await;
                if answer.status.is_success() {
                    succeeded.push(method.clone());
                }
            }
        }
        succeeded
    }

    async fn send(&self, method: &Method, path: &str, kind: &str, body: &str) -> Answer {
        let headers = [("content-type", kind)];
        let (direct, routed) = (&self.direct, &self.routed);
        let text = || body.to_owned();
        let mut one = direct.send(method.clone(), path, &headers, text()).await;
        let mut other = routed.send(method.clone(), path, &headers, text()).await;
        let asked = format!("{method} {path} {kind} {body}");
        assert_eq!(
            one.status, other.status,
            "{asked}: {} {}",
            one.text, other.text
        );
        // The router counts the bytes; of a direct answer the connection does.
        for answer in [&mut one, &mut other] {
            answer.headers.remove("content-length");
        }
        assert_eq!(one.headers, other.headers, "{asked}");
        assert_eq!(one.text, other.text, "{asked}");
        one
    }
}

/// Requests that look alike: this path as others spell it.
pub fn spellings(path: &str) -> Vec<String> {
    vec![
        path.to_owned(),
        format!("{path}?to=%2B14155550123"),
        format!("{path}/"),
        format!("/{path}"),
        path.replacen('e', "%65", 1),
        path.to_uppercase(),
    ]
}

pub fn without_limits() -> Policy {
    Policy {
        limits: Vec::new(),
        resend_cooldown: Duration::ZERO,
        ..Policy::default()
    }
}

/// The path with `{id}` in the place of ids.
fn template(path: &str) -> String {
    let path = path.split('?').next().unwrap();
    let step = |step: &str| match VerificationId::parse(step) {
        Some(_) => "{id}".to_owned(),
        None => step.to_owned(),
    };
    path.split('/').map(step).collect::<Vec<_>>().join("/")
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Answer {
    async fn read(response: axum::response::Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let answer = Self {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        };
        let is_problem = answer.header("content-type") == "application/problem+json";
        // The answer to a HEAD has the head alone.
        if is_problem && !answer.text.is_empty() {
            let code = answer.code();
            assert!(!code.is_empty(), "{}", answer.text);
            assert_eq!(answer.body["type"], format!("urn:watchword:problem:{code}"));
            assert_eq!(answer.body["status"], answer.status.as_u16());
        }
        answer
    }

    /// The `code` of a problem, or nothing.
    pub fn code(&self) -> &str {
        match self.status.as_u16() {
            400.. => self.body["code"].as_str().unwrap_or_default(),
            _ => "",
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The pointers of the faults.
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array();
        let errors = errors.map(Vec::as_slice).unwrap_or_default();
        errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap())
            .collect()
    }

    /// Asserts a problem of this status and code.
    #[track_caller]
    pub fn is(&self, status: u16, code: &str) -> &Self {
        assert_eq!(
            (self.status.as_u16(), self.code()),
            (status, code),
            "{}",
            self.text
        );
        self
    }

    /// Asserts a success.
    #[track_caller]
    pub fn is_ok(&self) -> &Self {
        assert!(self.status.is_success(), "{} {}", self.status, self.text);
        self
    }
}
