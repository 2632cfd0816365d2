//! A browser, driven through its debugging pipe.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a test may keep a browser. Then it is killed, and the test fails.
const AT_MOST: Duration = Duration::from_secs(120);

/// Chromium without a window. It ends with this value.
///
/// **Invariant:** it loads nothing but what a test names: no updates, no first-run pages.
pub(crate) struct Browser {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    asked: u64,
    /// What pages complained about: errors of scripts, refused resources, failed requests.
    pub(crate) complaints: Vec<String>,
    _profile: TempDir,
    _watch: mpsc::Sender<()>,
}

/// One page.
#[derive(Clone)]
pub(crate) struct Tab(String);

impl Browser {
    /// Starts the browser that `WATCHWORD_TEST_BROWSER` names, such as `chromium`. Without it the
    /// test is skipped, and says so; with it, one that does not start is a failure.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("WATCHWORD_TEST_BROWSER").filter(|it| !it.is_empty())
        else {
            eprintln!("SKIPPED: no browser; set WATCHWORD_TEST_BROWSER=chromium");
            return None;
        };
        let program = PathBuf::from(program);
        let profile = tempfile::tempdir().unwrap();
        // The pipe is read from descriptor 3 and written to 4, which only a shell can put there.
        let mut child = Command::new("sh")
            .args([
                "-c",
                "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1",
                "sh",
            ])
            .arg(&program)
            .args([
                "--headless",
                "--remote-debugging-pipe",
                // Tests run as root in containers, where there is no sandbox, on small /dev/shm.
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        // A page that never gets where a test waits for it would keep the test for ever.
        let (watch, ended) = mpsc::channel::<()>();
        let pid = child.id().to_string();
        std::thread::spawn(move || {
            if ended.recv_timeout(AT_MOST) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").args(["-KILL", &pid]).status();
            }
        });
        Some(Self {
            child,
            orders,
            answers,
            asked: 0,
            complaints: Vec::new(),
            _profile: profile,
            _watch: watch,
        })
    }

    /// Opens a page of this width in pixels and waits until it is loaded.
    pub(crate) fn open(&mut self, url: &str, width: u32) -> Tab {
        let made = self.call(None, "Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": made["targetId"], "flatten": true});
        let attached = self.call(None, "Target.attachToTarget", &attach);
        let tab = Tab(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Log.enable", "Runtime.enable", "Page.enable"] {
            self.call(Some(&tab), domain, &json!({}));
        }
        let size = json!({"width": width, "height": 800, "deviceScaleFactor": 1,
                          "mobile": width < 600});
        self.call(Some(&tab), "Emulation.setDeviceMetricsOverride", &size);
        let gone = self.call(Some(&tab), "Page.navigate", &json!({ "url": url }));
        assert!(gone.get("errorText").is_none(), "{url}: {gone}");
        self.until(&tab, &format!("location.href.startsWith({})", json!(url)));
        self.until(&tab, "document.readyState === 'complete'");
        tab
    }

    /// What an expression is on the page.
    pub(crate) fn look(&mut self, tab: &Tab, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true,
                           "userGesture": true});
        let answer = self.call(Some(tab), "Runtime.evaluate", &asked);
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is something true, and says what.
    pub(crate) fn until(&mut self, tab: &Tab, expression: &str) -> Value {
        // A page that nobody looks at draws no frames.
        self.call(Some(tab), "Page.bringToFront", &json!({}));
        let promise = format!(
            "new Promise((done) => {{
               const look = () => {{
                 const found = {expression};
                 if (found) done(found);
                 else requestAnimationFrame(look);
               }};
               look();
             }})"
        );
        self.look(tab, &promise)
    }

    /// Types into the field that a selector finds, in place of what is there.
    pub(crate) fn fill(&mut self, tab: &Tab, selector: &str, text: &str) {
        let select = format!(
            "((field) => {{ field.focus(); field.select(); }})(document.querySelector({}))",
            json!(selector)
        );
        self.look(tab, &select);
        self.call(Some(tab), "Input.insertText", &json!({ "text": text }));
    }

    pub(crate) fn click(&mut self, tab: &Tab, selector: &str) {
        let click = format!("document.querySelector({}).click()", json!(selector));
        self.look(tab, &click);
    }

    fn call(&mut self, tab: Option<&Tab>, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let mut order = json!({"id": self.asked, "method": method, "params": params});
        if let Some(Tab(session)) = tab {
            order["sessionId"] = json!(session);
        }
        self.orders.write_all(order.to_string().as_bytes()).unwrap();
        self.orders.write_all(b"\0").unwrap();
        self.orders.flush().unwrap();
        loop {
            let mut message = Vec::new();
            self.answers.read_until(0, &mut message).unwrap();
            message.pop();
            let message: Value = serde_json::from_slice(&message)
                .unwrap_or_else(|_| panic!("the browser went away during {method} {params}"));
            if message["id"] == self.asked {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            match message["method"].as_str() {
                Some("Runtime.exceptionThrown") => self.complaints.push(message.to_string()),
                Some("Log.entryAdded") if message["params"]["entry"]["level"] == "error" => {
                    let entry = &message["params"]["entry"];
                    self.complaints
                        .push(format!("{} {}", entry["text"], entry["url"]));
                }
                _ => {}
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
