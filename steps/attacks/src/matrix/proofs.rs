//! How each attack is proven: where there is something to attack, and by which
//! function it is tried and seen.

use attacks::{Attack, StoppedBy};

use crate::places::{Impossible, Place, Verdict, is_disposable, need_command};
use crate::{by_hand, doors, files, handed_over, ipc, keys, layers, limits};
use crate::{machine, mounts, network, powers, processes, users};

use testbed::needs;

/// What an attack meets outside the steps.
#[derive(Debug, Clone, Copy)]
pub enum Outside {
    /// It works against the host itself.
    Host,
    /// It works in a container made by hand, with a well-known mistake.
    ByHand(&'static str),
    /// There is nothing to break out of.
    Nothing,
}

pub struct Proof {
    pub attack: &'static str,
    pub outside: Outside,
    /// The first step with something to attack, and what is missing below it.
    pub since: Option<(usize, &'static str)>,
    /// May be tried on a host that nobody wants broken, even as its root.
    harmless: bool,
    /// Two at once would see each other.
    pub changes_the_host: bool,
    /// It harms a whole machine: only the lab's will do, which is thrown away.
    pub lab_only: bool,
    /// What step 09 has to be told for it to work there as well.
    pub given_back: Option<&'static [&'static str]>,
    run: fn(Place) -> Verdict,
}

impl Proof {
    const fn new(
        attack: &'static str,
        outside: Outside,
        run: fn(Place) -> Verdict,
    ) -> Proof {
        Proof {
            attack,
            outside,
            since: None,
            harmless: false,
            changes_the_host: false,
            lab_only: false,
            given_back: None,
            run,
        }
    }

    const fn since(mut self, step: usize, lacks: &'static str) -> Proof {
        self.since = Some((step, lacks));
        self
    }

    const fn harmless(mut self) -> Proof {
        self.harmless = true;
        self
    }

    const fn one_by_one(mut self) -> Proof {
        self.changes_the_host = true;
        self
    }

    /// It changes something that a machine has only once.
    const fn lab_only(mut self) -> Proof {
        self.lab_only = true;
        self.changes_the_host = true;
        self
    }

    const fn works_with(mut self, options: &'static [&'static str]) -> Proof {
        self.given_back = Some(options);
        self
    }

    pub fn attack(&self) -> &'static Attack {
        attacks::find(self.attack).expect("an attack of this name")
    }

    /// What is missing at this place, if there is nothing to attack.
    pub fn nothing_at(&self, step: usize) -> Option<&'static str> {
        match (step, self.outside, self.since) {
            (0, Outside::Nothing, _) => {
                Some("without a container there is nothing to break out of")
            }
            (1.., _, Some((since, lacks))) if step < since => Some(lacks),
            _ => None,
        }
    }

    /// Whether it works there, as the attack's own data says.
    pub fn works_at(&self, place: Place) -> bool {
        match self.attack().stopped {
            _ if place.step == 0 => true,
            _ if self.again_at(place.step).is_some() => true,
            StoppedBy::Runtime => false,
            StoppedBy::Step(from) => place.step < usize::from(from),
            StoppedBy::Option(..) => !place.with_option,
        }
    }

    /// Which wall holds in this step, if it lets the attack through again.
    pub fn again_at(&self, step: usize) -> Option<&'static str> {
        self.attack().again_in_10().filter(|_| step >= 10)
    }

    /// The option that stops it in this step. Without it the attack works.
    pub fn option_at(&self, step: usize) -> Option<&'static str> {
        match self.attack().stopped {
            StoppedBy::Option(from, option) if step >= usize::from(from) => {
                Some(option)
            }
            _ => None,
        }
    }

    /// Tries it there, and looks from outside.
    pub fn run(&self, place: Place) -> Verdict {
        let root = needs::is_root();
        let refuse = |reason: &str| Err(Impossible(reason.into()));
        match place.step {
            _ if self.lab_only && !needs::in_the_lab() => {
                refuse("this harms a machine: only in the lab")
            }
            0..5 if !root => refuse("below step 05, only root can start it"),
            _ if root && !is_disposable() && !self.harmless => {
                refuse("this host may not be broken: use the playground")
            }
            0 => {
                need_command("unshare")?;
                (self.run)(place)
            }
            _ => (self.run)(place),
        }
    }
}

const NO_INIT: &str = "the host's own init waits for orphans, and the command \
                       is no PID 1";
const NO_VOLUMES: &str = "there are no volumes";
const NO_MOUNTS: &str = "nothing is mounted, and no root pivoted";

