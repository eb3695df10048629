//! A terminal that is made inside, and carried by somebody outside.

use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use mount_namespace::{Mount, NewRoot};
use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr,
    connect, sendmsg, setsockopt, socket, sockopt,
};
use nix::sys::stat::{fstat, makedev};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::{Gid, Uid, fchown};
use oci_spec::runtime::Process;
use runtime::{Feature, Inside};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Who takes our end, and what it shall be like.
#[derive(Debug)]
pub struct Console {
    socket: OwnedFd,
    size: Option<Winsize>,
    user: (Uid, Gid),
}

impl Console {
    /// `None` where no terminal is asked for.
    ///
    /// # Errors
    /// When there is nobody to take it.
    pub fn connect(
        process: &Process,
        socket: Option<&Path>,
    ) -> Result<Option<Console>> {
        let path = match (process.terminal().unwrap_or(false), socket) {
            (false, None) => return Ok(None),
            (true, Some(path)) => path,
            (true, None) => {
                bail!("process.terminal: name who takes it by --console-socket")
            }
            (false, Some(_)) => {
                bail!("--console-socket: process.terminal is not true")
            }
        };
        let socket = reach(path)
            .with_context(|| format!("--console-socket {path:?}"))?;
        let asked = process.console_size();
        let size = asked.map(|it| -> Result<Winsize> {
            Ok(Winsize {
                ws_row: it.height().try_into()?,
                ws_col: it.width().try_into()?,
                ws_xpixel: 0,
                ws_ypixel: 0,
            })
        });
        let size = size.transpose().context("process.consoleSize")?;
        let user = process.user();
        let user = (Uid::from_raw(user.uid()), Gid::from_raw(user.gid()));
        Ok(Some(Console { socket, size, user }))
    }

    /// In the new root, while its names can be looked up safely: a terminal of
    /// its own devpts. The far end is given away, and the near end returned.
    ///
    /// # Errors
    /// As open(2) and sendmsg(2).
    pub fn open(&self, container: &Inside, root: &NewRoot) -> Result<OwnedFd> {
        let terminal = self.open_quietly(root)?;
        let own = format!("/proc/self/fd/{}", terminal.as_raw_fd());
        let place = root.place(Path::new("/dev/console"), false)?;
        Mount::bind(Path::new(&own), MsFlags::empty()).make(
            container,
            place,
            "so that ttyname(3) finds the terminal",
        )?;
        Ok(terminal)
    }

    fn open_quietly(&self, root: &NewRoot) -> Result<OwnedFd> {
        let ptmx = root
            .existing(Path::new("/dev/pts/ptmx"))
            .or_else(|_| root.existing(Path::new("/dev/ptmx")))?;
        // Somebody else made the root directory: to open some devices is a deed.
        ensure!(
            fstat(&ptmx)?.st_rdev == makedev(5, 2),
            "/dev/ptmx makes no terminals: mount a devpts at /dev/pts"
        );
        let again = format!("/proc/self/fd/{}", ptmx.as_raw_fd());
        let master = File::options()
            .read(true)
            .write(true)
            .open(again)
            .context("open(ptmx)")?;
        unlockpt(&master).context("unlockpt()")?;
        let flags =
            OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal =
            ioctl_tiocgptpeer(&master, flags).context("ioctl(TIOCGPTPEER)")?;
        if let Some(size) = self.size.filter(|it| it.ws_row > 0) {
            tcsetwinsize(&master, size).context("ioctl(TIOCSWINSZ)")?;
        }
        let (uid, gid) = self.user;
        let _ = fchown(terminal.as_fd(), Some(uid), Some(gid));
        let one = [IoSlice::new(b"/dev/ptmx")];
        let rights = [master.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&rights)];
        sendmsg::<()>(
            self.socket.as_raw_fd(),
            &one,
            &rights,
            MsgFlags::empty(),
            None,
        )
        .context("sendmsg(SCM_RIGHTS) to --console-socket")?;
        Ok(terminal)
    }
}

/// Nobody waits for ever for somebody who listens, and takes nothing.
fn reach(path: &Path) -> Result<OwnedFd> {
    const PATIENCE: i64 = 2;
    let (unix, kind) = (AddressFamily::Unix, SockType::Stream);
    let socket = socket(unix, kind, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::seconds(PATIENCE))?;
    match connect(socket.as_raw_fd(), &UnixAddr::new(path)?) {
        Err(Errno::EAGAIN) => bail!("nobody takes a call there (EAGAIN)"),
        reached => reached.context("connect()")?,
    }
    Ok(socket)
}

/// For one more process in a container that is there.
impl Feature for Console {
    fn inside(&self, container: &mut Inside) -> Result<()> {
        container.console =
            Some(self.open_quietly(&NewRoot::ahead(container)?)?);
        Ok(())
    }
}
