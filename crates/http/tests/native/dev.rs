//! The pages of dev mode and the inbox as JSON.

use std::sync::Arc;

use axum::http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::json;
use tower::ServiceExt as _;
use watchword_core::{
    Channel, Code, DeliveryId, InboxMessage, NumberRules, Recipient, SecretText, Timestamp,
};

use crate::world::{PHONE, World};

fn message(at: u64, to: &str, code: &str) -> InboxMessage {
    let to = Recipient::parse(
        to,
        &NumberRules {
            default_region: None,
            strict: true,
        },
    )
    .unwrap();
    let email = to.kind() == watchword_core::RecipientKind::Email;
    InboxMessage {
        id: DeliveryId(uuid::Uuid::from_u128(at.into())),
        at: Timestamp::from_millis(1_790_000_000_000 + at),
        channel: if email { Channel::Email } else { Channel::Sms },
        provider: "inbox".to_owned(),
        to,
        subject: email.then(|| SecretText::new("Your <code>".to_owned())),
        body: SecretText::new(format!("{code} is your code for <b>Acme</b> & Söhne")),
        code: Code::parse(code).unwrap(),
    }
}

fn world() -> World {
    let world = World::dev();
    world.postbox.put(message(1, PHONE, "111111"));
    world.postbox.put(message(2, "a@example.com", "222222"));
    world.postbox.put(message(3, PHONE, "333333"));
    world
}

#[tokio::test]
async fn the_inbox_is_listed_newest_first_with_the_documented_members() {
    let listed = world().get("/dev/messages").await;
    let expected = json!([
        {"id": "00000000-0000-0000-0000-000000000003", "at": "2026-09-21T14:13:20.003Z", "channel": "sms",
         "provider": "inbox", "to": PHONE, "body": "333333 is your code for <b>Acme</b> & Söhne", "code": "333333"},
        {"id": "00000000-0000-0000-0000-000000000002", "at": "2026-09-21T14:13:20.002Z", "channel": "email",
         "provider": "inbox", "to": "a@example.com", "subject": "Your <code>",
         "body": "222222 is your code for <b>Acme</b> & Söhne", "code": "222222"},
        {"id": "00000000-0000-0000-0000-000000000001", "at": "2026-09-21T14:13:20.001Z", "channel": "sms",
         "provider": "inbox", "to": PHONE, "body": "111111 is your code for <b>Acme</b> & Söhne", "code": "111111"},
    ]);
    assert_eq!(listed.body, expected);
    assert_eq!(listed.header("cache-control"), "no-store");
}

#[tokio::test]
async fn every_spelling_of_a_recipient_finds_its_messages() {
    let world = world();
    for to in [
        "%2B14155550123",
        "+14155550123",
        "+1%20415%20555-0123",
        "001(415)555.0123",
        "tel:+14155550123",
    ] {
        let found = world.get(&format!("/dev/messages?to={to}")).await;
        let codes: Vec<_> = found
            .body
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["code"])
            .collect();
        assert_eq!(codes, ["333333", "111111"], "{to}");
    }
    let found = world.get("/dev/messages?to=a@EXAMPLE.com").await;
    assert_eq!(found.body[0]["code"], "222222");
    assert_eq!(
        world.get("/dev/messages?to=b@example.com").await.body,
        json!([])
    );
    world
        .get("/dev/messages?to=nobody")
        .await
        .is(400, "invalid-request");
}

#[tokio::test]
async fn deleting_empties_the_inbox() {
    let world = world();
    let deleted = world.delete("/dev/messages").await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (204, ""));
    assert_eq!(world.get("/dev/messages").await.body, json!([]));
}

