//! Logs on standard error, as text or JSON, one record a line.

use std::io::{self, Write};

use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use watchword_core::TRACE;

use super::traces::Traces;
use crate::config::{Fault, Log, LogFormat, LogLevel, Telemetry};

/// Keeps telemetry alive; ends it orderly.
pub(crate) struct Logging {
    traces: Option<Traces>,
}

impl Logging {
    /// Whether requests are traced.
    pub(crate) const fn traces(&self) -> bool {
        self.traces.is_some()
    }

    /// Sends what was not sent yet. Blocks for some seconds at most.
    pub(crate) fn finish(self) {
        if let Some(traces) = self.traces {
            traces.finish();
        }
    }
}

/// Starts logging, and tracing where an endpoint is configured. Once in the life of a process.
///
/// # Errors
/// An endpoint that cannot be used.
pub(crate) fn start(log: &Log, telemetry: &Telemetry) -> Result<Logging, Fault> {
    let traces = match &telemetry.otlp_endpoint {
        Some(endpoint) => Some(Traces::start(endpoint)?),
        None => None,
    };
    // Only a second start in one process can fail, and then the first one logs.
    let _ = dispatch(log, traces.as_ref()).try_init();
    Ok(Logging { traces })
}

fn dispatch(log: &Log, traces: Option<&Traces>) -> Dispatch {
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(Lines);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter(log.level)));
    // A layer that may be missing is no way to say this: one that is has no filter, so that every span would be
    // made for nobody.
    match traces {
        Some(traces) => subscriber.with(traces.layer()).into(),
        None => subscriber.into(),
    }
}

/// The level is for this program. Libraries tell warnings only, however verbose it is: what they
/// trace are the bytes of requests, mails and pages, and those hold codes.
fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // A target is matched as a prefix: this covers watchword_core, watchword_http and the others.
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("watchword", level)
        .with_target(TRACE, LevelFilter::OFF)
}

/// Writes records so that each stays on its line.
#[derive(Clone, Copy)]
struct Lines;

impl MakeWriter<'_> for Lines {
    type Writer = Escaped<io::Stderr>;

    fn make_writer(&self) -> Self::Writer {
        Escaped(io::stderr())
    }
}

/// Escapes control characters, except the line feed that ends a record.
struct Escaped<W>(W);

impl<W: Write> Write for Escaped<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let text = record.strip_suffix(b"\n").unwrap_or(record);
        let is_control = |byte: &u8| byte.is_ascii_control();
        // The second byte of a C1 control in UTF-8, or of a harmless character after 0xC2.
        let has_c1 = text
            .windows(2)
            .any(|pair| pair[0] == 0xC2 && pair[1] < 0xA0);
        if !text.iter().any(is_control) && !has_c1 {
            self.0.write_all(record)?;
            return Ok(record.len());
        }
        let mut safe = String::with_capacity(record.len() + 16);
        for c in String::from_utf8_lossy(text).chars() {
            if c.is_control() {
                safe.extend(c.escape_default());
            } else {
                safe.push(c);
            }
        }
        safe.push('\n');
        self.0.write_all(safe.as_bytes())?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_logged_can_end_its_line_or_steer_a_terminal() {
        let mut written = Vec::new();
        let record = b"to=a\r\nINFO forged \x1b[2J \xC2\x9b1m \xC3\xA4\n";
        Escaped(&mut written).write_all(record).unwrap();
        let text = String::from_utf8(written).unwrap();
        assert_eq!(text, "to=a\\r\\nINFO forged \\u{1b}[2J \\u{9b}1m \u{e4}\n");
    }

    #[test]
    fn no_span_is_made_where_nothing_collects_them() {
        tracing::dispatcher::with_default(&dispatch(&Log::default(), None), || {
            assert!(tracing::info_span!(target: TRACE, "span").is_disabled());
        });
    }

    #[test]
    fn libraries_stay_quiet_however_verbose_the_server_is() {
        let filter = filter(LogLevel::Trace);
        assert!(filter.would_enable("watchword_http::serve", &tracing::Level::TRACE));
        assert!(!filter.would_enable("hyper::proto", &tracing::Level::INFO));
        assert!(filter.would_enable("hyper::proto", &tracing::Level::WARN));
        assert!(!filter.would_enable(TRACE, &tracing::Level::ERROR));
    }
}
