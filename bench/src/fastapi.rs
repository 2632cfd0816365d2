//! FastAPI on uvicorn with Redis: what such a service is often written in (`bench/fastapi/app.py`).

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::Failure;
use crate::server::{Server, free_address};
use crate::stores::Stores;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fastapi");

/// Starts it with so many workers and a Redis of its own.
pub(crate) async fn start(workers: usize) -> Result<Server, Failure> {
    let python = environment().await?;
    let store = Stores::redis()?;
    let address = free_address()?;
    let mut command = Command::new(python);
    command
        .args(["-m", "uvicorn", "app:app", "--app-dir", SOURCE])
        .args(["--host", "127.0.0.1", "--port", &address.port().to_string()])
        .args(["--workers", &workers.to_string()])
        .args(["--loop", "uvloop", "--http", "httptools"])
        .args(["--no-access-log", "--log-level", "warning"])
        .args(["--timeout-keep-alive", "60"])
        // The workers agree on it.
        .env("PEPPER", "5e".repeat(32))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("REDIS_URL", store.url().unwrap_or_default());
    Server::other(command, address, store).await
}

/// The Python of an environment that holds what the application needs, made where the build is.
async fn environment() -> Result<PathBuf, Failure> {
    let build = std::env::current_exe()?;
    let build = build.parent().and_then(Path::parent).ok_or("no build")?;
    let folder = build.join("bench-fastapi");
    let python = folder.join("bin/python");
    let wanted = std::fs::read_to_string(format!("{SOURCE}/requirements.txt"))?;
    let installed = folder.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|it| it == wanted) {
        return Ok(python);
    }
    println!("installing FastAPI into {}", folder.display());
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    run(make).await?;
    let mut install = Command::new(&python);
    install
        .args(["-m", "pip", "install", "--quiet", "--no-input"])
        .args(["--disable-pip-version-check", "--requirement"])
        .arg(format!("{SOURCE}/requirements.txt"));
    run(install).await?;
    std::fs::write(&installed, wanted)?;
    Ok(python)
}

async fn run(mut command: Command) -> Result<(), Failure> {
    let status = command.stdin(Stdio::null()).status().await?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{command:?} ended with {status}").into())
}
