//! `stand-ins`: Twilio, Meta and Gupshup on loopback, until Ctrl-C.

#![allow(clippy::print_stdout, reason = "a command that prints addresses")]

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};
use watchword_stand_ins::{Family, Mode, Options, StandIn, account};

/// Providers that play along, on this machine only.
#[derive(Parser)]
#[command(name = "watchword-stand-ins", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays Twilio, Meta and Gupshup until Ctrl-C, and prints a configuration that sends to them.
    StandIns {
        /// Where Twilio listens: loopback. Meta and Gupshup have the two ports above it.
        #[arg(long, default_value = "127.0.0.1:7070")]
        bind: SocketAddr,
        /// Where the server to try is, as its `public_url` says it; receipts go there.
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
        callbacks: String,
        /// Seconds before each receipt.
        #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
        pause: f64,
    },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Command::StandIns {
        bind,
        callbacks,
        pause,
    } = Arguments::parse().command;
    let callbacks = callbacks.trim_end_matches('/');
    let pause = Duration::try_from_secs_f64(pause)?;
    let mut running = Vec::new();
    let mut settings = String::new();
    for (above, family) in (0..).zip(Family::ALL) {
        let port = match bind.port() {
            0 => 0,
            port => port.checked_add(above).ok_or("there is no port above it")?,
        };
        let options = Options {
            bind: SocketAddr::new(bind.ip(), port),
            callbacks: app_callbacks(family, callbacks),
            receipt_pause: pause,
            ..Options::default()
        };
        let stand_in = StandIn::start(family, options).await?;
        println!("# {:8} {}", family.name(), stand_in.base_url());
        for kind in account::kinds(family) {
            let name = provider(kind);
            let lines = stand_in.settings(kind).unwrap_or_default();
            settings.push_str(&format!("\n[providers.{name}]\n{lines}"));
        }
        running.push(stand_in);
    }
    let rows = Mode::table();
    let table: String = rows.lines().map(|row| format!("# {row}\n")).collect();
    println!(
        "#\n\
         # What each got:      curl ADDRESS/stand-in/messages\n\
         # What each does:     curl ADDRESS/stand-in/mode -d '{{\"mode\": \"hang\"}}'\n\
         # A receipt by hand:  curl ADDRESS/stand-in/receipts -d '{{\"id\": \"…\", \"status\": \"delivered\"}}'\n\
         #\n\
         # Numbers say it, too. F is 0 all, 1 Twilio, 2 Meta, 3 Gupshup:\n\
         {table}#\n\
         # Ctrl-C ends it. A configuration that sends here; `watchword dev --config` takes it:\n\n\
         public_url = \"{callbacks}\"\n\n\
         [channels]\n\
         whatsapp = [\"meta\", \"gupshup\", \"twilio_whatsapp\"]\n\
         sms = [\"twilio_sms\"]\n\
         voice = [\"twilio_voice\"]\n\
         {settings}"
    );
    tokio::signal::ctrl_c().await?;
    for stand_in in running {
        stand_in.shutdown().await;
    }
    Ok(())
}

/// The name of the provider of a kind in the configuration that is printed.
fn provider(kind: &str) -> &'static str {
    match kind {
        "twilio-sms" => "twilio_sms",
        "twilio-whatsapp" => "twilio_whatsapp",
        "twilio-voice" => "twilio_voice",
        "meta-whatsapp" => "meta",
        _ => "gupshup",
    }
}

/// Where receipts of an app go. Messages to Twilio say it themselves.
fn app_callbacks(family: Family, server: &str) -> Option<String> {
    match family {
        Family::Twilio => None,
        Family::Meta => Some(format!("{server}/callbacks/meta")),
        Family::Gupshup => Some(format!(
            "{server}/callbacks/gupshup?token={}",
            account::GUPSHUP_CALLBACK_TOKEN
        )),
    }
}
