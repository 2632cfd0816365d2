//! The servers under load: separate processes, so that neither side borrows the other's threads.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use crate::Failure;
use crate::process;
use crate::stores::StoreServer;

/// A server process that ends with this value, and the store behind it.
pub(crate) struct Server {
    process: Family,
    /// Held, so that it may go on printing.
    _output: BufReader<ChildStdout>,
    addresses: Vec<SocketAddr>,
    pub(crate) store: StoreServer,
    data: TempDir,
}

/// How the product is started.
pub(crate) struct Product<'a> {
    pub(crate) binary: &'a Path,
    /// More of the configuration: lines of `[storage]`, then other sections.
    pub(crate) settings: &'a str,
    pub(crate) expose_codes: bool,
}

impl<'a> Product<'a> {
    /// As it ships.
    pub(crate) const fn usual(binary: &'a Path) -> Self {
        Self {
            binary,
            settings: "",
            expose_codes: false,
        }
    }
}

/// Longer than a server needs to read a million verifications on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

impl Server {
    /// Where the API listens, first or second.
    pub(crate) fn address(&self, second: bool) -> Result<SocketAddr, Failure> {
        let address = self.addresses.get(usize::from(second));
        let address = address.or(self.addresses.first()).copied();
        Ok(address.ok_or("the server listens nowhere")?)
    }

    /// The server's processes, without those of its store.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.process.pids()
    }

    /// The bare server: this binary once more.
    /// Lets it stand still, or go on: so that what it does beside its requests is not done in another's turn.
    pub(crate) fn hold(&self, still: bool) -> Result<(), Failure> {
        signal(&self.pids(), if still { "-STOP" } else { "-CONT" })
    }

    pub(crate) async fn bare() -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bare");
        let (process, mut output) = spawn(command)?;
        let address = line(&mut output).await?.trim().parse()?;
        Ok(Self {
            process,
            _output: output,
            addresses: vec![address],
            store: StoreServer::None,
            data: TempDir::new()?,
        })
    }

    /// The product in dev mode, as it ships.
    pub(crate) async fn product(
        product: &Product<'_>,
        store: StoreServer,
    ) -> Result<Self, Failure> {
        Self::product_in(TempDir::new()?, product, store).await
    }

    /// The same, run by another program, which is given the binary and its arguments.
    pub(crate) async fn product_under(
        program: Command,
        product: &Product<'_>,
        store: StoreServer,
    ) -> Result<Self, Failure> {
        Self::launch(Some(program), TempDir::new()?, product, store).await
    }

    /// The same with this folder, where a server may have been before.
    pub(crate) async fn product_in(
        data: TempDir,
        product: &Product<'_>,
        store: StoreServer,
    ) -> Result<Self, Failure> {
        Self::launch(None, data, product, store).await
    }

    async fn launch(
        under: Option<Command>,
        data: TempDir,
        product: &Product<'_>,
        store: StoreServer,
    ) -> Result<Self, Failure> {
        let mut settings = "trusted_proxies = [\"127.0.0.1/32\"]\n[storage]\n".to_owned();
        // The lines of the section go on in those of the product.
        if let Some(url) = store.url() {
            let accounts = store.accounts_url();
            settings.push_str(&format!("url = \"{url}\"\naccounts_url = \"{accounts}\"\n"));
        }
        settings.push_str(product.settings);
        std::fs::write(data.path().join("bench.toml"), settings)?;
        let log = std::fs::File::create(data.path().join("log"))?;
        let binary = product.binary.canonicalize()?;
        let mut command = match under {
            Some(mut program) => {
                program.arg(binary);
                program
            }
            None => Command::new(binary),
        };
        command.current_dir(data.path()).arg("dev");
        for bind in ["--bind", "--whatsapp-bind", "--admin-bind"] {
            command.args([bind, "127.0.0.1:0"]);
        }
        command.args(["--data", "data", "--config", "bench.toml"]);
        if product.expose_codes {
            command.arg("--expose-codes");
        }
        command.arg("--print-addresses").stderr(log);
        let (process, mut output) = spawn(command)?;
        let Ok(addresses) = line(&mut output).await else {
            let said = std::fs::read_to_string(data.path().join("log"))?;
            return Err(format!("watchword did not start: {said}").into());
        };
        let addresses: Addresses = serde_json::from_str(&addresses)?;
        let listeners = addresses.api.iter().map(|url| address(url));
        Ok(Self {
            process,
            _output: output,
            addresses: listeners.collect::<Result<_, _>>()?,
            store,
            data,
        })
    }

    /// Any other server, once it answers at this address.
    pub(crate) async fn other(
        mut command: Command,
        address: SocketAddr,
        store: StoreServer,
    ) -> Result<Self, Failure> {
        command.stderr(Stdio::inherit());
        let (process, output) = spawn(command)?;
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).await.is_err() {
            if Instant::now() > until {
                return Err(format!("nobody listens at {address}").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self {
            process,
            _output: output,
            addresses: vec![address],
            store,
            data: TempDir::new()?,
        })
    }

    /// Ends it without notice; what it leaves behind is its folder and its store.
    pub(crate) async fn kill(mut self) -> Result<(TempDir, StoreServer), Failure> {
        self.process.end_children();
        self.process.0.kill().await?;
        Ok((self.data, self.store))
    }
}

/// A process and its children, which end with this value.
struct Family(Child);

impl Family {
    fn pids(&self) -> Vec<u32> {
        self.0.id().map_or_else(Vec::new, process::family)
    }

    fn end_children(&self) {
        for pid in self.pids().iter().skip(1) {
            // It may have ended by itself.
            let _ = signal(&[*pid], "-KILL");
        }
    }
}

fn signal(pids: &[u32], signal: &str) -> Result<(), Failure> {
    let mut kill = std::process::Command::new("kill");
    kill.arg(signal).args(pids.iter().map(u32::to_string));
    let sent = kill.stderr(Stdio::null()).status()?.success();
    sent.then_some(())
        .ok_or_else(|| format!("{signal} reached no process of {pids:?}").into())
}

impl Drop for Family {
    fn drop(&mut self) {
        self.end_children();
    }
}

/// The line that `--print-addresses` prints.
#[derive(Deserialize)]
struct Addresses {
    api: Vec<String>,
}

fn address(url: &str) -> Result<SocketAddr, Failure> {
    Ok(url.trim_start_matches("http://").parse()?)
}

fn spawn(mut command: Command) -> Result<(Family, BufReader<ChildStdout>), Failure> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = command.kill_on_drop(true).spawn()?;
    let output = process.stdout.take().ok_or("the server has no output")?;
    Ok((Family(process), BufReader::new(output)))
}

async fn line(output: &mut BufReader<ChildStdout>) -> Result<String, Failure> {
    let mut line = String::new();
    tokio::time::timeout(PATIENCE, output.read_line(&mut line)).await??;
    if line.is_empty() {
        return Err("the server ended before it listened".into());
    }
    Ok(line)
}

/// An address that nobody listens at just now.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
