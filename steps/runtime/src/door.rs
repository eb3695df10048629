//! A container that stays when we go: its first process is all set up, and
//! waits at a door until somebody else comes to start it.
//!
//! What ties a container's life to ours is decided here. Everything else about
//! it is as always.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect,
    listen, socket,
};
use rustix::net::{SocketFlags, accept_with};

use crate::channel::{Channel, Message};
use crate::feature::Host;
use crate::line::GONE;

/// How a container is left behind.
pub struct Leave {
    /// Where it waits. Without a door its command begins at once.
    pub door: Option<Door>,
    /// On the host, when it is ready, and would die with us for the last time.
    pub ready: Box<Ready>,
}

/// It may fail: then there is no container.
pub type Ready = dyn FnOnce(&Host) -> Result<()>;

/// A unix socket in a directory. Whoever connects to it starts the container,
/// and hears on the line that they get whether that worked: it ends with the
/// execve(2), or after a word that says why not.
#[derive(Debug)]
pub struct Door {
    listening: OwnedFd,
    place: PathBuf,
}

const NAME: &str = "door";

impl Door {
    /// # Errors
    /// As bind(2): `EADDRINUSE` where there is one already.
    pub fn make(directory: &Path) -> Result<Door> {
        let listening = seqpacket()?;
        let (address, _held) = address(directory)?;
        bind(listening.as_raw_fd(), &address).context("bind() of the door")?;
        listen(&listening, Backlog::new(1)?).context("listen() at the door")?;
        Ok(Door { listening, place: directory.join(NAME) })
    }

    /// Whether somebody waits in `directory`, or nobody has come yet.
    #[must_use]
    pub fn is_closed(directory: &Path) -> bool {
        directory.join(NAME).exists()
    }

    /// Opens the door, and returns when the command has begun: from here on
    /// there is no door.
    ///
    /// # Errors
    /// `ECONNREFUSED` when nobody waits there; what kept the command from
    /// beginning.
    pub fn open(directory: &Path) -> Result<()> {
        let line = seqpacket()?;
        let (address, _held) = address(directory)?;
        let reached = connect(line.as_raw_fd(), &address);
        let take_away = || {
            fs::remove_file(directory.join(NAME))
                .context("unlink() of the door")
        };
        if reached == Err(Errno::ECONNREFUSED) {
            take_away()?;
            bail!(
                "cannot start it (ECONNREFUSED): somebody has, and was \
                 interrupted on the way"
            );
        }
        reached.context("connect() to the door")?;
        take_away()?;
        Channel(line).heed()
    }

    fn wait(&self) -> Result<Channel> {
        let line = accept_with(&self.listening, SocketFlags::CLOEXEC)
            .with_context(|| format!("accept({:?})", self.place))?;
        Ok(Channel(line))
    }
}

fn seqpacket() -> Result<OwnedFd> {
    let (unix, kind) = (AddressFamily::Unix, SockType::SeqPacket);
    socket(unix, kind, SockFlag::SOCK_CLOEXEC, None).context("socket()")
}

/// A socket's name has room for 107 bytes, and an engine's directories are
/// longer: so by the number of an open one, while that is held.
fn address(directory: &Path) -> Result<(UnixAddr, File)> {
    let open = File::open(directory);
    let open = open.with_context(|| format!("open({directory:?})"))?;
    let short = format!("/proc/self/fd/{}/{NAME}", open.as_raw_fd());
    Ok((UnixAddr::new(short.as_str())?, open))
}

/// In the first process, when it is ready: it waits until all is written down
/// on the host. Then it lives on its own, and waits at the door, if it has one.
///
/// # Errors
/// When whoever started us is gone before that.
pub fn part(runtime: &Channel, leave: &Leave) -> Result<Option<Channel>> {
    match runtime.receive().context("recvmsg() from the host")? {
        Some(Message::Go) => {}
        _ => bail!(GONE),
    }
    set_pdeathsig(None).context("prctl(PR_SET_PDEATHSIG, 0)")?;
    let Some(door) = &leave.door else { return Ok(None) };
    runtime.send(&Message::Starting).context("sendmsg()")?;
    door.wait().map(Some)
}
