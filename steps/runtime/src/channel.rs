//! The line between the runtime and the container's first process.
//!
//! Both sides must wait for each other: the child until its ids are mapped and
//! its cgroup exists, the parent until the command really started. What they
//! say has a type. A line that ends without a word (EOF) says only that the
//! other side is dead, and never reads as "go on".

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, socketpair,
};

/// One thing that one side tells the other.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// Runtime to child: everything on the host is ready.
    Go,
    /// Child to runtime: act on the host, and say Go again.
    Halfway,
    /// Child to runtime: the next system call is execve(2).
    Starting,
    /// Child to runtime: it could not go on. With the exit status that the
    /// runtime shall have, and the whole error.
    Failed(u8, String),
}

/// The longest error text that is passed on. Far below a socket's buffer, so
/// that to say it never blocks.
const LONGEST: usize = 16 * 1024;

impl Message {
    fn encode(&self) -> Vec<u8> {
        match self {
            Message::Go => vec![b'G'],
            Message::Halfway => vec![b'H'],
            Message::Starting => vec![b'S'],
            Message::Failed(status, text) => {
                let text = text.as_bytes();
                [&[b'F', *status], &text[..text.len().min(LONGEST)]].concat()
            }
        }
    }

    fn decode(bytes: &[u8]) -> Option<Message> {
        match bytes {
            b"G" => Some(Message::Go),
            b"H" => Some(Message::Halfway),
            b"S" => Some(Message::Starting),
            [b'F', status, text @ ..] => Some(Message::Failed(
                *status,
                String::from_utf8_lossy(text).into_owned(),
            )),
            _ => None,
        }
    }
}

/// One end of the line.
#[derive(Debug)]
pub struct Channel(pub(crate) OwnedFd);

impl Channel {
    /// Both ends. SOCK_SEQPACKET keeps messages whole; SOCK_CLOEXEC closes the
    /// child's end at the moment its exec succeeds.
    ///
    /// # Errors
    /// As socketpair(2).
    pub fn pair() -> nix::Result<(Channel, Channel)> {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        Ok((Channel(ours), Channel(theirs)))
    }

    /// # Errors
    /// As sendmsg(2); `EPIPE` when the other side is gone.
    pub fn send(&self, message: &Message) -> nix::Result<()> {
        let bytes = message.encode();
        let one = [IoSlice::new(&bytes)];
        sendmsg::<()>(
            self.0.as_raw_fd(),
            &one,
            &[],
            MsgFlags::MSG_NOSIGNAL,
            None,
        )
        .map(drop)
    }

    /// Waits for the next message; `None` when the other side is gone.
    ///
    /// # Errors
    /// As recvmsg(2); `EBADMSG` for a message of no known type.
    pub fn receive(&self) -> nix::Result<Option<Message>> {
        let mut bytes = vec![0; LONGEST + 2];
        let length = loop {
            let mut one = [IoSliceMut::new(&mut bytes)];
            let flags = MsgFlags::empty();
            match recvmsg::<()>(self.0.as_raw_fd(), &mut one, None, flags) {
                // A side that dies with a message unread resets the line, which
                // is told once, and before what it said itself.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                heard => break heard?.bytes,
            }
        };
        match &bytes[..length] {
            [] => Ok(None),
            bytes => Message::decode(bytes).map(Some).ok_or(Errno::EBADMSG),
        }
    }
}

impl Channel {
    /// Whether the other side is gone. What it said before still counts.
    ///
    /// # Errors
    /// As poll(2).
    pub fn is_closed(&self) -> nix::Result<bool> {
        Ok(self.events()?.contains(PollFlags::POLLHUP))
    }

    /// Whether there is something to hear now: a word, or that the other side
    /// is gone.
    ///
    /// # Errors
    /// As poll(2).
    pub fn is_ready(&self) -> nix::Result<bool> {
        Ok(!self.events()?.is_empty())
    }

    fn events(&self) -> nix::Result<PollFlags> {
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO)?;
        Ok(fds[0].revents().unwrap_or(PollFlags::empty()))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_as_it_was_sent() {
        let (ours, theirs) = Channel::pair().unwrap();
        for message in [
            Message::Go,
            Message::Halfway,
            Message::Starting,
            Message::Failed(127, "no such thing".into()),
        ] {
            ours.send(&message).unwrap();
            assert_eq!(theirs.receive().unwrap(), Some(message));
        }
    }

    #[test]
    fn a_closed_line_is_no_message() {
        let (ours, theirs) = Channel::pair().unwrap();
        assert!(!theirs.is_closed().unwrap());
        drop(ours);
        assert!(theirs.is_closed().unwrap());
        assert_eq!(theirs.receive().unwrap(), None);
        assert_eq!(theirs.send(&Message::Starting), Err(Errno::EPIPE));
    }

    #[test]
    fn the_last_words_of_one_who_did_not_listen_arrive() {
        let (ours, theirs) = Channel::pair().unwrap();
        ours.send(&Message::Go).unwrap();
        theirs.send(&Message::Failed(125, "why".into())).unwrap();
        drop(theirs);
        let why = Message::Failed(125, "why".into());
        assert_eq!(ours.receive().unwrap(), Some(why));
        assert_eq!(ours.receive().unwrap(), None);
    }

    #[test]
    fn an_error_longer_than_a_message_is_cut_and_arrives() {
        let (ours, theirs) = Channel::pair().unwrap();
        ours.send(&Message::Failed(125, "x".repeat(10 * LONGEST))).unwrap();
        let Some(Message::Failed(125, text)) = theirs.receive().unwrap() else {
            panic!("not the message that was sent")
        };
        assert_eq!(text.len(), LONGEST);
    }

    #[test]
    fn noise_is_an_error_and_not_a_message() {
        let (ours, theirs) = Channel::pair().unwrap();
        nix::unistd::write(&ours.0, b"go").unwrap();
        assert_eq!(theirs.receive(), Err(Errno::EBADMSG));
    }
}
