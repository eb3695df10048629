//! Who comes in. Each check stops somebody whom the others let through.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, ORIGIN,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};
use subtle::ConstantTimeEq;

pub struct Door {
    host: String,
    origin: String,
    /// What the link has after `#`. It stays in the browser's history, so it is
    /// good for one use.
    code: Mutex<String>,
    /// What the code is exchanged for. No address ever has it.
    token: String,
}

/// The speaker view is a page of reveal's own, made of inline scripts; the player
/// of the recordings is WebAssembly. Nobody else may have the deck in a frame.
const POLICY: &str = "default-src 'self' data: blob:; \
    script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; \
    style-src 'self' 'unsafe-inline' data:; connect-src 'self' data:; \
    object-src 'none'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'self'";

impl Door {
    pub fn at(address: SocketAddr) -> Result<Door> {
        Ok(Door {
            host: address.to_string(),
            origin: format!("http://{address}"),
            code: Mutex::new(secret()?),
            token: secret()?,
        })
    }

    pub fn link(&self) -> String {
        let code = self.code.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{}/#live={code}", self.origin)
    }

    /// A page of another name that now leads to 127.0.0.1 (DNS rebinding) is of
    /// our origin, as its browser sees it. But it sends that name.
    pub fn is_meant(&self, headers: &HeaderMap) -> bool {
        is_only(headers, HOST, &self.host)
    }

    /// The same-origin rule does not hold for WebSockets: any page may open one.
    /// But its browser says whose page it is, with the port. What says nothing
    /// is no browser.
    pub fn is_ours(&self, headers: &HeaderMap) -> bool {
        is_only(headers, ORIGIN, &self.origin)
    }

    /// Another user of this machine can send any header. But nobody has shown
    /// them the link, and the token is in no file.
    pub fn admits(&self, token: &str) -> bool {
        is_the_same(token.as_bytes(), &self.token)
    }

    pub fn exchange(&self, code: &[u8]) -> Option<String> {
        let mut good = self.code.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_the_same(code, &good) {
            return None;
        }
        *good = secret().ok()?;
        Some(self.token.clone())
    }

    pub fn add_rules(&self, headers: &mut HeaderMap) {
        for (name, value) in [
            (CONTENT_SECURITY_POLICY, POLICY),
            (CACHE_CONTROL, "no-store"),
            (REFERRER_POLICY, "no-referrer"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// 128 bits.
fn secret() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("random bytes")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// In the same time, wherever they differ.
fn is_the_same(said: &[u8], secret: &str) -> bool {
    said.ct_eq(secret.as_bytes()).into()
}

/// There once, with exactly this value.
fn is_only(headers: &HeaderMap, name: HeaderName, value: &str) -> bool {
    let mut all = headers.get_all(name).iter();
    all.next().is_some_and(|it| it == value) && all.next().is_none()
}
