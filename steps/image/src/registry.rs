//! What a registry is asked, and what it answers.

use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, ensure};
use serde_json::Value;
use ureq::http::{Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, ResponseExt};

use crate::layout::{LARGEST_JSON, hex};
use crate::media_type::{INDEXES, MANIFESTS};

/// `HOST[:PORT]/NAME[:TAG][@DIGEST]`, as docker reads it.
pub struct Name {
    host: String,
    path: String,
    /// A tag or a digest.
    pub version: String,
}

impl Name {
    pub fn parse(text: &str) -> Result<Name> {
        let is_host =
            |it: &str| it == "localhost" || it.contains(['.', ':', '[']);
        let none = || {
            format!(
                "{text:?} names no image: that is HOST[:PORT]/NAME, with :TAG \
                 or @sha256:… behind it (docker puts a HOST in front where you \
                 name none)"
            )
        };
        let parts = text.split_once('/').filter(|(host, _)| is_host(host));
        let (host, rest) = parts.with_context(none)?;
        let (path, version) = match rest.split_once('@') {
            Some((path, digest)) => {
                hex(digest)?;
                // A tag beside a digest says nothing.
                (path.split_once(':').map_or(path, |(it, _)| it), digest)
            }
            None => rest.split_once(':').unwrap_or((rest, "latest")),
        };
        let is_of = |it: &str, others: &str| {
            let is_word = |it: char| it.is_ascii_alphanumeric();
            it.starts_with(|it| is_word(it) || it == '[')
                && it.chars().all(|it| is_word(it) || others.contains(it))
        };
        ensure!(
            is_of(host, ".-:[]")
                && path.split('/').all(|it| is_of(it, ".-_"))
                && is_of(version, ".-_:"),
            none()
        );
        let own = str::to_owned;
        Ok(Name { host: own(host), path: own(path), version: own(version) })
    }

    /// Where all its addresses begin.
    fn url(&self) -> Result<String> {
        let host = &self.host;
        let is_here = is_here(&host.parse().context("its host")?);
        let secure = if is_here { "" } else { "s" };
        Ok(format!("http{secure}://{host}/v2/{}", self.path))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Name { host, path, version } = self;
        let mark = if version.contains(':') { '@' } else { ':' };
        write!(f, "{host}/{path}{mark}{version}")
    }
}

/// Where an image is.
pub struct Registry {
    agent: Agent,
    patience: Duration,
    url: String,
    token: Option<String>,
}

impl Registry {
    pub fn new(name: &Name, patience: Duration) -> Result<Registry> {
        let agent = Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(trusted()).build())
            .http_status_as_error(false)
            .max_redirects(5)
            .timeout_connect(Some(patience))
            .timeout_per_read(Some(patience))
            .timeout_per_write(Some(patience));
        let (agent, url) = (agent.build().into(), name.url()?);
        Ok(Registry { agent, patience, url, token: None })
    }

    /// What is at one of its addresses, from a byte on.
    pub fn get(&mut self, what: &str, from: u64) -> Result<Response<Body>> {
        let url = format!("{}/{what}", self.url);
        let mut has_asked = false;
        loop {
            let known = [INDEXES, MANIFESTS].concat().join(", ");
            let mut headers = vec![("Accept", known)];
            if from > 0 {
                headers.push(("Range", format!("bytes={from}-")));
            }
            if let Some(token) = &self.token {
                headers.push(("Authorization", format!("Bearer {token}")));
            }
            let answer = self.ask(&url, headers, vec![])?;
            match answer.status().as_u16() {
                200 | 206 => return Ok(answer),
                // Nobody was asked for a token, or it is too old.
                401 if !has_asked => {
                    has_asked = true;
                    self.token = Some(self.ask_for_token(&answer)?);
                }
                _ => return Err(refused(answer, &url)),
            }
        }
    }

    /// Anybody on the way can read plain HTTP, and change it: it is for this
    /// machine only. A token goes to nobody whom the registry names.
    fn ask(
        &self,
        url: &str,
        headers: Vec<(&str, String)>,
        query: Vec<(&str, &str)>,
    ) -> Result<Response<Body>> {
        let to: Uri = url.parse().with_context(|| format!("{url:?}"))?;
        let is_near = is_here(&to);
        ensure!(
            is_near || !cfg!(without_c_compiler),
            "{url}: scripts/lab.sh has compiled this program without HTTPS"
        );
        let mut request = self.agent.get(to).config().https_only(!is_near);
        if is_near {
            // It is another machine.
            request = request.proxy(None);
        }
        let mut request = request.build().query_pairs(query);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.call().map_err(|why| self.told(why));
        let answer = answer.with_context(|| format!("GET {}", shown(url)))?;
        let end = answer.get_uri();
        ensure!(
            is_here(end) || end.scheme_str() == Some("https"),
            "GET {url}: it leads to {}: {PLAIN}",
            shown(&end.to_string())
        );
        Ok(answer)
    }

    /// From whoever the registry believes; it is for everybody.
    fn ask_for_token(&self, answer: &Response<Body>) -> Result<String> {
        let challenge = header(answer, "WWW-Authenticate");
        let (kind, fields) = challenge.split_once(' ').unwrap_or_default();
        ensure!(
            kind.eq_ignore_ascii_case("bearer"),
            "401: the registry wants {WHO}"
        );
        let words: Vec<_> = fields.split('"').collect();
        let value = |key| {
            let is_it =
                |it: &&[&str]| it[0].trim_matches([' ', ',', '=']) == key;
            words.chunks_exact(2).find(is_it).map(|it| it[1])
        };
        let query = ["service", "scope"];
        let query = query.map(|key| value(key).map(|it| (key, it)));
        let query = query.into_iter().flatten().collect();
        let server = value("realm").unwrap_or_default();
        let mut answer =
            self.ask(server, vec![], query).context("a token is needed")?;
        if answer.status() != 200 {
            return Err(refused(answer, server));
        }
        let said = said(&mut answer);
        let token = said["token"].as_str().or(said["access_token"].as_str());
        let told = || format!("GET {}: no token came", shown(server));
        token.map(str::to_owned).with_context(told)
    }

    /// By its errno, where it has one.
    pub fn told(&self, error: ureq::Error) -> Error {
        match error {
            ureq::Error::Timeout(_) => anyhow!(
                "nothing came for {} s (--timeout SECONDS waits longer)",
                self.patience.as_secs()
            ),
            ureq::Error::HostNotFound => anyhow!("there is no such host"),
            ureq::Error::RequireHttpsOnly(url) => anyhow!("{url}: {PLAIN}"),
            other => {
                let other = Error::new(other.into_io());
                // What a TLS library says of plain words.
                match other.to_string().contains("InvalidContentType") {
                    true => anyhow!("the answer is no HTTPS: {PLAIN}"),
                    false => other,
                }
            }
        }
    }
}

