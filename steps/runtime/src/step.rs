//! Which step a feature belongs to: the narration tells that of the newest one
//! whole, and counts the calls of those before it.

/// The crate in which a feature is, and how its step is called.
const STEPS: [(&str, &str); 12] = [
    ("chroot", "01 chroot"),
    ("uts_namespace", "02 UTS namespace"),
    ("pid_namespace", "03 PID namespace"),
    ("mount_namespace", "04 mount namespace"),
    ("user_namespace", "05 user namespace"),
    ("cgroups", "06 cgroups"),
    ("overlayfs", "07 overlayfs"),
    ("image", "07 overlayfs"),
    ("networking", "08 networking"),
    ("least_privilege", "09 least privilege"),
    ("system_container", "10 system container"),
    ("oci_runtime", "11 OCI runtime"),
];

/// The one whose lesson the working directory is.
pub const FIRST: &str = STEPS[0].1;

/// By the path of its type. That of a crate which is none of ours is the
/// newest: told.
pub fn of<Feature>() -> &'static str {
    let path = std::any::type_name::<Feature>();
    let found = STEPS.iter().find(|(name, _)| {
        path.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"))
    });
    found.map_or("your own", |(_, step)| step)
}