#[tokio::test]
async fn the_inbox_page_shows_messages_escaped_with_a_copy_button() {
    let world = world();
    let page = world.get("/dev/inbox").await;
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(
        page.text
            .contains(r#"<button type="button" data-code="333333">Copy</button>"#)
    );
    assert!(!page.text.contains("<b>Acme</b>") && !page.text.contains("Your <code>"));
    let (newest, oldest) = (page.text.find("333333"), page.text.find("111111"));
    assert!(newest < oldest);
    world.delete("/dev/messages").await;
    let empty = world.get("/dev/inbox").await;
    assert!(empty.text.contains("Nothing here yet"));
    assert!(empty.text.contains("id=\"clear\" type=\"button\" disabled"));
}

#[tokio::test]
async fn the_landing_page_leads_to_everything() {
    let world = world();
    let landing = world.get("/").await;
    let mut links: Vec<_> = landing.text.split("href=\"").skip(1).collect();
    links
        .iter_mut()
        .for_each(|link| *link = link.split('"').next().unwrap());
    for wanted in [
        "/demo",
        "/dev/inbox",
        "/docs/",
        "/redoc",
        "/openapi.json",
        "/.well-known/jwks.json",
    ] {
        assert!(links.contains(&wanted), "{wanted}");
    }
    for link in links.into_iter().filter(|link| !link.starts_with("data:")) {
        world.get(link).await.is_ok();
    }
    assert!(
        landing
            .text
            .contains("curl -s http://127.0.0.1:8080/v1/verifications")
    );
    assert!(landing.text.contains("3 messages"));
}

/// Without inline scripts and styles, and without anything of a foreign host.
#[tokio::test]
async fn the_pages_allow_only_what_this_server_gives() {
    let world = world();
    for path in ["/", "/dev/inbox", "/demo"] {
        let page = world.get(path).await;
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(
            !policy.contains("unsafe") && !policy.contains("http"),
            "{policy}"
        );
        assert_eq!(page.header("cache-control"), "no-store");
        for inline in [
            "<style",
            " style=",
            "onclick",
            "onload",
            "src=\"http",
            "href=\"http",
            "href=\"//",
        ] {
            assert!(!page.text.contains(inline), "{path} {inline}");
        }
        let scripts = page.text.matches("<script").count();
        assert_eq!(scripts, page.text.matches("<script src=\"/dev/").count());
    }
    for file in ["/dev/dev.css", "/dev/inbox.js", "/dev/demo.js"] {
        let file = world.get(file).await;
        assert!(!file.text.contains("//cdn") && !file.text.contains("http"));
        file.is_ok();
    }
}

/// A page whose own host name leads to this machine could read every code.
#[tokio::test]
async fn nothing_of_dev_mode_is_shown_under_a_foreign_host_name() {
    let world = world();
    for path in ["/", "/demo", "/dev/inbox", "/dev/messages", "/dev/events"] {
        let headers = [("host", "rebound.example:8080")];
        world
            .send(Method::GET, path, &headers, "")
            .await
            .is(403, "forbidden");
    }
    let headers = [("host", "rebound.example")];
    world
        .send(Method::DELETE, "/dev/messages", &headers, "")
        .await
        .is(403, "forbidden");
    assert_eq!(
        world
            .get("/dev/messages")
            .await
            .body
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[tokio::test]
async fn outside_dev_mode_there_are_no_pages() {
    let world = World::new();
    for path in [
        "/",
        "/demo",
        "/dev/demo.js",
        "/dev/inbox",
        "/dev/messages",
        "/dev/events",
        "/dev/dev.css",
    ] {
        world.get(path).await.is(404, "not-found");
    }
}

#[tokio::test]
async fn an_event_tells_of_every_change_of_the_inbox() {
    let world = world();
    let request = Request::get("/dev/events")
        .body(axum::body::Body::empty())
        .unwrap();
    let response = world.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let mut next = async || {
        let frame = body.frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    };
    assert_eq!(next().await, "data: 3\n\n");
    let (postbox, inbox) = (Arc::clone(&world.postbox), message(4, PHONE, "444444"));
    let (event, ()) = tokio::join!(next(), async move { postbox.put(inbox) });
    assert_eq!(event, "data: 4\n\n");
}
