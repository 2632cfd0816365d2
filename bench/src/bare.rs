//! The yardstick: axum with nothing in it, answering the same requests with the same statuses, headers and
//! bodies as the product did once.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use memchr::memmem;

use crate::Failure;

const STARTED: &str = r#"{"id":"7b118960-5c7b-816f-a78b-2303b185cf80","status":"pending","to":"+1••••••0001","channel":"sms","purpose":"default","created_at":"2026-11-21T08:37:35.617Z","expires_at":"2026-11-21T08:42:35.617Z","resend_at":"2026-11-21T08:38:05.617Z","attempts_remaining":5,"deliveries":[{"id":"3aed4555-2dde-4430-969a-fb22d878b955","channel":"sms","provider":"inbox","status":"accepted","at":"2026-11-21T08:37:35.623Z"}]}"#;
const MESSAGES: &str = r#"[{"id":"3aed4555-2dde-4430-969a-fb22d878b955","at":"2026-11-21T08:37:35.622Z","channel":"sms","provider":"inbox","to":"+12122000001","body":"399822 is your Watchword code. Valid for 5 minutes. Do not share it.","code":"399822"}]"#;
const APPROVED: &str = r#"{"id":"7b118960-5c7b-816f-a78b-2303b185cf80","status":"approved","approved_at":"2026-11-21T08:37:35.702Z","token":"eyJhbGciOiJFZERTQSIsInR5cCI6InZlcmlmaWNhdGlvbitqd3QiLCJraWQiOiJ4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4In0.eyJpc3MiOiJ3YXRjaHdvcmQiLCJhdWQiOiJkZWZhdWx0Iiwic3ViIjoiN2IxMTNkNTgyZjFmOTkyYTZmNDI2NGI4MzNlZmIzNDMiLCJ2aWQiOiI3YjExODk2MC01YzdiLTgxNmYtYTc4Yi0yMzAzYjE4NWNmODAiLCJwdXJwb3NlIjoiZGVmYXVsdCIsImFtciI6WyJvdHAiLCJzbXMiXSwiY2hhbm5lbCI6InNtcyIsImlhdCI6MTc5NTI1MDI1NSwiZXhwIjoxNzk1MjUwODU1LCJqdGkiOiI3YjExODk2MC01YzdiLTgxNmYtYTc4Yi0yMzAzYjE4NWNmODAifQ.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}"#;
const INCORRECT: &str = r#"{"type":"urn:watchword:problem:incorrect-code","title":"The code is not right","status":422,"detail":"the code, or the binding, is not the one that was sent","code":"incorrect-code","attempts_remaining":4}"#;
const OTP_SENT: &str = r#"{"detail":"OTP sent","expires_at":1795250555}"#;
const OTP_VERIFIED: &str = r#"{"detail":"Verified"}"#;
const AUTH_SENT: &str = r#"{"message":"OTP sent successfully","expires_in":300}"#;
const AUTH_VERIFIED: &str = r#"{"message":"OTP verified successfully","access_token":"eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIsImtpZCI6Inh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHgifQ.eyJpc3MiOiJ3YXRjaHdvcmQiLCJhdWQiOiJkZWZhdWx0Iiwic3ViIjoiMDIzY2VjNmI2MTNiYzhhNzg4MzMwOTFmZWI2YTEwNzIiLCJhbXIiOlsib3RwIl0sImlhdCI6MTc5NTI1MDI1NSwiZXhwIjoxNzk1MjUyMDU1LCJqdGkiOiJmZjJjYTVmMi04OTllLTQ1OTItYTYyYi05NmNlY2Q4NzZkMDEifQ.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx","token_type":"bearer","expires_in":1800,"remember_me":false}"#;
const WHATSAPP_SENT: &str = r#"{"success":true,"message":"OTP sent successfully","data":{"phone_number":"+12122000005","otp":"344847"}}"#;
const WHATSAPP_VERIFIED: &str = r#"{"success":true,"message":"OTP verified successfully","data":{"phone_number":"+12122000005"}}"#;
const UUID_MADE: &str = r#"{"status":200,"message":"OTP_GENERATED","info":{"uuid":"3adbfdc0-6ab5-8fac-8141-6a9c3aea58e1","otp":"090173"}}"#;
const UUID_VERIFIED: &str = r#"{"status":200,"message":"OTP_VERIFIED"}"#;

/// What the product adds to every answer.
const USUAL: [(HeaderName, &str); 4] = [
    (header::CONTENT_TYPE, "application/json"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("x-request-id"),
        "c47ca0761257e6d5-1-1",
    ),
];

/// Serves until the process ends, and prints the address it listens at.
pub(crate) async fn serve(bind: &str) -> Result<(), Failure> {
    // The bodies are read whole, as anybody has to.
    let said = |text: &'static str| post(move |_: Bytes| async move { (USUAL, text) });
    let location = "/v1/verifications/7b118960-5c7b-816f-a78b-2303b185cf80";
    let started = post(move |_: Bytes| async move {
        (
            StatusCode::CREATED,
            [(header::LOCATION, location)],
            USUAL,
            STARTED,
        )
    });
    let registered = post(|_: Bytes| async { (StatusCode::ACCEPTED, USUAL, AUTH_SENT) });
    let message_headers = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let messages = get(move || async move { (message_headers, USUAL, MESSAGES) });
    let router = Router::new()
        .route("/v1/verifications", started)
        .route("/v1/verifications/{id}/check", post(check))
        .route("/v1/verifications/{id}/resend", said(STARTED))
        .route("/dev/messages", messages)
        .route("/api/otp/generate", said(OTP_SENT))
        .route("/api/otp/verify", said(OTP_VERIFIED))
        .route("/api/v1/auth/request-otp", said(AUTH_SENT))
        .route("/api/v1/auth/verify-otp", said(AUTH_VERIFIED))
        .route("/api/v1/auth/register", registered)
        .route("/send-otp", said(WHATSAPP_SENT))
        .route("/verify-otp", said(WHATSAPP_VERIFIED))
        .route("/", said(UUID_MADE))
        .route("/{uuid}/{otp}", get(|| async { (USUAL, UUID_VERIFIED) }));
    let listener = tokio::net::TcpListener::bind(bind).await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}

/// The one wrong code of the load is refused, so that the load need not know whom it talks to.
async fn check(body: Bytes) -> Response {
    if memmem::find(&body, b"\"000000\"").is_some() {
        return (StatusCode::UNPROCESSABLE_ENTITY, USUAL, INCORRECT).into_response();
    }
    (USUAL, APPROVED).into_response()
}
