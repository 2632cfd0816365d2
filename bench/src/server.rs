//! The servers under load: separate processes, so that neither side borrows the other's threads.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::{Arguments, Failure, StoreKind};

/// A server process that ends with this value.
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
    _data: Option<TempDir>,
}

impl Server {
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The bare server: this binary once more.
    pub(crate) async fn bare() -> Result<Self, Failure> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["bare", "--bind", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process
            .stdout
            .take()
            .ok_or("the bare server has no output")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let address = line
            .ok_or("the bare server did not start")?
            .trim()
            .parse()?;
        Ok(Self {
            process,
            address,
            _data: None,
        })
    }

    /// The product in dev mode, as it ships, on a store of its own.
    pub(crate) async fn product(arguments: &Arguments) -> Result<Self, Failure> {
        if !arguments.binary.exists() {
            let path = arguments.binary.display();
            return Err(format!("{path} is missing; build it: cargo build --release").into());
        }
        let data = TempDir::new()?;
        let [address, whatsapp, admin] = [free_address()?, free_address()?, free_address()?];
        let mut command = Command::new(&arguments.binary);
        command
            .arg("dev")
            .args(["--bind", &address.to_string()])
            .args(["--whatsapp-bind", &whatsapp.to_string()])
            .args(["--admin-bind", &admin.to_string()])
            .arg("--data")
            .arg(data.path());
        if arguments.store == StoreKind::Memory {
            let config = data.path().join("bench.toml");
            std::fs::write(&config, "[storage]\nurl = \"memory:\"\n")?;
            command.arg("--config").arg(config);
        }
        let process = command.stdout(Stdio::null()).kill_on_drop(true).spawn()?;
        let server = Self {
            process,
            address,
            _data: Some(data),
        };
        server.wait().await?;
        Ok(server)
    }

    async fn wait(&self) -> Result<(), Failure> {
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(self.address).await.is_err() {
            if Instant::now() > until {
                return Err("the server did not start within 20 seconds".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        self.process.kill().await?;
        Ok(())
    }
}

fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
