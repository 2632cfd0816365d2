//! `watchword send` against a server that tells little by little what becomes of a message.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::server::{Said, call, folder};

const ID: &str = "01968855-c8ee-88d9-9381-6ef5c1af4dc8";

/// What the server says, look by look; the last for ever.
struct Story {
    told: AtomicUsize,
    looks: Vec<(u16, Value)>,
}

impl Story {
    fn next(&self) -> (StatusCode, Json<Value>) {
        let look = self.told.fetch_add(1, Ordering::SeqCst);
        let (status, body) = &self.looks[look.min(self.looks.len() - 1)];
        (StatusCode::from_u16(*status).unwrap(), Json(body.clone()))
    }
}

async fn server(looks: Vec<(u16, Value)>) -> (String, Arc<Story>) {
    let story = Arc::new(Story {
        told: AtomicUsize::new(0),
        looks,
    });
    let look = |State(story): State<Arc<Story>>| async move { story.next() };
    let router = Router::new()
        .route("/v1/verifications", post(look))
        .route(&format!("/v1/verifications/{ID}"), get(look))
        .with_state(Arc::clone(&story));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, story)
}

fn verification(deliveries: &[(&str, &str)]) -> Value {
    let deliveries = deliveries.iter().map(|(channel, status)| {
        json!({"id": channel, "channel": channel, "provider": "tw", "status": status,
               "at": "2026-09-21T14:13:20Z"})
    });
    let deliveries: Vec<Value> = deliveries.collect();
    json!({"id": ID, "status": "pending", "to": "+1••••••0123", "channel": "whatsapp",
           "expires_at": "2026-09-21T14:18:20Z", "deliveries": deliveries})
}

async fn send(url: &str, more: &[&str]) -> Said {
    let mut args: Vec<String> = ["send", "+12025550123", "--url", url]
        .map(str::to_owned)
        .into();
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    let run = tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        call(folder().path(), &args)
    });
    run.await.unwrap()
}

/// The lines about deliveries, without their moments.
fn news(said: &Said) -> Vec<String> {
    let lines = said.out.lines();
    let lines = lines.filter_map(|line| line.strip_prefix("  2026-09-21T14:13:20Z  "));
    lines.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_of_a_delivery_is_told_until_the_message_arrives() {
    let (url, story) = server(vec![
        (201, verification(&[("whatsapp", "accepted")])),
        (200, verification(&[("whatsapp", "sent")])),
        (
            200,
            verification(&[("whatsapp", "failed"), ("sms", "accepted")]),
        ),
        (
            200,
            verification(&[("whatsapp", "failed"), ("sms", "delivered")]),
        ),
    ])
    .await;
    let said = send(&url, &["--channel", "whatsapp,sms", "--wait", "60s"]).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(
        news(&said),
        [
            "whatsapp  tw  accepted",
            "whatsapp  tw  sent",
            "whatsapp  tw  failed",
            "sms  tw  accepted",
            "sms  tw  delivered",
        ]
    );
    assert_eq!(said.err, "");
    assert_eq!(story.told.load(Ordering::SeqCst), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_reads_the_output_does_not_wait_unless_it_says_so() {
    for more in [&[][..], &["--no-wait"]] {
        let (url, story) = server(vec![(201, verification(&[("sms", "accepted")]))]).await;
        let said = send(&url, more).await;
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(said.out.contains(&format!("\n  id       {ID}\n")));
        assert_eq!(news(&said), ["sms  tw  accepted"]);
        assert_eq!(story.told.load(Ordering::SeqCst), 1);
    }
    let (url, _story) = server(vec![(201, verification(&[("sms", "accepted")]))]).await;
    let said = send(&url, &["--wait", "700ms"]).await;
    assert_eq!(
        (said.code, said.err.as_str()),
        (0, "nothing more within 0.7 s\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_not_look_sends_and_says_why_it_does_not_follow() {
    let forbidden = json!({"title": "Forbidden", "detail": "the key lacks verifications:read"});
    let started = verification(&[("sms", "accepted")]);
    let (url, _story) = server(vec![(201, started), (403, forbidden)]).await;
    let said = send(&url, &["--wait", "60s"]).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.err.contains("not followed any further: Forbidden"),
        "{}",
        said.err
    );
}