const PLAIN: &str =
    "plain HTTP is for this machine only (127.0.0.0/8, ::1, localhost)";
const WHO: &str = "a name and a password, and pull gives none: \
    `skopeo copy --src-creds NAME docker://REF oci:DIR` does";

/// Those whom this machine trusts, as its other programs do.
fn trusted() -> RootCerts {
    let found = rustls_native_certs::load_native_certs().certs;
    let found = found.iter().map(|it| Certificate::from_der(it).to_owned());
    RootCerts::Specific(Arc::new(found.collect()))
}

fn is_here(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|it: IpAddr| it.is_loopback())
}

/// What is behind a `?` may be a key.
fn shown(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

pub fn header(answer: &Response<Body>, name: &str) -> String {
    let value = answer.headers().get(name).and_then(|it| it.to_str().ok());
    value.unwrap_or_default().to_owned()
}

fn said(answer: &mut Response<Body>) -> Value {
    let mut text = vec![];
    let mut body = answer.body_mut().as_reader().take(LARGEST_JSON);
    let _ = body.read_to_end(&mut text);
    serde_json::from_slice(&text).unwrap_or_default()
}

fn refused(mut answer: Response<Body>, url: &str) -> Error {
    let status = answer.status();
    let later = header(&answer, "Retry-After").parse::<u64>();
    let lesson = match status.as_u16() {
        401 | 403 => format!("there is no such image, or it takes {WHO}"),
        404 => "there is no such image, or none of this version".to_owned(),
        429 => match later {
            Ok(seconds) => format!("too many pulls: wait {seconds} s"),
            Err(_) => "too many pulls: wait a while".to_owned(),
        },
        500.. => "the registry is at fault: try again later".to_owned(),
        _ => "a registry does not answer so".to_owned(),
    };
    let said = said(&mut answer);
    let message = said.pointer("/errors/0/message").and_then(Value::as_str);
    let message = message.unwrap_or_default();
    let message: String = message.chars().take(200).collect();
    anyhow!("GET {}: {status} {message:?}: {lesson}", shown(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_docker_reads_it() {
        let sum = "0".repeat(64);
        for (text, whole, url) in [
            (
                "shop.example/a/b:1",
                "shop.example/a/b:1",
                "https://shop.example/v2/a/b",
            ),
            (
                "shop:5000/box",
                "shop:5000/box:latest",
                "https://shop:5000/v2/box",
            ),
            (
                "localhost/box",
                "localhost/box:latest",
                "http://localhost/v2/box",
            ),
            (
                "[::1]:5000/box:1",
                "[::1]:5000/box:1",
                "http://[::1]:5000/v2/box",
            ),
            (
                &format!("127.9.9.9:80/box:1@sha256:{sum}"),
                &format!("127.9.9.9:80/box@sha256:{sum}"),
                "http://127.9.9.9:80/v2/box",
            ),
        ] {
            let name = Name::parse(text).expect(text);
            assert_eq!(name.to_string(), whole);
            assert_eq!(name.url().expect(text), url);
        }
        for text in ["box", "box:1", "me/box"] {
            let told = Name::parse(text).map(|name| name.to_string());
            let told = told.expect_err(text).to_string();
            assert!(told.contains("names no image"), "{told}");
        }
    }
}
