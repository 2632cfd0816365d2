//! `watchword healthcheck`: what a container engine reads from its exit code and one line.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use crate::server::{Said, Server, call, configure, folder, program, run};

const HOOK: &str = "[channels]\nsms = [\"hook\"]\n[providers.hook]\nkind = \"webhook\"\n\
    url = \"http://127.0.0.1:9/\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n";

/// A server that says one thing to the first who asks, or nothing at all, and what it was asked.
fn server_that_says(answer: Option<&'static str>) -> (SocketAddr, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let read = socket.read(&mut head).unwrap();
        match answer {
            Some(answer) => socket.write_all(answer.as_bytes()).unwrap(),
            // Until the other side gives up.
            None => while socket.read(&mut head).is_ok_and(|read| read > 0) {},
        }
        String::from_utf8_lossy(&head[..read]).into_owned()
    });
    (address, asked)
}

fn ask(folder: &Path, address: SocketAddr, more: &[&str]) -> Said {
    let address = address.to_string();
    let mut args = vec!["healthcheck", "--address", &address];
    args.extend(more);
    call(folder, &args)
}

fn refused(said: &Said) -> &str {
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{}", said.err);
    let line = said.err.trim_end();
    assert!(!line.contains('\n'), "{line}");
    line
}

#[test]
fn a_running_server_is_found_by_its_settings_and_is_alive_and_ready() {
    let folder = folder();
    configure(folder.path(), HOOK);
    let server = Server::serve(folder.path());
    let admin = server.admin.strip_prefix("http://").unwrap().to_owned();
    let port = admin.rsplit_once(':').unwrap().1;
    for (more, word) in [(&[][..], "alive\n"), (&["--ready"][..], "ready\n")] {
        // As the server reads it; who listens everywhere is asked here.
        for bind in [admin.clone(), format!("0.0.0.0:{port}")] {
            let mut command = program(folder.path());
            command.arg("healthcheck").args(more);
            let said = run(command.env("WATCHWORD__ADMIN__BIND", bind));
            assert_eq!((said.code, said.out.as_str()), (0, word), "{}", said.err);
        }
    }
    // Nothing but the address is looked at, and no secret read.
    std::fs::write(
        folder.path().join("other.toml"),
        format!("secret_key_file = \"gone\"\n[admin]\nbind = \"{admin}\"\n"),
    )
    .unwrap();
    let said = call(folder.path(), &["healthcheck", "--config", "other.toml"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(server.stop().success());
    let said = call(folder.path(), &["healthcheck", "--config", "other.toml"]);
    let line = refused(&said);
    assert!(
        line.starts_with(&format!("watchword: no answer from {admin}: "))
            && line.contains("is the server running"),
        "{line}"
    );
}

#[test]
fn a_server_that_is_not_ready_fails_the_check_with_the_reason_in_one_line() {
    let folder = folder();
    let problem = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n\r\n\
        {\"title\":\"Storage unavailable\",\"detail\":\"Nothing can be kept just now.\"}";
    let (address, asked) = server_that_says(Some(problem));
    let said = ask(folder.path(), address, &["--ready"]);
    assert_eq!(
        refused(&said),
        format!("watchword: {address}/readyz answered 503: Nothing can be kept just now.")
    );
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("GET /readyz HTTP/1.1\r\n"), "{asked}");

    let leaving = "HTTP/1.1 503 Service Unavailable\r\n\r\nshutting down\n";
    let (address, _) = server_that_says(Some(leaving));
    let said = ask(folder.path(), address, &["--ready"]);
    assert!(refused(&said).ends_with("answered 503: shutting down"));
}

#[test]
fn a_server_that_does_not_answer_fails_the_check_once_its_time_is_up() {
    let folder = folder();
    let (address, _) = server_that_says(None);
    let said = ask(folder.path(), address, &["--timeout", "200ms"]);
    let line = refused(&said);
    assert!(
        line.starts_with(&format!(
            "watchword: no answer from {address}: not within 200ms; "
        )),
        "{line}"
    );
    let (address, _) = server_that_says(Some("SSH-2.0-OpenSSH_10.0\r\n"));
    let said = ask(folder.path(), address, &[]);
    assert!(refused(&said).contains("no Watchword server"));
}

#[test]
fn a_server_without_a_known_admin_address_cannot_be_asked() {
    let folder = folder();
    for (bind, advice) in [
        ("none", "such as 127.0.0.1:9090"),
        ("127.0.0.1:0", "--address"),
        ("nowhere", "is not an address"),
    ] {
        let mut command = program(folder.path());
        let said = run(command
            .arg("healthcheck")
            .env("WATCHWORD__ADMIN__BIND", bind));
        let line = refused(&said);
        assert!(
            line.contains("admin.bind") && line.contains(advice),
            "{line}"
        );
    }
}
