//! The API in this process, with a desk that says what a test wants.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use watchword_core::fakes::{Pigeon, SeededEntropy, SetClock, keys};
use watchword_core::memory::MemoryStore;
use watchword_core::{
    About, Callback, CallbackMethod, CallbackRequest, Callbacks, Channel, DeliveryStatus,
    LONGEST_WINDOW, NumberRules, Parts, Policy, Receipt, Store, VerificationId, Verifier,
};
use watchword_http::client_address::ClientAddress;
use watchword_http::{App, Dev, Policies, Reception, SurfaceKind, Told, api_router};

use crate::stand_ins::{KeyBox, Postbox};

/// A request as it got to the desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub provider: String,
    pub method: CallbackMethod,
    pub query: Option<String>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// A desk that takes the callbacks of `pigeon` and of `my sms`.
pub struct Desk {
    pub answer: Mutex<Callback>,
    pub seen: Mutex<Vec<Seen>>,
}

impl Callbacks for Desk {
    fn read(&self, provider: &str, request: &CallbackRequest<'_>) -> Option<Callback> {
        let headers = request.headers.iter();
        self.seen.lock().push(Seen {
            provider: provider.to_owned(),
            method: request.method,
            query: request.query.map(str::to_owned),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
                .collect(),
            body: request.body.to_vec(),
        });
        matches!(provider, "pigeon" | "my sms").then(|| self.answer.lock().clone())
    }
}

pub struct World {
    pub router: Router,
    pub pigeon: Arc<Pigeon>,
    pub desk: Arc<Desk>,
    pub reception: Reception,
}

/// All that go together on one listener: `/{uuid}/{otp}` of the last has the shape of a callback's path.
const SURFACES: [SurfaceKind; 4] = [
    SurfaceKind::Native,
    SurfaceKind::Auth,
    SurfaceKind::Otp,
    SurfaceKind::Uuid,
];

impl World {
    pub fn new() -> Self {
        Self::with(Policy::default(), None)
    }

    pub fn with(policy: Policy, store: Option<Arc<dyn Store>>) -> Self {
        let memory = Arc::new(MemoryStore::default());
        let pigeon = Arc::new(Pigeon::default());
        let desk = Arc::new(Desk {
            answer: Mutex::new(Callback::Receipts(Vec::new())),
            seen: Mutex::default(),
        });
        let reception = Reception::new(desk.clone());
        let verifier = Verifier::new(Parts {
            store: store.unwrap_or_else(|| memory.clone()),
            messenger: pigeon.clone(),
            keys: Arc::new(keys(1)),
            clock: Arc::new(SetClock::default()),
            entropy: Arc::new(SeededEntropy::new(7)),
            events: Arc::new(()),
            issuer: "https://otp.example".to_owned(),
            deadline: Duration::from_secs(10),
            fallback_after: BTreeMap::new(),
            horizon: LONGEST_WINDOW,
        });
        let app = App {
            verifier: Arc::new(verifier),
            callbacks: reception.clone(),
            accounts: None,
            providers: Arc::new(()),
            api_keys: Arc::new(KeyBox::default()),
            replays: memory,
            policies: Policies::new(policy),
            numbers: NumberRules {
                default_region: None,
                strict: true,
            },
            dev: Some(Dev {
                inbox: Arc::new(Postbox::default()),
                url: "http://127.0.0.1:8080".to_owned(),
                demos: Vec::new(),
                shutdown: CancellationToken::new(),
            }),
            surfaces: HashMap::new(),
            cors_origins: Vec::new(),
            expose_codes: false,
            gate: Arc::default(),
            told: Told::default(),
        };
        Self {
            router: api_router(Arc::new(app), &SURFACES),
            pigeon,
            desk,
            reception,
        }
    }

    /// From now on, the desk reads this in every callback.
    pub fn reads(&self, callback: Callback) {
        *self.desk.answer.lock() = callback;
    }

    /// What got to the desk last.
    pub fn seen(&self) -> Seen {
        self.desk.seen.lock().last().unwrap().clone()
    }

    pub async fn send(
        &self,
        method: Method,
        uri: &str,
        headers: &[(&str, &[u8])],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body.into()).unwrap();
        let address = IpAddr::from([192, 0, 2, 1]);
        request.extensions_mut().insert(ClientAddress::new(address));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// Sends a callback of the pigeon.
    pub async fn call(&self, body: impl Into<Body>) -> Answer {
        self.send(Method::POST, "/callbacks/pigeon", &[], body)
            .await
    }

    /// Starts a verification.
    pub async fn start(&self, to: &str, channels: &[&str]) -> VerificationId {
        let body = json!({ "to": to, "channel": channels }).to_string();
        let json: &[(&str, &[u8])] = &[("content-type", b"application/json")];
        let answer = self
            .send(Method::POST, "/v1/verifications", json, body)
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        VerificationId::parse(answer.json()["id"].as_str().unwrap()).unwrap()
    }

    /// The verification as its caller sees it.
    pub async fn view(&self, id: VerificationId) -> Value {
        let path = format!("/v1/verifications/{id}");
        let answer = self.send(Method::GET, &path, &[], "").await;
        answer.json()
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts a problem that no store keeps.
    #[track_caller]
    pub fn is(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.json()["code"], code);
        assert_eq!(self.header("cache-control"), "no-store");
    }
}

/// What the pigeon says of its first message for a verification.
pub fn receipt(id: VerificationId, status: DeliveryStatus) -> Receipt {
    Receipt {
        about: About::Delivery {
            verification: id,
            delivery: Pigeon::delivery(id, 1),
        },
        channel: Channel::Sms,
        status,
        message_id: Some("m-1".to_owned()),
        error: (status == DeliveryStatus::Failed).then(|| "unavailable: 30003".to_owned()),
    }
}

/// A body that whoever reads it finds broken.
pub fn unreadable() -> Body {
    let broken = Err::<Vec<u8>, _>(std::io::Error::other("somebody read it"));
    Body::from_stream(futures_util::stream::iter([broken]))
}
