//! Programs that behave as those of a host that this one is not.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Puts a systemd-run into a directory, for a PATH. Variables in a command give
/// way to values of its own, unless it is told otherwise, as of version 262; one
/// of 252 can't be told. It does not run the command: it says its words.
pub fn systemd_run(directory: &Path, can_be_told: bool) {
    let knows = if can_be_told { "yes" } else { "no" };
    let program = directory.join("systemd-run");
    fs::write(&program, SYSTEMD_RUN.replace("KNOWS", knows)).expect("write");
    fs::set_permissions(program, Permissions::from_mode(0o755)).expect("chmod");
}

const SYSTEMD_RUN: &str = r#"#!/bin/bash
if [[ $1 == --help ]]; then
  [[ KNOWS == no ]] || echo '  --expand-environment=BOOL'
  exit
fi
expand=KNOWS
for word; do
  shift
  case $word in
    --) break ;;
    --expand-environment=no) [[ KNOWS == yes ]] || exit 1; expand=no ;;
  esac
done
for word; do
  [[ $expand == no ]] || word=${word//\$\$/\$} word=${word//\$HOME/$HOME}
  echo "$word"
done
"#;
