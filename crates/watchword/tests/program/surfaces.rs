//! Which surfaces a server has, where, for whom, and under which policy.

use serde_json::json;

use crate::configuration::{MAIL, write};
use crate::refusals::refused;
use crate::server::{Caller, Server, call, configure, folder, make_key};

/// A provider for each channel of the surfaces, none of which can be reached.
const EVERYTHING: &str = "[channels]\nemail = [\"mail\"]\nsms = [\"hook\"]\nwhatsapp = [\"hook\"]\n\
    [providers.mail]\nkind = \"smtp\"\nurl = \"smtp://127.0.0.1:9\"\nfrom = \"codes@example.com\"\n\
    [providers.hook]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\n\
    secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n";

#[test]
fn mistakes_about_surfaces_are_refused_with_what_helps() {
    let listen = |surfaces: &str| {
        format!("[[listeners]]\nbind = \"127.0.0.1:0\"\nsurfaces = [{surfaces}]\n")
    };
    for (text, parts) in [
        (
            format!("{}{MAIL}", listen("\"whatsapp\"")),
            vec![
                "channels: ",
                "`whatsapp` could deliver nothing",
                "any of whatsapp",
            ],
        ),
        (
            format!(
                "{}[surfaces.otp]\nrequire_provider_config = false\n{MAIL}",
                listen("\"otp\"")
            ),
            vec![
                "surfaces.otp.require_provider_config: is false",
                "sms, whatsapp",
            ],
        ),
        (
            format!("[surfaces.native]\nrequire_provider_config = true\n{MAIL}"),
            vec!["surfaces.native.require_provider_config: is a setting of the surface otp only"],
        ),
        (
            format!("{}{EVERYTHING}", listen("\"otp\", \"otp\"")),
            vec![
                "listeners.0.surfaces.1: `otp` and `otp` both want /api/otp/generate",
                "mount =",
            ],
        ),
        (
            format!("{}{EVERYTHING}", listen("\"whatsapp\", \"uuid\"")),
            vec![
                "listeners.0.surfaces.1: `uuid` and `whatsapp` both want /health on 127.0.0.1:0",
                "[surfaces.uuid] mount = \"/uuid\"",
            ],
        ),
        (
            format!("cors_origins = [\"*\"]\n{MAIL}"),
            vec!["cors_origins.0: is not an origin", "there is no `*`"],
        ),
        (
            format!("cors_origins = [\"https://app.example.com/\"]\n{MAIL}"),
            vec!["cors_origins.0: is not an origin"],
        ),
        (
            format!("{MAIL}[surfaces.otp.policy]\ncode_length = 4\n"),
            vec!["surfaces.otp.policy.code_length: "],
        ),
    ] {
        let told = refused(&format!("secret_key = \"KEY\"\n{text}"));
        assert_eq!(told.lines().count(), 1, "{text}\n{told}");
        for part in parts {
            assert!(told.contains(part), "{part:?} is not in {told}");
        }
    }
}

/// From the bottom up: what a surface's document describes, `[policy]`, `[surfaces.NAME.policy]`.
#[test]
fn what_is_written_stands_above_what_a_document_describes() {
    let folder = folder();
    let text = format!(
        "secret_key = \"KEY\"\n{MAIL}[policy]\nmax_attempts = 4\n[surfaces.otp.policy]\nttl = \"4m\"\n"
    );
    write(folder.path(), &text);
    let shown = call(folder.path(), &["config", "show"]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    for line in [
        "surfaces.native.policy.ttl = \"5m\"",
        "surfaces.otp.policy.ttl = \"4m\"",
        "surfaces.whatsapp.policy.ttl = \"3m\"",
        "surfaces.whatsapp.policy.resend_cooldown = \"0s\"",
        "surfaces.otp.policy.resend_cooldown = \"30s\"",
        "surfaces.whatsapp.policy.max_attempts = 4",
        "surfaces.whatsapp.strict_numbers = false",
        "surfaces.otp.strict_numbers = true",
        "surfaces.otp.require_api_key = false",
        "surfaces.native.require_api_key = true",
    ] {
        let found = shown.out.lines().any(|shown| shown.starts_with(line));
        assert!(found, "{line} is not in\n{}", shown.out);
    }
    write(
        folder.path(),
        &text.replace("max_attempts = 4", "ttl = \"2m\""),
    );
    let shown = call(folder.path(), &["config", "show"]).out;
    for line in [
        "surfaces.whatsapp.policy.ttl = \"2m\"",
        "surfaces.otp.policy.ttl = \"4m\"",
    ] {
        assert!(
            shown.lines().any(|shown| shown.starts_with(line)),
            "{line} is not in\n{shown}"
        );
    }
}

#[tokio::test]
async fn a_server_opens_no_surface_that_nobody_named() {
    let folder = folder();
    configure(folder.path(), EVERYTHING);
    let server = Server::serve(folder.path());
    let caller = Caller::new(&server, None);
    for path in ["/api/otp/generate", "/send-otp"] {
        let answer = caller.post(path, json!({})).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (404, &json!("not-found")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn surfaces_are_served_where_they_are_mounted_and_to_whom_they_are_open() {
    let folder = folder();
    let more = format!(
        "[surfaces.otp]\nmount = \"/shop\"\n[surfaces.whatsapp]\nrequire_api_key = true\n\
         [[listeners]]\nbind = \"127.0.0.1:0\"\nsurfaces = [\"otp\", \"whatsapp\"]\n{EVERYTHING}"
    );
    configure(folder.path(), &more);
    let key = make_key(folder.path(), &[]);
    let server = Server::serve(folder.path());
    let (nobody, keyed) = (Caller::new(&server, None), Caller::new(&server, Some(&key)));
    let otp = json!({ "channel": "sms", "identifier": "+14155550123" });
    let failed = nobody.post("/shop/api/otp/generate", otp.clone()).await;
    let told = json!({ "detail": "The message could not be sent. Please try again later." });
    assert_eq!((failed.status, failed.json()), (500, told));
    // Its document says where it is, for whoever tries it from its pages.
    let document = nobody.get("/shop/openapi.json").await.json();
    assert_eq!(document["servers"], json!([{ "url": "/shop" }]));
    assert!(document["paths"]["/api/otp/generate"].is_object());
    assert_eq!(
        nobody.get("/openapi.json").await.json().get("servers"),
        None
    );
    // What is nowhere is told by who is alone at the root.
    let elsewhere = nobody.post("/api/otp/generate", otp).await;
    assert_eq!(
        (elsewhere.status, &elsewhere.json()["success"]),
        (404, &json!(false))
    );
    let number = json!({ "phone_number": "+1234567890" });
    let closed = nobody.post("/send-otp", number.clone()).await;
    assert_eq!(
        (closed.status, &closed.json()["success"]),
        (401, &json!(false))
    );
    assert_eq!(keyed.post("/send-otp", number).await.status, 503);
    assert_eq!(nobody.get("/health").await.status, 200);
    for path in ["/debug/whatsapp", "/debug/test-request"] {
        assert_eq!(nobody.get(path).await.status, 401, "{path}");
        let shown = keyed.get(path).await;
        assert_eq!(shown.status, 200, "{path}");
        assert!(
            !shown.text.contains("whsec_") && !shown.text.contains("MfKQ"),
            "{}",
            shown.text
        );
    }
}
