//! The files of the built deck: read once, so that no request names a file.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// By the path in the address.
pub struct Deck(HashMap<String, (&'static str, Bytes)>);

impl Deck {
    pub fn read(directory: &Path) -> Result<Deck> {
        let mut files = HashMap::new();
        add(&mut files, directory, "/")?;
        let index = files.get("/index.html").cloned();
        files.insert("/".into(), index.context("the deck is not built")?);
        Ok(Deck(files))
    }

    pub fn file(&self, path: &str) -> Response {
        match self.0.get(path) {
            Some((kind, bytes)) => {
                ([(CONTENT_TYPE, *kind)], bytes.clone()).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

fn add(
    files: &mut HashMap<String, (&'static str, Bytes)>,
    directory: &Path,
    below: &str,
) -> Result<()> {
    let told = || format!("read {}", directory.display());
    for entry in fs::read_dir(directory).with_context(told)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            add(files, &path, &format!("{below}{name}/"))?;
        } else {
            let bytes = fs::read(&path).with_context(told)?;
            let kind = kind_of(&path);
            files.insert(format!("{below}{name}"), (kind, bytes.into()));
        }
    }
    Ok(())
}

fn kind_of(path: &Path) -> &'static str {
    match path.extension().and_then(|it| it.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
