//! The admin listener.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt as _;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use watchword_core::fakes::{Pigeon, SeededEntropy, SetClock, keys};
use watchword_core::memory::MemoryStore;
use watchword_core::{LONGEST_WINDOW, Parts, Store, Verifier};
use watchword_http::{Admin, admin_route_table, admin_router};

use crate::stand_ins::Unreachable;

fn admin(store: Arc<dyn Store>, shutdown: &CancellationToken) -> Router {
    let verifier = Verifier::new(Parts {
        store,
        messenger: Arc::new(Pigeon::default()),
        keys: Arc::new(keys(1)),
        clock: Arc::new(SetClock::default()),
        entropy: Arc::new(SeededEntropy::new(1)),
        events: Arc::new(()),
        issuer: "test".to_owned(),
        deadline: Duration::from_secs(1),
        fallback_after: BTreeMap::new(),
        horizon: LONGEST_WINDOW,
    });
    admin_router(Admin {
        verifier: Arc::new(verifier),
        metrics: Arc::new(|| "# EOF\n".to_owned()),
        providers: Arc::new(|| r#"{"providers":[]}"#.to_owned()),
        shutdown: shutdown.clone(),
    })
}

#[tokio::test]
async fn every_listed_route_answers_get_and_nothing_else() {
    let admin = admin(Arc::new(MemoryStore::default()), &CancellationToken::new());
    for route in admin_route_table().entries() {
        assert_eq!(route.method, Method::GET);
        assert_eq!(get(&admin, &route.path).await.0, 200, "{}", route.path);
        let request = Request::post(&route.path).body(Body::empty()).unwrap();
        let refused = admin.clone().oneshot(request).await.unwrap();
        assert_eq!(refused.status(), 405);
        assert_eq!(refused.headers()["allow"], "GET,HEAD");
    }
}

async fn get(router: &Router, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn ready_means_that_the_store_answers_and_nobody_shuts_down() {
    let shutdown = CancellationToken::new();
    let good = admin(Arc::new(MemoryStore::default()), &shutdown);
    let bad = admin(Arc::new(Unreachable), &shutdown);
    assert_eq!(get(&good, "/readyz").await, (200, "ready\n".to_owned()));
    let (status, body) = get(&bad, "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("storage-unavailable") && !body.contains("connection refused"));
    shutdown.cancel();
    assert_eq!(get(&good, "/readyz").await.0, 503);
    for router in [&good, &bad] {
        assert_eq!(get(router, "/livez").await, (200, "alive\n".to_owned()));
        assert_eq!(get(router, "/metrics").await, (200, "# EOF\n".to_owned()));
        let providers = (200, r#"{"providers":[]}"#.to_owned());
        assert_eq!(get(router, "/health/providers").await, providers);
        assert_eq!(get(router, "/").await.0, 404);
    }
}
