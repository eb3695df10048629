//! What is no kernel feature: start a process, wait for it, report.
//!
//! A container is a [`Container`] with a list of [`Feature`]s. They act in the
//! order of the list, each on its side of the wall:
//!
//! ```text
//!   the runtime, on the host                the first process, inside
//!
//!   Feature::before                         ·
//!   clone(2), with the flags of             ·
//!     Feature::namespaces, in the           ·
//!     Feature::birthplace    ─────────────▶ waits
//!   Feature::on_host                        waits
//!   Go                       ─────────────▶ Feature::first
//!                                           Feature::inside
//!                                           Feature::last
//!   waits                    ◀─ Starting ── execve(2): the command, or
//!                                             Inside::init with it as a child
//!   passes signals on,                      …
//!     carries its terminal                  …
//!   waits for its end        ◀───────────── ends
//!   Feature::after                          ·
//!   drop: each feature takes away           ·
//!     what it made on the host              ·
//! ```
//!
//! A feature *is* its command-line flags: it derives [`clap::Args`], and a
//! step's `main` is a list of them.
//!
//! ```
//! use anyhow::Result;
//! use nix::sched::CloneFlags;
//! use nix::unistd::sethostname;
//! use runtime::{Feature, Inside, shell};
//!
//! #[derive(clap::Args)]
//! struct Hostname {
//!     /// Hostname inside the container
//!     #[arg(long, default_value = "box")]
//!     hostname: String,
//! }
//!
//! impl Feature for Hostname {
//!     fn namespaces(&self) -> CloneFlags {
//!         CloneFlags::CLONE_NEWUTS
//!     }
//!
//!     fn inside(&self, container: &mut Inside) -> Result<()> {
//!         let name = &self.hostname;
//!         container.call(
//!             format!("sethostname({name:?})"),
//!             "why this call is made",
//!             shell(["hostname", name]),
//!             || sethostname(name),
//!         )?;
//!         Ok(())
//!     }
//! }
//! ```
//!
//! What the two sides say to each other has a type, and silence never reads as
//! "go on". An error carries the call, the kernel's answer by its name, and
//! what to do ([`Failure`], [`Because`]). The runtime has one thread, so that
//! after clone(2) no lock is held by nobody; [`process`] has the only `unsafe`
//! of the workshop.

mod boot;
mod cache;
mod channel;
mod command;
mod command_line;
mod container;
mod door;
mod failure;
mod feature;
pub mod helper_program;
mod kernel_file;
mod known;
mod layout;
mod line;
pub mod locale;
mod lock;
mod narration;
pub mod other_process;
pub mod process;
mod quote;
mod rootfs;
mod short_name;
mod signals;
mod step;
mod supervise;
mod terminal;

pub use cache::CachedDirectory;
pub use channel::{Channel, Message};
pub use command::Variable;
pub use command_line::parse;
pub use container::Container;
pub use door::{Door, Leave, Ready};
pub use failure::{
    Because, Failure, NO_FILTERS, NO_MORE_NAMESPACES, NOT_EXECUTABLE,
    NOT_FOUND, RUNTIME_FAILED, told,
};
pub use feature::{Birthplace, Boot, End, Feature, Host, Init, Inside};
pub use kernel_file::{kernel_file, write_below_proc};
pub use known::begin_as_known;
pub use line::Line;
pub use narration::{Narrator, Side, Told};
pub use quote::shell;
pub use rootfs::{RootDirectory, give};
pub use signals::Signals;
pub use supervise::accompany_plainly;
pub use terminal::leave_terminal;
