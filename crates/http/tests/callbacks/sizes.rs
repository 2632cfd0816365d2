//! How much a callback may bring.

use axum::body::Body;
use axum::http::Method;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::sync::oneshot;

use crate::world::{World, unreadable};

const MOST: usize = 3 * 1024 * 1024;

fn pieces(length: usize) -> Body {
    let whole = vec![b'x'; length];
    let pieces: Vec<_> = whole.chunks(10_000).map(Bytes::copy_from_slice).collect();
    Body::from_stream(stream::iter(
        pieces.into_iter().map(Ok::<_, std::io::Error>),
    ))
}

#[tokio::test]
async fn a_callback_may_be_as_large_as_metas_are_and_no_larger() {
    let world = World::new();
    assert_eq!(world.call(vec![b'x'; MOST]).await.status, 200);
    assert_eq!(world.seen().body.len(), MOST);
    assert_eq!(world.call(pieces(MOST)).await.status, 200);
    assert_eq!(world.seen().body, vec![b'x'; MOST]);
    world
        .call(vec![b'x'; MOST + 1])
        .await
        .is(413, "payload-too-large");
    world
        .call(pieces(MOST + 1))
        .await
        .is(413, "payload-too-large");
    let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[0; 9999])));
    world
        .call(Body::from_stream(endless))
        .await
        .is(413, "payload-too-large");
}

#[tokio::test]
async fn a_callback_that_announces_too_much_is_not_read() {
    let world = World::new();
    let length = (MOST + 1).to_string();
    let headers: &[(&str, &[u8])] = &[("content-length", length.as_bytes())];
    let answer = world
        .send(Method::POST, "/callbacks/pigeon", headers, unreadable())
        .await;
    answer.is(413, "payload-too-large");
}

#[tokio::test]
async fn a_callback_that_breaks_off_is_not_read() {
    let world = World::new();
    let broken = stream::iter([
        Ok(Bytes::from_static(b"x")),
        Err(std::io::Error::other("gone")),
    ]);
    world
        .call(Body::from_stream(broken))
        .await
        .is(400, "invalid-request");
    assert!(world.seen().body.is_empty(), "asked with nothing only");
}

/// Strangers can send large bodies, too, and nobody knows before the end that nothing proves them.
#[tokio::test]
async fn few_large_callbacks_are_held_at_once_and_ordinary_ones_always_pass() {
    let world = World::new();
    let (held, ends): (Vec<_>, Vec<_>) = (0..16)
        .map(|_| {
            let (end, ended) = oneshot::channel::<()>();
            let large = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![0; 70_000]))]);
            let rest = stream::once(async move {
                let _ = ended.await;
                Ok(Bytes::new())
            });
            (world.call(Body::from_stream(large.chain(rest))), end)
        })
        .unzip();
    let mut held: Vec<_> = held.into_iter().map(Box::pin).collect();
    for one in &mut held {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(one.as_mut().poll(&mut context).is_pending());
    }
    let refused = world.call(vec![0; 70_000]).await;
    refused.is(429, "rate-limited");
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(world.call(vec![0; 64 * 1024]).await.status, 200);
    drop(ends);
    for one in held {
        assert_eq!(one.await.status, 200);
    }
    assert_eq!(world.call(vec![0; 70_000]).await.status, 200);
}
