//! A line on both sides of a clone(2).

use std::cell::RefCell;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use crate::channel::{Channel, Message};
use crate::failure::Failure;

/// Both ends, made before clone(2). The child gets a copy of all that is open:
/// while it has one of its parent's end, the line never ends, whatever becomes
/// of the parent. So each side closes what is not its own.
#[derive(Debug)]
pub struct Line {
    outer: RefCell<Option<Channel>>,
    inner: Channel,
}

impl Line {
    /// # Errors
    /// As socketpair(2).
    pub fn new() -> Result<Line> {
        let (ours, inner) = Channel::pair().context("socketpair()")?;
        Ok(Line { outer: RefCell::new(Some(ours)), inner })
    }

    /// In the parent, once the child is there: its end, and no other.
    ///
    /// # Errors
    /// In the child, which has closed that end.
    pub fn of_the_parent(self) -> Result<Channel> {
        self.outer.take().context("the parent's end is closed here")
    }

    /// In the parent, of a child that is gone: why.
    pub(crate) fn last_words(&self) -> Option<Failure> {
        let ours = self.outer.borrow();
        let ours = ours.as_ref()?;
        if !ours.is_ready().ok()? {
            return None;
        }
        ours.heed().err()?.downcast().ok()
    }

    /// In the child, which closes the parent's end.
    pub fn of_the_child(&self) -> &Channel {
        drop(self.outer.take());
        &self.inner
    }

    /// In the child, which waits until its parent says that all it can't do
    /// itself is done: its ids are mapped, its cable is there. It does not
    /// outlive its parent meanwhile, nor later.
    ///
    /// # Errors
    /// When the parent is gone.
    pub fn wait_for_go(&self) -> Result<()> {
        self.of_the_child().die_with_the_other_side()?;
        match self.inner.receive().context("recvmsg()")? {
            Some(Message::Go) => Ok(()),
            _ => bail!(GONE),
        }
    }

    /// In the parent: the child may go on. While the parent has what it gets
    /// here, the child knows that it lives.
    ///
    /// # Errors
    /// As sendmsg(2), but for a child that is gone: it has said why.
    pub fn go(self) -> Result<Channel> {
        let child = self.of_the_parent()?;
        match child.send(&Message::Go) {
            Ok(()) | Err(Errno::EPIPE) => Ok(child),
            Err(errno) => Err(errno).context("sendmsg()"),
        }
    }
}

impl Channel {
    /// In the parent: hears what the child says next, or that it says nothing
    /// more. What it could not do is our own failure.
    ///
    /// # Errors
    /// That one; or as recvmsg(2).
    pub fn heed(&self) -> Result<()> {
        match self.receive().context("recvmsg()")? {
            Some(Message::Failed(status, message)) => {
                bail!(Failure::Told { status, message })
            }
            _ => Ok(()),
        }
    }

    /// From now on the kernel kills us when our parent dies, who has the other
    /// end. A change of ids takes this back (prctl(2)), so it is said again
    /// after each. If it died before it was said, its end is closed.
    ///
    /// # Errors
    /// As prctl(2); when it is gone already.
    pub fn die_with_the_other_side(&self) -> Result<()> {
        set_pdeathsig(Signal::SIGKILL)
            .context("prctl(PR_SET_PDEATHSIG, SIGKILL)")?;
        if self.is_closed().context("poll() of the line to it")? {
            bail!(GONE);
        }
        Ok(())
    }
}

pub(crate) const GONE: &str = "whoever started us is gone";
