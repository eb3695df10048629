//! The command line of the ecosystem: no document says what it is, but every
//! engine calls it so.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// In the form of runc's: docker reads it. Whoever has no commit to name, such as
/// Debian, repeats the version.
const VERSION: &str = concat!(
    "version ",
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("CARGO_PKG_VERSION"),
    "\nspec: 1.2.1"
);

/// Step 11: a runtime for docker, containerd and podman
#[derive(Debug, Parser)]
#[command(version = VERSION, disable_version_flag = true, arg_required_else_help = true)]
pub struct Cli {
    /// Where the state of containers is kept
    #[arg(long, global = true, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// Errors go to this file, too
    #[arg(long, global = true, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// How they are written there: text or json
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub log_format: String,

    /// Have systemd make the cgroup: cgroupsPath is SLICE:PREFIX:NAME
    #[arg(long, global = true)]
    pub systemd_cgroup: bool,

    /// Who makes the cgroup: we, or nobody (podman's --cgroups=disabled)
    #[arg(long, global = true, value_name = "MANAGER", value_parser = ["cgroupfs", "disabled"])]
    pub cgroup_manager: Option<String>,

    /// Taken, and without effect: nothing more is told
    #[arg(long, global = true)]
    pub debug: bool,

    /// Taken, and without effect: who we are is seen
    #[arg(long, value_name = "auto|true|false")]
    pub rootless: Option<String>,

    /// Print the version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    pub version: Option<bool>,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What engines ask for, and people.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a container, whose command waits for `start`
    Create(Create),
    /// Let the command of a created container begin
    Start {
        /// Its name
        id: String,
    },
    /// Create, start, and wait for the end
    Run(Run),
    /// Print the state of a container
    State {
        /// Its name
        id: String,
    },
    /// List all containers
    List(List),
    /// Send a signal to a container's first process
    Kill(Kill),
    /// Take away what is left of a container
    Delete(Delete),
    /// Run one more process in a container
    Exec(Exec),
    /// List the processes of a container
    Ps(Ps),
    /// Stop all processes of a container for a while
    Pause {
        /// Its name
        id: String,
    },
    /// Let them go on
    Resume {
        /// Its name
        id: String,
    },
    /// Change the limits of a container
    Update(Update),
    /// Write a config.json to begin with
    Spec(SpecArguments),
    /// Get an image from a registry
    Pull(Pull),
    /// Make a bundle of an image
    Unpack(Unpack),
    /// Print what this runtime knows
    Features,
}

/// `create`
#[derive(Debug, Args)]
pub struct Create {
    /// The directory with the config.json
    #[arg(short, long, default_value = ".")]
    pub bundle: PathBuf,
    /// Who takes the terminal: a unix socket
    #[arg(long)]
    pub console_socket: Option<PathBuf>,
    /// Where to write the number of the first process
    #[arg(long)]
    pub pid_file: Option<PathBuf>,
    /// Pass on so many descriptors, from 3 on
    #[arg(long, default_value_t = 0)]
    pub preserve_fds: u32,
    /// Its name
    pub id: String,
}

/// `run`
#[derive(Debug, Args)]
pub struct Run {
    /// As `create`.
    #[command(flatten)]
    pub create: Create,
    /// Do not wait for the end
    #[arg(short, long)]
    pub detach: bool,
    /// Keep the container when it has ended
    #[arg(long)]
    pub keep: bool,
}

/// `list`
#[derive(Debug, Args)]
pub struct List {
    /// table or json
    #[arg(short, long, default_value = "table")]
    pub format: String,
    /// Only their names
    #[arg(short, long)]
    pub quiet: bool,
}

/// `kill`
#[derive(Debug, Args)]
pub struct Kill {
    /// To all its processes
    #[arg(short, long)]
    pub all: bool,
    /// Its name
    pub id: String,
    /// By name or number
    #[arg(default_value = "TERM")]
    pub signal: String,
}

/// `delete`
#[derive(Debug, Args)]
pub struct Delete {
    /// Kill it first; that it is not there is no error
    #[arg(short, long)]
    pub force: bool,
    /// Its name
    pub id: String,
}

/// `exec`
#[derive(Debug, Args)]
pub struct Exec {
    /// A file with the process, as in a config.json
    #[arg(short, long)]
    pub process: Option<PathBuf>,
    /// Who takes the terminal: a unix socket
    #[arg(long)]
    pub console_socket: Option<PathBuf>,
    /// Where to write the number of the process
    #[arg(long)]
    pub pid_file: Option<PathBuf>,
    /// Do not wait for the end
    #[arg(short, long)]
    pub detach: bool,
    /// With a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Working directory
    #[arg(long)]
    pub cwd: Option<PathBuf>,
    /// One more variable
    #[arg(short, long)]
    pub env: Vec<String>,
    /// `UID[:GID]`
    #[arg(short, long)]
    pub user: Option<String>,
    /// One more group
    #[arg(short = 'g', long)]
    pub additional_gids: Vec<u32>,
    /// One more capability
    #[arg(short, long)]
    pub cap: Vec<String>,
    /// Without a way to more privileges
    #[arg(long)]
    pub no_new_privs: bool,
    /// Pass on so many descriptors, from 3 on
    #[arg(long, default_value_t = 0)]
    pub preserve_fds: u32,
    /// Its name
    pub id: String,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// `ps`
#[derive(Debug, Args)]
pub struct Ps {
    /// table or json
    #[arg(short, long, default_value = "table")]
    pub format: String,
    /// Its name
    pub id: String,
    /// Options for ps(1)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub options: Vec<String>,
}

/// `update`
#[derive(Debug, Args)]
pub struct Update {
    /// A file with the resources, as in a config.json; - is stdin
    #[arg(short, long)]
    pub resources: Option<PathBuf>,
    /// Memory, in bytes
    #[arg(long)]
    pub memory: Option<i64>,
    /// Processor time in a period, in microseconds
    #[arg(long)]
    pub cpu_quota: Option<i64>,
    /// The period
    #[arg(long)]
    pub cpu_period: Option<u64>,
    /// Processor time beside others
    #[arg(long)]
    pub cpu_share: Option<u64>,
    /// Processes and threads
    #[arg(long)]
    pub pids_limit: Option<i64>,
    /// Its name
    pub id: String,
}

/// `spec`
#[derive(Debug, Args)]
pub struct SpecArguments {
    /// Where to
    #[arg(short, long, default_value = ".")]
    pub bundle: PathBuf,
    /// For a container of an ordinary user
    #[arg(long = "rootless")]
    pub for_a_user: bool,
}

/// `pull`
#[derive(Debug, Args)]
pub struct Pull {
    /// `HOST[:PORT]/NAME[:TAG]`, or `HOST[:PORT]/NAME@DIGEST`
    #[arg(value_name = "REF")]
    pub image: String,
    /// The directory to make: an OCI layout
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// How long a registry may say nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub timeout: u64,
}

/// `unpack`
#[derive(Debug, Args)]
pub struct Unpack {
    /// An image: an OCI layout, or a tar file of `docker save`
    #[arg(value_name = "DIR")]
    pub image: PathBuf,
    /// The directory to make
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
}
