#![forbid(unsafe_code)]
//! Runs a step's binary and looks at it from outside: what the kernel says of
//! it in /proc, not what it says of itself.
//!
//! A test binary is a list of claims, each a function that panics if the claim
//! does not hold, and that calls one of [`needs`] first if it can't be judged
//! everywhere:
//!
//! ```ignore
//! testbed::main!(the_host_keeps_its_name, pid_1_reaps_orphans);
//!
//! fn the_host_keeps_its_name() {
//!     needs::root();
//!     let container = Step::new("02-uts-namespace").args(["--hostname", "box"]).start();
//!     assert_ne!(proc::namespace(container.pid(), "uts"), proc::own_namespace("uts"));
//! }
//! ```
//!
//! Claims of one binary run one after the other: each may compare the whole
//! host before and after.

mod claims;
pub mod host;
pub mod machine;
mod moving;
pub mod needs;
mod patience;
pub mod proc;
pub mod record;
mod said;
pub mod stand_in;
mod step;
pub mod story;
mod terminal;
pub mod watch;

pub use claims::run;
pub use moving::Moving;
pub use needs::skip;
pub use patience::{crowd, eventually, patience};
pub use proc::token;
pub use step::{Running, Step, binary, checkout, copy_default_root, slowness};
pub use terminal::Terminal;

/// The steps, the first one first.
pub const ALL_STEPS: [&str; 10] = [
    "01-chroot",
    "02-uts-namespace",
    "03-pid-namespace",
    "04-mount-namespace",
    "05-user-namespace",
    "06-cgroups",
    "07-overlayfs",
    "08-networking",
    "09-least-privilege",
    "10-system-container",
];

/// Those that share one contract on the command line, whatever kernel features
/// they use.
pub const STEPS: [&str; 4] =
    [ALL_STEPS[0], ALL_STEPS[1], ALL_STEPS[2], ALL_STEPS[3]];

/// The claims of a test binary, and its `main`. One that is forgotten here is
/// dead code, which the compiler reports.
#[macro_export]
macro_rules! main {
    ($($claim:ident),+ $(,)?) => {
        fn main() -> std::process::ExitCode {
            $crate::run(&[$((stringify!($claim), $claim as fn())),+])
        }
    };
}
