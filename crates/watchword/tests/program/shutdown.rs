//! SIGTERM: what is in flight finishes, and nothing new is taken.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use crate::server::{Caller, Server, configure, folder, make_key};

/// A provider that answers when it is told to.
struct Slow {
    port: u16,
    asked: mpsc::Receiver<()>,
    answer: mpsc::Sender<()>,
}

impl Slow {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (ask, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut head = [0; 4096];
            let _ = socket.read(&mut head);
            ask.send(()).unwrap();
            answers.recv().unwrap();
            let _ = socket.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        });
        Self {
            port,
            asked,
            answer,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_at_sigterm_is_answered_and_the_exit_is_clean() {
    let folder = folder();
    let provider = Slow::start();
    let more = format!(
        "[channels]\nsms = [\"hook\"]\n[providers.hook]\nkind = \"webhook\"\n\
         url = \"http://127.0.0.1:{}/\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n",
        provider.port
    );
    configure(folder.path(), &more);
    let key = make_key(folder.path(), &[]);
    let mut server = Server::serve(folder.path());
    let caller = Caller::new(&server, Some(&key));
    let ready = format!("{}/readyz", server.admin);
    assert_eq!(caller.get(&ready).await.status, 200);
    let in_flight = tokio::spawn({
        let caller = caller.clone();
        async move { caller.start("+12025550123").await }
    });
    provider.asked.recv().unwrap();
    server.signal("TERM");
    // Not ready any more, while the process still works.
    while caller.get(&ready).await.status != 503 {
        tokio::task::yield_now().await;
    }
    // New callers are turned away before the old one is done. The listener closes a moment after.
    while caller
        .try_send(
            "GET",
            "/v1/verifications/x",
            None,
            &[("connection", "close")],
        )
        .await
        .is_ok()
    {
        tokio::task::yield_now().await;
    }
    assert!(!in_flight.is_finished());
    provider.answer.send(()).unwrap();
    let answered = in_flight.await.unwrap();
    assert_eq!(answered.status, 201, "{}", answered.text);
    assert_eq!(server.wait().code(), Some(0));
    assert!(
        server
            .log_text()
            .lines()
            .last()
            .unwrap()
            .contains("stopped")
    );

    let again = Server::serve(folder.path());
    let kept = Caller::new(&again, Some(&key))
        .get(&format!("/v1/verifications/{}", answered.id()))
        .await;
    assert_eq!(kept.json()["status"], "pending");
}
