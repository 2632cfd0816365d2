//! Certificates from files, re-read when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Where a listener's certificate chain and private key are, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the server's own first.
    pub certificate: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Why certificate files cannot be served from. Never shows what is in them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file could not be read.
    #[error("{path} could not be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file holds nothing of the kind it should.
    #[error("{path} holds no PEM {expected}: {reason}")]
    NotPem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        expected: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not go together, or are of a kind that is not supported.
    #[error("certificate {certificate} and key {key} cannot be used together")]
    Unusable {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
}

/// A listener's certificates: the ones in use, and the way to newer ones. Connections that are open
/// keep those they began with.
pub struct Certificates {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
    seen: Mutex<Stamp>,
}

/// Tells one state of the two files from another.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Certificates {
    pub(super) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let seen = Mutex::new(stamp(&files));
        let config = ArcSwap::from_pointee(read(&files)?);
        Ok(Self {
            files,
            config,
            seen,
        })
    }

    /// Reads the files again, now. Binaries call this on SIGHUP.
    ///
    /// # Errors
    /// The files cannot be served from; the certificates in use stay in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        *self.seen.lock() = stamp(&self.files);
        self.config.store(Arc::new(read(&self.files)?));
        Ok(())
    }

    /// Reads the files again if they changed. `None` if they did not.
    fn reload_if_changed(&self) -> Option<Result<(), TlsError>> {
        let changed = stamp(&self.files) != *self.seen.lock();
        changed.then(|| self.reload())
    }

    /// Follows the files for as long as it is polled.
    pub(super) async fn follow(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let this = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || this.reload_if_changed());
            if let Ok(Some(outcome)) = looked.await {
                self.log(outcome.err().as_ref());
            }
        }
    }

    fn log(&self, error: Option<&TlsError>) {
        let certificate = self.files.certificate.display();
        match error {
            None => tracing::info!(%certificate, "new certificates are in use"),
            Some(error) => tracing::error!(
                error = error as &dyn std::error::Error,
                "certificate files changed but cannot be used; the old ones stay in use"
            ),
        }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

fn stamp(files: &TlsFiles) -> Stamp {
    [&files.certificate, &files.key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| not_pem(&files.certificate, "certificate", error))?;
    if chain.is_empty() {
        return Err(not_pem(
            &files.certificate,
            "certificate",
            pem::Error::NoItemsFound,
        ));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| not_pem(&files.key, "private key", error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|versions| versions.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|source| TlsError::Unusable {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            source,
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn not_pem(path: &Path, expected: &'static str, error: pem::Error) -> TlsError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(source) => TlsError::Unreadable { path, source },
        pem::Error::NoItemsFound => TlsError::NotPem {
            path,
            expected,
            reason: "none was found".to_owned(),
        },
        // The other messages can quote the file, and the file may be the key.
        _ => TlsError::NotPem {
            path,
            expected,
            reason: "it is damaged".to_owned(),
        },
    }
}
