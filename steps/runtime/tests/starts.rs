#![forbid(unsafe_code)]
//! A start is quick, and stays so: it makes few system calls. How many is the
//! same on a busy machine, where a time is not.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use testbed::{Step, needs};

testbed::main!(a_start_makes_few_system_calls);

/// So many system calls a start makes at most, with some room: the kernel's
/// tables are longer on one host than on another. They are those of the
/// runtime, from where it closes what it inherited, and of the first process,
/// up to its execve(2). How the C library gets its memory does not count.
const CEILINGS: [(&str, &[&str], usize); 10] = [
    ("01-chroot", &[], 136),
    ("02-uts-namespace", &[], 136),
    ("03-pid-namespace", &[], 136),
    ("04-mount-namespace", &[], 194), // where mknod is refused
    ("05-user-namespace", &[], 204),
    ("06-cgroups", &[], 300),
    ("07-overlayfs", &[], 312),
    ("08-networking", &["--network", "none"], 352),
    ("09-least-privilege", &["--network", "none"], 540),
    ("10-system-container", &["--network", "none"], 600),
];

/// Root: an ordinary user's ids are mapped by other programs. And where no
/// other container lives: from 06 on, a start looks at each.
fn a_start_makes_few_system_calls() {
    needs::disposable_host();
    needs::root();
    let strace = needs::tracer();
    // Of its own: elsewhere another build may exchange the default root.
    let cache = tempfile::tempdir().expect("a directory");
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&cache, open).expect("chmod");
    let count = |name, options| {
        let log = tempfile::NamedTempFile::new().expect("a file");
        let (strace, log) = (strace.display(), log.path());
        let trace = format!("exec {strace} -f -qq -o {} \"$@\"", log.display());
        let mut step = Step::new(name).args(options).args(["true"]);
        step.command().env("XDG_CACHE_HOME", cache.path());
        let output = step.in_shell(&trace).output();
        assert!(output.status.success(), "{output:?}");
        calls(&fs::read_to_string(log).expect("the trace"))
    };
    let mut too_many = vec![];
    for (name, options, ceiling) in CEILINGS {
        // The first one makes the root directory; another may wait for a lock.
        let least = (0..4).map(|_| count(name, options)).min().expect("one");
        println!("{name:20} {least:3} system calls, at most {ceiling}");
        // A trace that is not understood is no proof of a quick start.
        assert!(least > ceiling / 2, "{name}: {least} calls only");
        if least > ceiling {
            too_many.push(format!("{name}: {least}, at most {ceiling}"));
        }
    }
    assert!(too_many.is_empty(), "{too_many:?}");
}

const MEMORY: [&str; 5] = ["brk(", "mmap(", "mprotect(", "mremap(", "munmap("];

/// Those of the runtime and of its first child.
fn calls(trace: &str) -> usize {
    let begun = trace.lines().skip_while(|it| !it.contains(" close_range("));
    let mut processes = vec![];
    let mut count = 0;
    for line in begun {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        if !processes.contains(&pid) && processes.len() < 2 {
            processes.push(pid);
        }
        let call = call.trim_start();
        let counts = !call.starts_with("<...")
            && !MEMORY.iter().any(|memory| call.starts_with(memory));
        if processes.contains(&pid) && counts {
            count += 1;
        }
        if processes.get(1) == Some(&pid) && call.contains("execve(") {
            break;
        }
    }
    count
}
