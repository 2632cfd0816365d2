//! Traces, as a collector and a provider see them.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;

use crate::leaks::{Sink, holds};
use crate::peers::python;
use crate::server::{Answer, Caller, Server, another, configure, folder, make_key};

const NUMBER: &str = "+12025550123";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A server with one webhook for SMS, started by a caller who is in a trace. It has stopped.
struct Told {
    hook: Sink,
    code: String,
    answers: Vec<Answer>,
}

async fn tell(telemetry: &str) -> Told {
    let (folder, hook) = (folder(), Sink::start());
    let more = format!(
        "{telemetry}[channels]\nsms = [\"hook\"]\n[providers.hook]\nkind = \"webhook\"\n\
         url = \"http://127.0.0.1:{}/in\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n",
        hook.port
    );
    configure(
        folder.path(),
        &format!("[policy]\ncode_length = 10\n{more}"),
    );
    let key = make_key(folder.path(), &[]);
    let server = Server::serve(folder.path());
    let caller = Caller::new(&server, Some(&key));
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let state = format!("vendor={}", &NUMBER[1..]);
    let headers = [("traceparent", parent.as_str()), ("tracestate", &state)];
    let body = json!({"to": NUMBER, "metadata": {"note": "ada@example.com"}});
    let started = caller.try_send("POST", "/v1/verifications", Some(&body), &headers);
    let started = started.await.unwrap();
    assert_eq!(started.status, 201, "{}", started.text);
    let sent: serde_json::Value = serde_json::from_slice(&hook.bodies()[0]).unwrap();
    let code = sent["data"]["code"].as_str().unwrap().to_owned();
    let id = started.id();
    let wrong = caller.check(&id, &another(&code)).await;
    let right = caller.check(&id, &code).await;
    assert_eq!((wrong.status, right.status), (422, 200));
    assert!(server.stop().success());
    Told {
        hook,
        code,
        answers: vec![started, wrong, right],
    }
}

/// A collector that others wrote, between us and a sink.
struct Collector {
    child: Child,
    port: u16,
}

impl Collector {
    fn start(sink: &Sink) -> Option<Self> {
        let found = Command::new(python("collector of traces")?)
            .args(["-c", "import rotel; print(rotel.__path__[0])"])
            .output()
            .unwrap();
        let folder = String::from_utf8(found.stdout).unwrap();
        let [port, other] = [free_port(), free_port()];
        let child = Command::new(format!("{}/rotel-agent", folder.trim_end()))
            .arg("start")
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{port}")])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{other}")])
            .args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"])
            .args(["--otlp-exporter-endpoint"])
            .arg(format!("http://127.0.0.1:{}", sink.port))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the collector does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(started)
    }

    /// Lets it pass on what it holds.
    fn end(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn to(port: u16) -> String {
    format!("[telemetry]\notlp_endpoint = \"http://127.0.0.1:{port}\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_trace_from_its_caller_over_the_store_to_the_provider() {
    let sink = Sink::start();
    let told = tell(&to(sink.port)).await;
    is_one_trace(&told, &sink.bodies());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_takes_the_trace_and_passes_it_on_as_it_was() {
    let sink = Sink::start();
    let Some(collector) = Collector::start(&sink) else {
        return;
    };
    let told = tell(&to(collector.port)).await;
    collector.end();
    let packed = sink.bodies();
    let bodies = packed.iter().map(|body| {
        let mut plain = Vec::new();
        GzDecoder::new(body.as_slice())
            .read_to_end(&mut plain)
            .unwrap();
        plain
    });
    is_one_trace(&told, &bodies.collect::<Vec<_>>());
}

fn is_one_trace(told: &Told, bodies: &[Vec<u8>]) {
    let requests = bodies
        .iter()
        .map(|body| ExportTraceServiceRequest::decode(body.as_slice()).unwrap());
    let resources = requests.flat_map(|request| request.resource_spans);
    let spans: Vec<Span> = resources
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans)
        .collect();
    let ours: Vec<_> = spans
        .iter()
        .filter(|span| hex(&span.trace_id) == TRACE)
        .collect();
    let mut names: Vec<_> = ours.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "POST /v1/verifications",
            "send hook",
            "store note",
            "store start"
        ]
    );
    let named = |name: &str| ours.iter().find(|span| span.name == name).unwrap();
    let request = named("POST /v1/verifications");
    assert_eq!(hex(&request.parent_span_id), PARENT);
    for name in &names[1..] {
        assert_eq!(named(name).parent_span_id, request.span_id, "{name}");
    }
    // The trace goes on at the provider, below the span of its hand-over.
    let onward = format!(
        "traceparent: 00-{TRACE}-{}-01",
        hex(&named("send hook").span_id)
    );
    let heads = told.hook.heads();
    assert!(heads.contains(&onward), "{onward} is not in {heads:?}");
    assert!(!heads.iter().any(|head| head.starts_with("tracestate")));
    // Who brings no trace begins one.
    let checks = |span: &&Span| span.name == "POST /v1/verifications/{id}/check";
    let checks: Vec<_> = spans.iter().filter(checks).collect();
    assert_eq!(checks.len(), 2);
    for check in checks {
        assert!(check.parent_span_id.is_empty() && hex(&check.trace_id) != TRACE);
        let below = |span: &&Span| span.parent_span_id == check.span_id;
        let below: Vec<_> = spans.iter().filter(below).map(|span| &span.name).collect();
        assert_eq!(below, ["store check"]);
    }

    let id = told.answers[0].id();
    let masked = &NUMBER[NUMBER.len() - 4..];
    let secrets = [
        NUMBER,
        &NUMBER[1..],
        masked,
        &told.code,
        "ada@example.com",
        "127.0.0.1",
        &id,
    ];
    for body in bodies {
        for secret in secrets {
            assert!(!holds(body, secret), "{secret} is in a trace");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_no_provider_hears_of_a_trace() {
    let told = tell("").await;
    let heads = told.hook.heads();
    let traced = |head: &String| head.starts_with("trace");
    assert!(!heads.iter().any(traced), "{heads:?}");
}
