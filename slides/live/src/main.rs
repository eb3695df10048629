#![forbid(unsafe_code)]
//! Serves the built deck with a terminal in it, in which the demos play.
//!
//! A browser lets every page that you have open talk to every port of your
//! machine. So a page comes in only if it is ours (`door`), and what a terminal
//! runs is a demo, in the playground: no page names a command (`terminal`).

mod deck;
mod door;
mod terminal;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use deck::Deck;
use door::Door;
use terminal::{LONGEST_MESSAGE, Theatre};

/// Serves the deck, with a terminal in it: see scripts/present.sh --live
#[derive(Parser)]
struct Options {
    /// The built deck
    deck: PathBuf,
    /// Where the demos are: NN-name.sh
    scripts: PathBuf,
}

struct House {
    door: Door,
    deck: Deck,
    theatre: Theatre,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    // Nobody else's machine reaches it, and nobody guesses its port.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .context("listen on 127.0.0.1")?;
    let door = Door::at(listener.local_addr()?)?;
    println!("The deck, with a terminal in it. Ctrl-C ends both.");
    println!("  {}", door.link());
    let house = Arc::new(House {
        door,
        deck: Deck::read(&options.deck)?,
        theatre: Theatre::of(&options.scripts)?,
    });
    let routes = Router::new()
        .route("/token", post(hand_out_token))
        .route("/terminal", any(open_terminal))
        .fallback(get(show_file))
        .layer(from_fn_with_state(house.clone(), guard))
        .with_state(house.clone());
    tokio::select! {
        served = axum::serve(listener, routes) => served.context("serve")?,
        told = told_to_end() => told?,
    }
    // Not before the demo has put away what it made.
    let closed = timeout(Duration::from_secs(20), house.theatre.close());
    closed.await.context("the demo does not end")
}

async fn told_to_end() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// Before anything is looked at: is it meant for us, and who asks?
async fn guard(
    State(house): State<Arc<House>>,
    request: Request,
    next: Next,
) -> Response {
    let door = &house.door;
    let files_only = request.method() == "GET" && request.uri() != "/terminal";
    let mut response = if !door.is_meant(request.headers()) {
        (StatusCode::MISDIRECTED_REQUEST, "another host\n").into_response()
    } else if !files_only && !door.is_ours(request.headers()) {
        (StatusCode::FORBIDDEN, "another page\n").into_response()
    } else {
        next.run(request).await
    };
    door.add_rules(response.headers_mut());
    response
}

async fn show_file(
    State(house): State<Arc<House>>,
    request: Request,
) -> Response {
    house.deck.file(request.uri().path())
}

/// For what the link has after `#`: the token of this server.
async fn hand_out_token(
    State(house): State<Arc<House>>,
    code: Bytes,
) -> Response {
    match house.door.exchange(&code) {
        Some(token) => {
            println!("In use. To open it in another window:");
            println!("  {}", house.door.link());
            token.into_response()
        }
        None => (StatusCode::FORBIDDEN, "another code\n").into_response(),
    }
}

async fn open_terminal(
    State(house): State<Arc<House>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.max_message_size(LONGEST_MESSAGE).on_upgrade(async move |socket| {
        house.theatre.play(socket, &house.door).await;
    })
}
