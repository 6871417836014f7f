//! The files that let the operator in: read at every sync, so that a Secret that changes needs no restart.

use std::{fmt, io, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use tokio::fs;

use crate::config::{Auth, Source};

/// Longest file that is read: a bundle of all public authorities has 250 kB.
const MAX_FILE: u64 = 1 << 20;

/// What was in the files of a source. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    /// Trusted authorities, PEM.
    pub(super) ca: Option<Vec<u8>>,
    /// Certificate chain and key, PEM.
    pub(super) identity: Option<Vec<u8>>,
    /// The `Authorization` header.
    pub(super) authorization: Option<HeaderValue>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([redacted])")
    }
}

/// Why the files of a source cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    #[error("cannot read {path}: {source}; is the Secret mounted there?")]
    Read { path: String, source: io::Error },
    #[error("{path} is larger than 1 MiB: is it the right file?")]
    TooLarge { path: String },
    #[error("the content of {path} cannot be a header: it must be one line of visible ASCII")]
    NotAHeader { path: String },
}

impl Credentials {
    /// Reads the files that a source names.
    pub(super) async fn read(source: &Source) -> Result<Self, CredentialsError> {
        let ca = match &source.ca_file {
            Some(path) => Some(read(path).await?),
            None => None,
        };
        let identity = match &source.client_certificate {
            Some(files) => {
                let mut pem = read(&files.cert_file).await?;
                pem.push(b'\n');
                pem.extend(read(&files.key_file).await?);
                Some(pem)
            }
            None => None,
        };
        let authorization = match &source.auth {
            Auth::None => None,
            Auth::Bearer { token_file } => {
                let token = text(token_file).await?;
                Some(header(&format!("Bearer {token}"), token_file)?)
            }
            Auth::Basic { username, password_file } => {
                let password = text(password_file).await?;
                Some(header(
                    &format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))),
                    password_file,
                )?)
            }
        };
        Ok(Self { ca, identity, authorization })
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, CredentialsError> {
    let named = || path.display().to_string();
    let failed = |source| CredentialsError::Read { path: named(), source };
    if fs::metadata(path).await.map_err(failed)?.len() > MAX_FILE {
        return Err(CredentialsError::TooLarge { path: named() });
    }
    fs::read(path).await.map_err(failed)
}

/// The text of a file without the line end that editors put there.
async fn text(path: &Path) -> Result<String, CredentialsError> {
    let bytes = read(path).await?;
    let text = String::from_utf8(bytes)
        .map_err(|_| CredentialsError::NotAHeader { path: path.display().to_string() })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn header(text: &str, path: &Path) -> Result<HeaderValue, CredentialsError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| CredentialsError::NotAHeader { path: path.display().to_string() })?;
    value.set_sensitive(true);
    Ok(value)
}