const ADMIN: &[&str] = &["--cap-add=SYS_ADMIN"];
const NO_FILTER: &[&str] = &["--security-opt=seccomp=unconfined"];
const NEW_PRIVILEGES: &[&str] = &["--security-opt=no-new-privileges=false"];
const UNCOVERED: &str = "--security-opt=systempaths=unconfined";
const NO_TABLE: &str = "there is no table of mounts of its own: what is \
                        mounted shows on the host (leak-mount)";
const NO_NEIGHBOURS: &str = "there is no bridge, and there are no neighbours";
const NO_NETWORK: &str = "the network is the host's";
const ONLY_ROOT: &str = "there is no -u: whoever is inside is root";
const NOTHING_TO_DIVIDE: &str = "its cgroup is shown read-only (see-cgroup)";
const IN_A_CHROOT: &str = "in a chroot the kernel makes no user namespace";
const NO_SYS: &str = "/sys is empty: it shows to whoever owns a network";

/// In the order of the attacks.
pub const PROOFS: &[Proof] =
    &{
        use Outside::{ByHand, Host, Nothing};
        [
        Proof::new(
            "leaked-directory",
            ByHand("chroot(1), with a directory of the host left open"),
            by_hand::leaked_directory,
        ),
        Proof::new(
            "leaked-workdir",
            ByHand("chroot(1), with a directory of the host left open"),
            by_hand::leaked_workdir,
        ),
        Proof::new(
            "type-into-terminal",
            ByHand("chroot(1), on the host's terminal"),
            by_hand::type_into_terminal,
        ),
        Proof::new("read-host-file", Host, files::read_host_file),
        Proof::new("rename-host", Host, ipc::rename_host).one_by_one(),
        Proof::new("find-shared-memory", Host, ipc::find_shared_memory),
        Proof::new("post-to-queue", Host, ipc::post_to_queue),
        Proof::new("kill-host", Host, processes::kill_host),
        Proof::new("trace-host", Host, processes::trace_host),
        Proof::new("enter-host", Nothing, processes::enter_host),
        Proof::new("escape-proc", Nothing, files::escape_proc),
        Proof::new("outlive", Nothing, processes::outlive),
        Proof::new("zombies", Nothing, processes::zombies).since(3, NO_INIT),
        Proof::new("ignore-term", Nothing, processes::ignore_term)
            .since(3, NO_INIT),
        Proof::new("escape-chroot", Nothing, files::escape_chroot),
        Proof::new(
            "old-root",
            ByHand("pivot_root(8), and no umount after it"),
            mounts::old_root,
        )
        .since(4, NO_MOUNTS),
        Proof::new(
            "link-out",
            ByHand("mount(8), which follows links"),
            mounts::link_out,
        )
        .since(4, NO_MOUNTS),
        Proof::new("leak-mount", Host, mounts::leak_mount).one_by_one(),
        Proof::new("write-volume", Nothing, mounts::write_volume)
            .since(4, NO_VOLUMES),
        Proof::new("remount-locked", Nothing, mounts::remount_locked)
            .since(4, NO_VOLUMES),
        Proof::new("remount-volume", Nothing, mounts::remount_volume)
            .since(4, NO_VOLUMES),
        Proof::new("own-as-root", Host, users::own_as_root),
        Proof::new("read-disk", Host, users::read_disk).harmless(),
        Proof::new("read-kernel-log", Host, users::read_kernel_log).harmless(),
        Proof::new("write-sysctl", Host, users::write_sysctl).harmless(),
        Proof::new("core-pattern", Host, machine::core_pattern).lab_only(),
        Proof::new("sysrq", Host, machine::sysrq).lab_only(),
        Proof::new("set-clock", Host, machine::set_clock).lab_only(),
        Proof::new("swapon", Host, machine::swapon).lab_only(),
        Proof::new("kexec", Host, machine::kexec).lab_only(),
        Proof::new("load-module", Host, machine::load_module).lab_only(),
        Proof::new(
            "drop-group",
            ByHand("a user namespace whose map somebody with privileges wrote, \
                    and denied nothing"),
            users::drop_group,
        )
        .since(5, "only root can start it, and no group keeps root out"),
        Proof::new("overwrite-runtime", Nothing, users::overwrite_runtime),
        Proof::new("map-outer-id", Host, handed_over::map_outer_id)
            .harmless()
            .since(4, IN_A_CHROOT),
        Proof::new("hog-memory", Nothing, limits::hog_memory),
        Proof::new("fork-bomb", Nothing, limits::fork_bomb),
        Proof::new("hog-cpu", Nothing, limits::hog_cpu),
        Proof::new("see-cgroup", Nothing, limits::see_cgroup),
        Proof::new(
            "replace-shell",
            ByHand("chroot(1), twice into the same directory"),
            layers::replace_shell,
        ),
        Proof::new(
            "write-layer",
            ByHand("chroot(1), twice into the same directory"),
            layers::write_layer,
        ),
        Proof::new("host-loopback", Host, network::host_loopback),
        Proof::new("abstract-socket", Host, network::abstract_socket),
        Proof::new("bind-port", Host, network::bind_port).one_by_one(),
        Proof::new("bridge-service", Host, network::bridge_service),
        Proof::new("read-keyring", Host, keys::read_keyring).harmless(),
        Proof::new("plant-key", Host, keys::plant_key).harmless(),
        Proof::new("pose-as-neighbour", Nothing, network::pose_as_neighbour)
            .since(8, NO_NEIGHBOURS)
            .works_with(&["--cap-add=NET_RAW"]),
        Proof::new("forward-packets", Nothing, powers::forward_packets)
            .harmless()
            .since(8, NO_NETWORK)
            .works_with(&["--cap-add=NET_ADMIN", UNCOVERED]),
        Proof::new("uncover", Nothing, powers::uncover)
            .harmless()
            .since(4, NO_VOLUMES)
            .works_with(ADMIN),
        Proof::new("mount-tmpfs", Nothing, powers::mount_tmpfs)
            .harmless()
            .since(4, NO_TABLE)
            .works_with(ADMIN),
        Proof::new("mount-proc", Host, doors::mount_proc)
            .harmless()
            .works_with(&["--cap-add=SYS_ADMIN", UNCOVERED]),
        Proof::new("lift-limit", Nothing, limits::lift_limit)
            .one_by_one()
            .since(6, "there are no limits")
            .works_with(ADMIN),
        Proof::new("nest-as-root", Nothing, powers::nest_as_root)
            .harmless()
            .since(4, IN_A_CHROOT)
            .works_with(NO_FILTER),
        Proof::new("nest-as-user", Nothing, powers::nest_as_user)
            .harmless()
            .since(5, ONLY_ROOT)
            .works_with(NO_FILTER),
        Proof::new("run-setuid", Host, powers::run_setuid)
            .since(5, ONLY_ROOT)
            .works_with(NEW_PRIVILEGES),
        Proof::new("run-capable", Host, powers::run_capable)
            .since(5, ONLY_ROOT)
            .works_with(NEW_PRIVILEGES),
        Proof::new("set-personality", Host, doors::set_personality)
            .harmless()
            .works_with(NO_FILTER),
        Proof::new("reach-io-uring", Host, doors::reach_io_uring)
            .harmless()
            .one_by_one()
            .works_with(NO_FILTER),
        Proof::new("reach-perf", Host, doors::reach_perf)
            .harmless()
            .one_by_one()
            .works_with(NO_FILTER),
        Proof::new("reach-af-alg", Host, doors::reach_af_alg)
            .harmless()
            .works_with(NO_FILTER),
        Proof::new("reach-vsock", Host, doors::reach_vsock)
            .harmless()
            .works_with(NO_FILTER),
        Proof::new("read-interrupts", Host, doors::read_interrupts)
            .harmless()
            .works_with(&[UNCOVERED]),
        Proof::new("read-vmcoreinfo", Host, doors::read_vmcoreinfo)
            .harmless()
            .since(8, NO_SYS)
            .works_with(&[UNCOVERED]),
        Proof::new(
            "raise-limit",
            ByHand("unshare(1), in a cgroup handed over with its limits"),
            handed_over::raise_limit,
        )
        .since(10, NOTHING_TO_DIVIDE),
        Proof::new(
            "outgrow-limit",
            ByHand("unshare(1), where all of the host's cgroups are shown"),
            handed_over::outgrow_limit,
        )
        .since(10, NOTHING_TO_DIVIDE),
        Proof::new(
            "leave-cgroup",
            ByHand("unshare(1), where all of the host's cgroups are shown"),
            handed_over::leave_cgroup,
        )
        .since(10, NOTHING_TO_DIVIDE),
        Proof::new("planted-node", Host, handed_over::planted_node)
            .harmless()
            .since(4, NO_VOLUMES),
    ]
    };
