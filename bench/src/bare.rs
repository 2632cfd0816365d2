//! The yardstick: axum with nothing in it, answering bodies of the product's sizes.

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::routing::{get, post};

use crate::Failure;

/// A started verification, as long as the product's answer.
const STARTED: &str = r#"{"id":"00000000-0000-8000-8000-000000000000","status":"pending","to":"+1••••••0123","channel":"sms","purpose":"default","created_at":"2026-01-02T03:04:05.678Z","expires_at":"2026-01-02T03:09:05.678Z","resend_at":"2026-01-02T03:04:35.678Z","attempts_remaining":5,"deliveries":[{"id":"00000000-0000-4000-8000-000000000000","channel":"sms","provider":"inbox","status":"accepted","at":"2026-01-02T03:04:05.678Z"}]}"#;
/// The inbox with one message in it.
const MESSAGES: &str = r#"[{"id":"00000000-0000-4000-8000-000000000000","at":"2026-01-02T03:04:05.678Z","channel":"sms","provider":"inbox","to":"+12125550123","body":"123456 is your Watchword code. It is valid for 5 minutes. Do not share it.","code":"123456"}]"#;
/// An approval with a token of the usual length.
const APPROVED: &str = r#"{"id":"00000000-0000-8000-8000-000000000000","status":"approved","approved_at":"2026-01-02T03:04:05.678Z","token":"eyJhbGciOiJFZERTQSIsInR5cCI6InZlcmlmaWNhdGlvbitqd3QiLCJraWQiOiJ4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eCJ9.eyJpc3MiOiJodHRwOi8vMTI3LjAuMC4xOjgwODAiLCJhdWQiOiJkZWZhdWx0Iiwic3ViIjoiMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAiLCJ2aWQiOiIwMDAwMDAwMC0wMDAwLTgwMDAtODAwMC0wMDAwMDAwMDAwMDAiLCJwdXJwb3NlIjoiZGVmYXVsdCIsImFtciI6WyJvdHAiLCJzbXMiXSwiY2hhbm5lbCI6InNtcyIsImlhdCI6MTc2NzMyMzA0NSwiZXhwIjoxNzY3MzIzNjQ1LCJqdGkiOiIwMDAwMDAwMC0wMDAwLTgwMDAtODAwMC0wMDAwMDAwMDAwMDAifQ.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}"#;

const JSON: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

/// Serves until the process ends, and prints the address it listens at.
pub(crate) async fn serve(bind: &str) -> Result<(), Failure> {
    // The bodies are read whole, as anybody has to.
    let started = post(|_: Bytes| async { (StatusCode::CREATED, JSON, STARTED) });
    let approved = post(|_: Bytes| async { (JSON, APPROVED) });
    let router = Router::new()
        .route("/v1/verifications", started)
        .route("/v1/verifications/{id}/check", approved)
        .route("/dev/messages", get(|| async { (JSON, MESSAGES) }));
    let listener = tokio::net::TcpListener::bind(bind).await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}
