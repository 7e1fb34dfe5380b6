//! TLS of our own door: certificate files that are read again when they change, or a certificate made on the spot.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use kernel::{Clock, Timestamp};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

/// How long a certificate made on the spot is valid: what phones accept at most.
const VALID: Duration = Duration::from_secs(397 * 86_400);
/// It is made anew when less than this is left.
const RENEW: Duration = Duration::from_secs(30 * 86_400);

/// Where the certificate comes from.
#[derive(Debug, Clone)]
pub enum TlsSource {
    /// PEM files that somebody else keeps up to date.
    Files {
        /// The certificate and its chain.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// A self-signed one, made where it is missing, about to expire, or for other names.
    MadeOnTheSpot {
        /// Where certificate and key are kept.
        folder: PathBuf,
        /// Host names and addresses it is for.
        names: Vec<String>,
    },
}

/// Why there is no TLS; says which file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or is not PEM.
    #[error("{} cannot be read as PEM: check the path and who may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// A file holds no certificate.
    #[error("{} holds no certificate", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not fit each other or are of an unknown kind.
    #[error("the certificate and the key cannot be used together")]
    Refused(#[source] rustls::Error),
    /// A certificate could not be made.
    #[error("no certificate can be made for these names")]
    Make(#[source] rcgen::Error),
    /// The certificate made on the spot could not be kept.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The certificate that the door shows now. Cheap to clone.
#[derive(Clone)]
pub struct TlsSetup {
    certificate: PathBuf,
    key: PathBuf,
    poll: Duration,
    current: Arc<RwLock<Loaded>>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    fingerprint: String,
    stamp: Stamp,
}

/// What tells that a file was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp([Option<(SystemTime, u64)>; 2]);

impl Stamp {
    fn of(certificate: &Path, key: &Path) -> Self {
        Self([certificate, key].map(|path| std::fs::metadata(path).ok().and_then(|file| Some((file.modified().ok()?, file.len())))))
    }
}

impl TlsSetup {
    /// Loads the certificate, making it first where it is to be made.
    pub fn open(source: &TlsSource, clock: &Clock) -> Result<Self, TlsError> {
        let (certificate, key) = match source {
            TlsSource::Files { certificate, key } => (certificate.clone(), key.clone()),
            TlsSource::MadeOnTheSpot { folder, names } => made_on_the_spot(folder, names, clock)?,
        };
        let loaded = load(&certificate, &key)?;
        Ok(Self { certificate, key, poll: Duration::from_secs(2), current: Arc::new(RwLock::new(loaded)) })
    }

    /// The same, looking at its files more or less often than every two seconds.
    #[must_use]
    pub fn polled_every(self, poll: Duration) -> Self {
        Self { poll, ..self }
    }

    /// The configuration for the next connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// SHA-256 of the certificate in hexadecimal digits, for people who compare it with what their browser shows.
    pub fn fingerprint(&self) -> String {
        self.current.read().unwrap_or_else(PoisonError::into_inner).fingerprint.clone()
    }

    /// Reads the files again whenever they change, for ever. A pair that cannot be used, perhaps half replaced, leaves the
    /// old one in place and is tried again.
    pub(crate) async fn watch(&self) {
        let mut complained = None;
        loop {
            tokio::time::sleep(self.poll).await;
            let stamp = Stamp::of(&self.certificate, &self.key);
            if stamp == self.current.read().unwrap_or_else(PoisonError::into_inner).stamp {
                continue;
            }
            match load(&self.certificate, &self.key) {
                Ok(loaded) => {
                    tracing::info!(fingerprint = %loaded.fingerprint, "the certificate was replaced");
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
                }
                Err(error) if complained.as_ref() != Some(&stamp) => {
                    tracing::warn!(error = %error, "the new certificate cannot be used; the old one stays");
                    complained = Some(stamp);
                }
                Err(_) => {}
            }
        }
    }
}

fn load(certificate: &Path, key: &Path) -> Result<Loaded, TlsError> {
    let stamp = Stamp::of(certificate, key);
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Read { path, source }
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(unreadable(certificate))?;
    let Some(first) = chain.first() else { return Err(TlsError::NoCertificate { path: certificate.to_owned() }) };
    let fingerprint = Sha256::digest(first).iter().map(|byte| format!("{byte:02x}")).collect();
    let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsError::Refused)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Loaded { config: Arc::new(config), fingerprint, stamp })
}

/// The paths of a self-signed certificate and its key, made now unless a fitting one is there.
fn made_on_the_spot(folder: &Path, names: &[String], clock: &Clock) -> Result<(PathBuf, PathBuf), TlsError> {
    let (certificate, key, about) = (folder.join("certificate.pem"), folder.join("key.pem"), folder.join("about.txt"));
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Write { path, source }
    };
    let now = clock.now();
    let is_fit = std::fs::read_to_string(&about).is_ok_and(|text| {
        let mut lines = text.lines();
        let expires = lines.next().and_then(|line| Timestamp::parse(line).ok());
        expires.is_some_and(|expires| expires.since(now) > RENEW) && lines.eq(names.iter().map(String::as_str))
    });
    if is_fit && load(&certificate, &key).is_ok() {
        return Ok((certificate, key));
    }
    std::fs::create_dir_all(folder).map_err(unwritable(folder))?;
    let expires = now.plus(VALID);
    let mut params = rcgen::CertificateParams::new(names.to_vec()).map_err(TlsError::Make)?;
    params.not_before = now.minus(Duration::from_secs(86_400)).to_utc();
    params.not_after = expires.to_utc();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Tessera on the local network");
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let pair = rcgen::KeyPair::generate().map_err(TlsError::Make)?;
    let made = params.self_signed(&pair).map_err(TlsError::Make)?;
    write(&key, &pair.serialize_pem(), 0o600).map_err(unwritable(&key))?;
    write(&certificate, &made.pem(), 0o644).map_err(unwritable(&certificate))?;
    write(&about, &format!("{expires}\n{}\n", names.join("\n")), 0o644).map_err(unwritable(&about))?;
    Ok((certificate, key))
}

/// Writes a new file with these rights in place of an old one, so that a key is never readable for others in between.
fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let _ = std::fs::remove_file(&new);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}
