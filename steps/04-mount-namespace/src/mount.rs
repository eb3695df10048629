//! mount(2), told as it is called.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use runtime::{Failure, Inside, shell};

use crate::new_root::Target;

/// The arguments of mount(2), but for the target.
#[derive(Debug)]
pub struct Mount<'a> {
    source: &'a OsStr,
    kind: Option<&'a str>,
    flags: MsFlags,
    data: &'a OsStr,
}

impl<'a> Mount<'a> {
    /// A new instance of a filesystem that the kernel makes up, such as proc.
    /// What is special about it goes into `data`.
    pub fn new(
        kind: &'a str,
        flags: MsFlags,
        data: &'a (impl AsRef<OsStr> + ?Sized),
    ) -> Mount<'a> {
        let data = data.as_ref();
        Mount { source: kind.as_ref(), kind: Some(kind), flags, data }
    }

    /// What already lies at `source`, at one more place.
    pub fn bind(source: &'a Path, flags: MsFlags) -> Mount<'a> {
        Mount {
            source: source.as_ref(),
            kind: None,
            flags: flags | MsFlags::MS_BIND,
            data: OsStr::new(""),
        }
    }

    /// Not a mount, but other flags for the one that is there.
    pub fn change(flags: MsFlags) -> Mount<'a> {
        let nothing = OsStr::new("");
        Mount { source: nothing, kind: None, flags, data: nothing }
    }

    /// Mounts it, on a place that a name or a descriptor says.
    pub fn make(
        self,
        container: &Inside,
        target: impl Into<Target>,
        why: &str,
    ) -> Result<(), Failure> {
        let target = target.into();
        let Mount { source, kind, flags, data } = self;
        container.call(
            self.call(target.shown()),
            why,
            self.shell(target.shown()),
            || mount(Some(source), &target.path(), kind, flags, Some(data)),
        )
    }

    fn call(&self, target: &Path) -> String {
        let flags: Vec<_> =
            self.flags.iter_names().map(|(name, _)| name).collect();
        let mut arguments =
            vec![format!("{:?}", self.source), format!("{target:?}")];
        arguments.extend(self.kind.map(|kind| format!("{kind:?}")));
        arguments.push(flags.join(" | "));
        if !self.data.is_empty() {
            arguments.push(format!("{:?}", self.data));
        }
        arguments.retain(|argument| !argument.is_empty());
        format!("mount({})", arguments.join(", "))
    }

    /// mount(8): flags are options there, and the propagation has its own words.
    fn shell(&self, target: &Path) -> String {
        let has = |flag| self.flags.contains(flag);
        let mut words: Vec<OsString> = vec!["mount".into()];
        if has(MsFlags::MS_PRIVATE) {
            words.extend(["--make-rprivate".into(), target.into()]);
            return shell(words);
        }
        if has(MsFlags::MS_BIND) && !has(MsFlags::MS_REMOUNT) {
            words.push(
                if has(MsFlags::MS_REC) { "--rbind" } else { "--bind" }.into(),
            );
        }
        words.extend(
            self.kind.into_iter().flat_map(|kind| ["-t".into(), kind.into()]),
        );
        let mut options: Vec<&OsStr> = OPTIONS
            .iter()
            .filter(|(_, flag)| has(*flag))
            .map(|o| o.0.as_ref())
            .collect();
        if has(MsFlags::MS_REMOUNT) {
            options.insert(0, "remount,bind".as_ref());
        }
        options.extend(Some(self.data).filter(|data| !data.is_empty()));
        if !options.is_empty() {
            words.extend(["-o".into(), options.join(OsStr::new(","))]);
        }
        words.extend(
            [self.source.into(), target.into()]
                .into_iter()
                .filter(|w: &OsString| !w.is_empty()),
        );
        shell(words)
    }
}

/// A mount's options as mountinfo and mount(8) write them.
const OPTIONS: [(&str, MsFlags); 7] = [
    ("ro", MsFlags::MS_RDONLY),
    ("nosuid", MsFlags::MS_NOSUID),
    ("nodev", MsFlags::MS_NODEV),
    ("noexec", MsFlags::MS_NOEXEC),
    ("noatime", MsFlags::MS_NOATIME),
    ("nodiratime", MsFlags::MS_NODIRATIME),
    ("relatime", MsFlags::MS_RELATIME),
];

/// Makes a mount read-only; with MS_REC all mounts below it too. The kernel's
/// own remount takes no MS_REC: it changes one mount (mount(2)), so a bind
/// mount of a tree has holes until each one is told.
///
/// What a mount has of nosuid, nodev and the like must be said again: else the
/// remount would take it away, which in a user namespace is refused (EPERM).
pub fn remount_read_only(
    container: &Inside,
    target: impl Into<Target>,
    depth: MsFlags,
    why: &str,
) -> Result<(), Failure> {
    let target = target.into();
    let top = fs::canonicalize(target.path());
    let top = top.map_err(|error| {
        Failure::of(format!("realpath({:?})", target.shown()), error)
    })?;
    for (place, options) in mounts_below(&top)? {
        if place == top || depth.contains(MsFlags::MS_REC) {
            let flags = options
                | MsFlags::MS_BIND
                | MsFlags::MS_REMOUNT
                | MsFlags::MS_RDONLY;
            Mount::change(flags).make(container, &place, why)?;
        }
    }
    Ok(())
}

/// The mounts at or below a directory, as mountinfo lists them
/// (proc_pid_mountinfo(5)): field 5 is the place, field 6 the options. Of those
/// that lie over each other a name means the topmost, which comes last.
fn mounts_below(top: &Path) -> Result<BTreeMap<PathBuf, MsFlags>, Failure> {
    let table = fs::read("/proc/self/mountinfo").map_err(|error| {
        Failure::of("read(\"/proc/self/mountinfo\")", error)
    })?;
    let mounts = table.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|&byte| byte == b' ').skip(4);
        Some((unescape(fields.next()?), flags_of(fields.next()?)))
    });
    Ok(mounts.filter(|(place, _)| place.starts_with(top)).collect())
}

fn flags_of(options: &[u8]) -> MsFlags {
    let options = String::from_utf8_lossy(options);
    let known = |word| {
        OPTIONS.iter().find(|(name, _)| *name == word).map(|(_, flag)| *flag)
    };
    options.split(',').filter_map(known).collect()
}

/// The kernel writes space, tab, line feed and backslash as three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let octal =
            after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped =
            octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (byte, escaped) {
            (b'\\', Some(escaped)) => {
                bytes.push(escaped);
                rest = &after[3..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_place_with_a_space_or_a_line_feed_is_read_as_it_is() {
        assert_eq!(unescape(b"/a\\040b\\012c\\134d"), Path::new("/a b\nc\\d"));
        assert_eq!(unescape(b"/plain\\"), Path::new("/plain\\"));
    }

    #[test]
    fn options_of_a_mount_become_its_flags() {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_RELATIME;
        assert_eq!(flags_of(b"rw,nosuid,relatime,idmapped"), flags);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_the_kernel_escapes_is_read_as_it_was(place: Vec<u8>) {
            let escape = |byte: &u8| match byte {
                b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
                byte => vec![*byte],
            };
            let written: Vec<u8> = place.iter().flat_map(escape).collect();
            prop_assert_eq!(unescape(&written).into_os_string().into_vec(), place);
        }

        #[test]
        fn nothing_makes_a_reader_of_mounts_fail(line: Vec<u8>) {
            prop_assert!(unescape(&line).as_os_str().len() <= line.len());
            let _ = flags_of(&line);
        }
    }
}
