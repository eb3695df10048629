//! Step 01, and the way out that it leaves.

use crate::places::{Place, Secret, Verdict, judge};

pub fn read_host_file(place: Place) -> Verdict {
    reads_a_secret("read-host-file", place)
}

pub fn escape_chroot(place: Place) -> Verdict {
    reads_a_secret("escape-chroot", place)
}

pub fn escape_proc(place: Place) -> Verdict {
    reads_a_secret("escape-proc", place)
}

fn reads_a_secret(name: &str, place: Place) -> Verdict {
    let secret = Secret::new();
    let output = place.attack(name, &[&secret.file]);
    judge(&output, secret.is_told_by(&output))
}
