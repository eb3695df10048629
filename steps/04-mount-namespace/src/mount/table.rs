//! The table of mounts, as the kernel tells it (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use runtime::Failure;

/// A line of it, as far as anybody here asks.
#[derive(Debug)]
pub struct Mounted {
    /// The number of the mount in which this one lies.
    pub parent: String,
    /// Where it lies, seen from our root.
    pub place: PathBuf,
}

/// All mounts of our namespace that our root shows.
///
/// # Errors
/// As read(2).
pub fn mounts() -> Result<Vec<Mounted>, Failure> {
    const FILE: &str = "/proc/self/mountinfo";
    let table = fs::read(FILE)
        .map_err(|error| Failure::of(format!("read({FILE:?})"), error))?;
    let mounted = |line: &[u8]| {
        let mut fields = line.split(|&byte| byte == b' ').skip(1);
        let parent = String::from_utf8_lossy(fields.next()?).into_owned();
        Some(Mounted { parent, place: unescape(fields.nth(2)?) })
    };
    Ok(table.split(|&byte| byte == b'\n').filter_map(mounted).collect())
}

/// A space is written as \040.
fn unescape(mut field: &[u8]) -> PathBuf {
    let mut bytes = Vec::new();
    while let [first, rest @ ..] = field {
        let number = rest.get(..3).and_then(|it| std::str::from_utf8(it).ok());
        let number = number.and_then(|it| u8::from_str_radix(it, 8).ok());
        let (byte, length) = match (first, number) {
            (b'\\', Some(byte)) => (byte, 3),
            _ => (*first, 0),
        };
        bytes.push(byte);
        field = &rest[length..];
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_may_have_spaces_and_backslashes() {
        let place = unescape(br"/a\040b\134040/\xyz\04");
        assert_eq!(place, PathBuf::from(r"/a b\040/\xyz\04"));
    }
}
