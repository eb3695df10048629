#!/usr/bin/env bash
# The playground: a pretended host, made of namespaces, that you may break.
#
# Read it from the bottom: `main` tells the story in the order of the kernel.
# The script starts itself again for each stage, because a namespace is
# entered by a process and left only by its end:
#
#   outside          a cgroup, and (as an ordinary user) a user namespace in
#                    which you are root
#   --build-view     a mount namespace: the host's files, seen through overlays
#   --leave-host     the playground's user namespace and cgroup namespace
#   --init           its PID 1: /proc, /sys, /dev, network, then the command
#
# A second terminal has stages of its own:
#
#   --join           outside: looks for a playground that runs
#   --enter          its cgroup, then all its namespaces
#   --joined         there: the command
set -euo pipefail
umask 022
set -E # the ERR trap holds inside functions too
trap 'fail "the playground can not start. This command failed: $BASH_COMMAND"' ERR

usage() {
  cat <<'USAGE'
usage: scripts/playground.sh [--join[=PID]] [--] [COMMAND [ARG...]]

Runs COMMAND (default: an interactive shell) as root of a pretended host: own
hostname, processes, mounts, network, cgroup, and a throw-away view of your
filesystem. It needs no sudo. Nothing done inside reaches the real host, and
nothing is left when COMMAND ends. It begins the same on every host: forwarding,
firewall, limits, umask and language of yours do not show through.

  --join               runs COMMAND in the playground that you have started in
                       another terminal: the same root of the same host. It ends
                       when that playground ends.
  --join=PID           where several run: in the one whose playground.sh is PID

Inside
  PLAYGROUND=1         says where you are
  PLAYGROUND_IDS       how many user ids exist; 1: no /etc/subuid range for you
  PLAYGROUND_CGROUP    v1, v2, hybrid, or none when no cgroup is yours to give
  PLAYGROUND_INTERNET  the pretended internet's web server, 203.0.113.10; unset
                       where the program `ip` lacks
  WORKSHOP_BIN         the directory of the workshop's programs, first in PATH.
                       Set it outside to choose another one.
  XDG_CACHE_HOME       on a tmpfs, where an overlay can have its upper layer

  nsenter --net=/run/netns/internet COMMAND     runs COMMAND in the internet
  scripts/as-learner.sh COMMAND                 runs COMMAND as an ordinary user

The internet has no route back to a network of yours (10.0.0.0/8, say): a
container reaches it through NAT only.

COMMAND begins with the signals' defaults, whatever the caller ignores (by nohup,
say). One that is to outlive your terminal starts with: setsid

Exit status: the command's own; 125 when the playground can't start, or when
there is none to join.
USAGE
}

# ── errors ──────────────────────────────────────────────────────────────────

fail() { # LINE...
  printf 'playground: %s\n' "$1" >&2
  shift
  [[ $# -eq 0 ]] || printf '            %s\n' "$@" >&2
  exit 125
}

need() { # PROGRAM PACKAGE
  command -v "$1" >/dev/null || fail "the program \`$1\` is missing." \
    "It is in the package $2. Install it, then start again."
}

sysctl_is() { # NAME VALUE
  [[ -r /proc/sys/$1 && $(<"/proc/sys/$1") == "$2" ]]
}

# From util-linux 2.42 on, Debian has it in another package than unshare(1).
find_pivot_root() { # sets pivot_root
  for pivot_root in pivot_root 'busybox pivot_root'; do
    ! $pivot_root --help >/dev/null 2>&1 || return 0
  done
  fail "the program \`pivot_root\` is missing." \
    'It is in the package util-linux-extra, or in util-linux. Install it, then start again.'
}

inside_a_container() {
  [[ -e /.dockerenv || -e /run/.containerenv ]] &&
    grep -Eqs '^Seccomp:\s*[12]' /proc/self/status
}

fail_without_user_namespace() { # WHAT FAILED
  local lab='Or use the lab, which needs none of this: scripts/lab.sh'
  if inside_a_container; then
    fail "$1: refused, since this is a container." \
      "Its seccomp filter and its masked /proc forbid new namespaces." \
      "Start it with: docker run --privileged …" "$lab"
  elif sysctl_is kernel/apparmor_restrict_unprivileged_userns 1; then
    fail "$1: AppArmor takes all rights away in an ordinary user's user namespace." \
      "(Ubuntu since 23.10: kernel.apparmor_restrict_unprivileged_userns = 1)" \
      "Until the next boot: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0" \
      "Or start the playground as root: sudo $self" "$lab"
  elif sysctl_is kernel/unprivileged_userns_clone 0; then
    fail "$1: ordinary users may not make user namespaces here." \
      "(Debian's switch: kernel.unprivileged_userns_clone = 0)" \
      "Until the next boot: sudo sysctl kernel.unprivileged_userns_clone=1" \
      "Or start the playground as root: sudo $self" "$lab"
  elif sysctl_is user/max_user_namespaces 0; then
    fail "$1: the number of user namespaces is limited to none." \
      "Until the next boot: sudo sysctl user.max_user_namespaces=10000" "$lab"
  fi
  fail "$1: the kernel refused." \
    "Are user namespaces built in? ls /proc/self/ns/user" \
    "Does a sandbox around this shell filter system calls? grep Seccomp: /proc/self/status" \
    "$lab"
}

# ── user namespaces ─────────────────────────────────────────────────────────

# A user namespace is born empty. Someone outside writes its maps, once. So a
# holder makes it and waits, we write, we keep the namespace by file descriptor
# 9, and the holder may go.
enter_user_namespace=(nsenter --user=/proc/self/fd/9)
open_user_namespace() { # FUNCTION THAT WRITES THE MAPS OF A PID
  local pid from_holder to_holder holder holder_PID
  coproc holder { exec unshare --user -- sh -c 'echo ready; exec cat' 2>/dev/null; }
  # One that is refused may be gone already, and what bash knew of it.
  pid=${holder_PID-}
  if ! { exec {from_holder}<&"${holder[0]-}" {to_holder}>&"${holder[1]-}"; } 2>/dev/null ||
    ! read -r _ <&"$from_holder"; then
    fail_without_user_namespace 'unshare(CLONE_NEWUSER)'
  fi
  "$1" "$pid" || fail_without_user_namespace "write /proc/$pid/uid_map"
  exec 9<"/proc/$pid/ns/user"
  # setgroups(2) is forbidden where a user maps himself without anyone's leave
  # (CVE-2014-8989), and nsenter would call it.
  [[ $(<"/proc/$pid/setgroups") == allow ]] || enter_user_namespace+=(--preserve-credentials)
  exec {from_holder}<&- {to_holder}>&-
  kill "$pid"
  wait "$pid" || true # it died by our signal
}

# Sets uids and gids: what is lent to the user who calls, a line a range.
read_subordinate_ranges() {
  local name
  # shellcheck source=scripts/lib/subordinate.sh
  . "$checkout/scripts/lib/subordinate.sh"
  name=$(id -un 2>/dev/null) || true
  uids=$(subordinate_ranges /etc/subuid "$name" "$UID" "$UID")
  gids=$(subordinate_ranges /etc/subgid "$name" "$UID" "$(id -g)")
}

# Inside, root is the user himself, and 1, 2, 3 … are the ids that /etc/subuid
# lends to him. newuidmap is setuid root: it reads that file and writes the map.
# Where it has no power he is alone.
map_the_user() { # PID
  local uids gids
  read_subordinate_ranges
  # shellcheck disable=SC2046 # three words a range
  if [[ $uids && $gids ]] && command -v newuidmap >/dev/null &&
    newuidmap "$1" 0 "$(id -u)" 1 $(map_of_ranges "$uids"); then
    newgidmap "$1" 0 "$(id -g)" 1 $(map_of_ranges "$gids") || map_the_group_alone "$1"
  else
    echo "0 $(id -u) 1" >"/proc/$1/uid_map" && map_the_group_alone "$1"
  fi
}

map_the_group_alone() { # PID
  echo deny >"/proc/$1/setgroups" && echo "0 $(id -g) 1" >"/proc/$1/gid_map"
} 2>/dev/null

ids_mapped_here() {
  local first count end=0
  while read -r first _ count; do
    ((first + count <= end)) || end=$((first + count))
  done </proc/self/uid_map
  echo "$end"
}

in_first_user_namespace() {
  [[ $(ids_mapped_here) == 4294967295 ]]
}

# The host's root must not be root inside: uid 0 may write /proc/sys without
# any capability, because there the kernel looks at the uid alone. He becomes
# a range that is nobody's. Elsewhere, uid 0 is harmless, and stays.
choose_ids() {
  first_uid=0 first_gid=0 ids=$(ids_mapped_here)
  if in_first_user_namespace; then
    local uids gids
    read_subordinate_ranges
    # Three times 65536: for the playground, its root's containers, its learner's.
    uids=$(largest_of "$uids") gids=$(largest_of "$gids")
    [[ $uids ]] || uids="$(first_id_above_all_in /etc/subuid) 196608"
    [[ $gids ]] || gids="$(first_id_above_all_in /etc/subgid) 196608"
    first_uid=${uids% *} first_gid=${gids% *} ids=${uids#* }
    ((${gids#* } >= ids)) || ids=${gids#* }
  fi
  export first_uid first_gid ids
}

largest_of() { # RANGES
  sort -k 2,2nr <<<"$1" | sed 1q
}

first_id_above_all_in() { # FILE
  local first count last=100000
  [[ -r $1 ]] || set -- /dev/null
  while IFS=: read -r _ first count; do
    ((first + count <= last)) || last=$((first + count))
  done <"$1"
  echo "$last"
}

map_the_playground() { # PID
  if ((first_uid)); then
    echo "0 $first_uid $ids" >"/proc/$1/uid_map"
    echo "0 $first_gid $ids" >"/proc/$1/gid_map"
  else
    map_every_id_to_itself uid >"/proc/$1/uid_map"
    map_every_id_to_itself gid >"/proc/$1/gid_map"
  fi 2>/dev/null
}

map_every_id_to_itself() { # uid|gid: a range must lie in one range of the outer map
  awk '{ print $1, $1, $3 }' "/proc/self/$1_map"
}

may_mount() { # CAP_SYS_ADMIN is bit 21
  local status
  status=$(</proc/self/status)
  status=${status#*CapEff:}
  ((0x${status:1:16} >> 21 & 1))
}

# ── cgroup ──────────────────────────────────────────────────────────────────

systemd_owns_the_cgroups() {
  [[ -d /run/systemd/system && -e /sys/fs/cgroup/cgroup.controllers ]]
}

# systemd is the one writer of the tree. It delegates a part to who asks.
enter_delegated_scope() { # ARGS...
  local manager=--system
  if ! systemd_owns_the_cgroups || [[ ${playground_delegated:-} ]]; then return; fi
  if ! may_mount; then
    manager=--user
    export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
    [[ -S $XDG_RUNTIME_DIR/systemd/private ]] || return 0
  elif ! in_first_user_namespace; then
    return # root of a user namespace may not ask it
  fi
  need systemd-run systemd
  # shellcheck source=scripts/lib/scope.sh
  . "${self%/*}/lib/scope.sh"
  export playground_delegated=1
  exec systemd-run "$manager" "${scope[@]}" -- "$self" "$@"
}

# One line a hierarchy: TYPE|CONTROLLERS|MOUNT POINT|DIRECTORY OF OUR CGROUP
hierarchies() {
  local -A path_of=()
  local controllers path root point rest type options
  while IFS=: read -r _ controllers path; do
    path_of[,$controllers,]=$path
  done </proc/self/cgroup
  while read -r _ _ _ root point rest; do
    read -r type _ options <<<"${rest#* - }"
    case $type in
      cgroup) controllers=${options#*,} ;;
      cgroup2) controllers= ;;
      *) continue ;;
    esac
    case ,$controllers, in
      ,, | *,memory,* | *,cpu,* | *,cpuacct,* | *,pids,* | *,freezer,*)
        path=${path_of[,$controllers,]-}
        path=${path#"${root%/}"}
        [[ ! $path ]] || echo "$type|$controllers|$point|$point${path%/}" ;;
    esac
  done </proc/self/mountinfo
}

enable_controllers() { # DIR OF A v2 CGROUP: for its children
  local controller
  for controller in cpu memory pids; do
    echo "+$controller" >"$1/cgroup.subtree_control" || true
  done 2>/dev/null
}

# On v2 a cgroup with processes can't hand controllers to children: in our scope
# we step aside, into a leaf. No child of this shell may be left behind.
step_aside_in_scope() {
  local own
  IFS=: read -r _ _ own </proc/self/cgroup
  own=/sys/fs/cgroup$own
  mkdir "$own/outside"
  echo $$ >"$own/outside/cgroup.procs"
  enable_controllers "$own"
}

# The nearest cgroup, from our own upwards, that hands memory to its children.
parent_for_a_v2_cgroup() { # OWN DIR, MOUNT POINT
  local dir=$1
  while [[ $dir != "$2" && $(<"$dir/cgroup.subtree_control") != *memory* ]]; do
    dir=${dir%/*}
  done
  echo "$dir"
}

# The name carries our pid, and in whose numbers: who finds it later can see that
# we are gone. Another PID namespace may have one of the same number.
choose_cgroups() {
  local type controllers point dir numbers
  numbers=$(stat --dereference --format=%i /proc/self/ns/pid)
  export cgroups=
  while IFS='|' read -r type controllers point dir; do
    [[ $type != cgroup2 ]] || dir=$(parent_for_a_v2_cgroup "$dir" "$point")
    [[ -w $dir ]] || continue
    remove_leftovers "$dir/playground-$numbers"
    cgroups+="$type|$controllers|$point|$dir/playground-$numbers-$$"$'\n'
  done < <(hierarchies)
  read_cgroup_directories
}

read_cgroup_directories() {
  local dir
  cgroup_directories=()
  while IFS='|' read -r _ _ _ dir; do
    [[ ! $dir ]] || cgroup_directories+=("$dir")
  done <<<"$cgroups"
}

# A fork bomb or a memory hog inside ends inside. As root these files stay the host's.
limit_cgroup() { # DIR
  local kib
  read -r _ kib _ </proc/meminfo
  [[ ! -e $1/pids.max ]] || echo 8192 >"$1/pids.max"
  [[ ! -e $1/memory.max ]] || echo "$((kib / 2))K" >"$1/memory.max"
  [[ ! -e $1/memory.limit_in_bytes ]] || echo "$((kib / 2))K" >"$1/memory.limit_in_bytes"
}

# Delegation, by hand: the directory and these files become the inner root's.
give_and_join_cgroups() {
  local dir file given=()
  read_cgroup_directories
  for dir in "${cgroup_directories[@]}"; do
    limit_cgroup "$dir"
    for file in "$dir" "$dir"/{cgroup.procs,cgroup.threads,cgroup.subtree_control,tasks}; do
      [[ ! -e $file ]] || given+=("$file")
    done
    echo $$ >"$dir/cgroup.procs"
  done
  [[ ! $cgroups ]] || chown "$first_uid:$first_gid" "${given[@]}"
}

remove_cgroups() {
  local dir
  [[ $cgroups ]] || return 0
  for dir in "${cgroup_directories[@]}"; do
    [[ ! -e $dir/cgroup.kill ]] || echo 1 >"$dir/cgroup.kill"
  done
  for _ in {1..200}; do # the last processes may still be dying
    find "${cgroup_directories[@]}" -depth -type d -delete || true
    any_exists "${cgroup_directories[@]}" || break
    sleep 0.02 || true
  done
} 2>/dev/null

any_exists() { # DIR...
  local dir
  for dir in "$@"; do
    [[ ! -d $dir ]] || return 0
  done
  return 1
}

remove_leftovers() { # PARENT/playground-NUMBERS
  local dir
  for dir in "$1"-*; do
    [[ ! -d $dir || -e /proc/${dir##*-} ]] || find "$dir" -depth -type d -delete || true
  done 2>/dev/null
}

cgroup_version() {
  local v1='' v2=''
  [[ $'\n'$cgroups != *$'\ncgroup|'* ]] || v1=1
  [[ $'\n'$cgroups != *$'\ncgroup2|'* ]] || v2=1
  case $v1,$v2 in
    1,1) echo hybrid ;;
    1,) echo v1 ;;
    ,1) echo v2 ;;
    *) echo none ;;
  esac
}

# ── the view of the host's files ────────────────────────────────────────────

may_hold_a_checkout='/(run|tmp|var/tmp)'

# These are never the host's: they get a file system of their own.
is_replaced() { # PATH
  [[ $1/ =~ ^/(proc|sys|dev|run|tmp|snap|var/tmp|var/lib/snapd)/ ]]
}

# An ordinary user may not overlay a directory with mounts below it: that would
# uncover what lies under them. Root may, and only has to look at directories.
find_mount_points() {
  local point
  mount_points=
  while read -r _ _ _ _ point _; do
    printf -v point %b "$point" # a space is written as \040
    if is_replaced "$point" && [[ ! $point/ =~ ^$may_hold_a_checkout/ ]]; then continue; fi
    [[ ! -d $point && ! $through_user_namespace ]] || mount_points+=$'\n'$point
  done </proc/self/mountinfo
}

has_mounts_below() { # DIR
  [[ $mount_points == *$'\n'"$1"/* ]]
}

make_directory() { # MODE DIR...
  install -d -o "$first_uid" -g "$first_gid" -m "$@"
}

# Many mounts by one start of `mount`, which takes a table from a real file only.
mount_table() { # LINES OF AN FSTAB
  echo "$1" >"$stage/mounts.$$"
  mount --all --fstab "$stage/mounts.$$"
}

# Reads come from the host's directory, writes go to a layer on our tmpfs.
mount_overlays() { # DIR...
  local dir escaped lower layer uppers=() works=() table='' options=userxattr mode
  # metacopy: a chown copies no data. It needs the marks of a real root.
  ((!first_uid)) || options=metacopy=on
  for dir in "$@"; do
    layer=$stage/layer$((++layers))
    uppers+=("$layer/upper") works+=("$layer/work")
    # A program is setuid only where its owner is mapped. The host's root is not.
    if [[ $setuid_programs/ == "$dir"/* ]]; then
      make_directory 755 "$layer/upper${setuid_programs#"$dir"}"
      install -o "$first_uid" -g "$first_gid" -m 4755 -t "$layer/upper${setuid_programs#"$dir"}" \
        "$setuid_programs/newuidmap" "$setuid_programs/newgidmap"
    fi
    escaped=${dir//\\/\\134}
    escaped=${escaped// /\\040} lower=$escaped
    if [[ $dir == *[,:\"\\]* ]]; then # which mean something among the options
      lower=$layer.lower
      ln -s "$dir" "$lower"
    fi
    table+="overlay $view$escaped overlay nodev,$options,lowerdir=$lower"
    table+=",upperdir=$layer/upper,workdir=$layer/work 0 0"$'\n'
  done
  make_directory 755 "${uppers[@]}" "${works[@]}"
  mount_table "$table" 2>/dev/null || mount_the_rest_read_only "$@"
  while IFS=' ' read -r -d '' mode dir; do
    chmod "$mode" "$view$dir" 2>/dev/null || true # read-only, then
  done < <(find_here "$@" -maxdepth 0 ! -perm 755 -printf '%m %p\0')
}

# The host goes on meanwhile: what is gone when we come to it is no error.
find_here() { # ARGUMENTS OF find
  find "$@" 2>/dev/null || true
}

# Two overlays can lie on each other, not three. Then: look, don't touch.
mount_the_rest_read_only() { # DIR...
  local dir
  for dir in "$@"; do
    [[ -d $dir ]] || { rmdir "$view$dir" && continue; }
    mountpoint --quiet "$view$dir" ||
      mount --bind -o ro,nodev,nosuid "$dir" "$view$dir" 2>/dev/null ||
      echo "playground: $dir stays empty here: its file system takes no overlay" >&2
  done
}

# A directory with mounts below it is made anew, and each of its entries shown.
show_entries_of() { # DIR, '' for /
  local dir=$1 enterable entry all=() shown=()
  while IFS=' ' read -r -d '' enterable entry; do
    if is_replaced "$entry" && ! is_replaced "$dir"; then continue; fi
    all+=("$view$entry")
    [[ $enterable == no ]] || shown+=("$entry")
  done < <(find_here "$dir/" -mindepth 1 -maxdepth 1 -type d \
    \( "${enterable_directory[@]}" -printf "yes $dir/%f\\0" -o -printf "no $dir/%f\\0" \))
  [[ ${#all[@]} -eq 0 ]] || make_directory 755 "${all[@]}"
  find_here "$dir/" -mindepth 1 -maxdepth 1 \( -type l -o -type f "${readable_file[@]}" -size -1024k \) \
    -exec cp --no-dereference --preserve=mode,timestamps -t "$view$dir" {} +
  for entry in "${shown[@]}"; do
    if has_mounts_below "$entry"; then show_entries_of "$entry"; else overlaid+=("$entry"); fi
  done
}

# The checkout may lie in /tmp, or below a directory that only the host's root
# may enter. The view has it at the same path, and nothing else of the neighbours.
bring_along() { # DIR
  local dir=$1 path='' part parts ancestors=() closed hidden=
  [[ -d $dir ]] || return 0
  IFS=/ read -ra parts <<<"${dir#/}"
  for part in "${parts[@]}"; do
    path+=/$part
    ancestors+=("$view$path")
  done
  closed=$(find "${ancestors[@]}" -maxdepth 0 ! -perm -o=x 2>/dev/null || true)
  for path in "${ancestors[@]}"; do
    if [[ ! -d $path ]]; then
      make_directory 755 "$path"
      hidden=1
    elif [[ $'\n'$closed$'\n' != *$'\n'$path$'\n'* ]]; then
      continue
    elif ((first_uid)); then
      mount_tmpfs 1m 755 "$path"
      hidden=1
    else
      chmod o+x "$path" # your own home: the learner inside needs the way
    fi
  done
  [[ $hidden ]] || return 0
  overlaid=("$dir")
  if has_mounts_below "$dir"; then # its programs, say
    overlaid=()
    show_entries_of "$dir"
  fi
  mount_overlays "${overlaid[@]}"
}

# Big directories of built files stay as they are: readable is enough. The way
# to it too: a playground in this one copies it up, and only what has an owner.
give_checkout_to_inner_root() {
  local programs=$view$WORKSHOP_BIN way=$checkout
  [[ -d $programs ]] || programs=
  { while way=${way%/*} && [[ $way ]]; do printf '%s\0' "$view$way"; done
    find_here "$view$checkout" \( -path '*/.git/objects' -o -name target -o -name node_modules \) \
      -prune -o -print0
    [[ ! $programs ]] || find_here "$programs" -maxdepth 1 -print0
  } | xargs -0 chown --no-dereference "$first_uid:$first_gid" 2>/dev/null || true
}

mount_tmpfs() { # SIZE MODE DIR: bounded, since a tmpfs is the machine's memory
  mount -t tmpfs -o "nodev,size=$1,mode=$2,uid=$first_uid,gid=$first_gid" playground "$3"
}

# The files that say who exists. The copies are the inner root's to change.
write_etc() {
  local etc=$view/etc first=2000 half
  [[ -w $etc ]] || fail 'no overlay can be made here: /etc stays read-only.' \
    'Is this a playground in a playground in a playground, or one in a container?' \
    'Two overlays can lie on each other, not three. Leave the inner one.'
  find_here /etc -maxdepth 1 -type f -perm -o=r -size -1024k \
    -exec cp --remove-destination --preserve=mode,timestamps -t "$etc" {} +
  rm -rf "$etc"/{hostname,hosts,resolv.conf,passwd,group,subuid,subgid}
  # A login shell, as tmux starts one, sets PATH anew.
  # shellcheck disable=SC2016 # for the shell that reads it
  [[ ! -f $etc/profile ]] || printf 'PATH=%q:$PATH\n' "$WORKSHOP_BIN" >>"$etc/profile"
  echo playground >"$etc/hostname"
  printf '%s\n' '127.0.0.1 localhost playground' '::1 localhost' \
    '203.0.113.10 internet.example' >"$etc/hosts"
  echo '# no name server: this internet knows one name, and /etc/hosts has it' >"$etc/resolv.conf"
  : >"$etc/subuid"
  : >"$etc/subgid"
  { echo "root:x:0:0:root:$HOME:/bin/bash" && without 0 1000 /etc/passwd; } >"$etc/passwd"
  { echo 'root:x:0:' && without 0 1000 /etc/group; } >"$etc/group"
  ((ids <= 65537)) || first=65536
  half=$(((ids - first) / 2))
  if ((half > 0)); then
    echo 'learner:x:1000:1000::/run/learner:/bin/bash' >>"$etc/passwd"
    echo 'learner:x:1000:' >>"$etc/group"
    printf '%s\n' "root:$first:$half" "learner:$((first + half)):$half" |
      tee "$etc/subuid" >"$etc/subgid"
    install -d -o $((first_uid + 1000)) -g $((first_gid + 1000)) "$view/run/learner"
  fi
  ((!first_uid)) || find "$etc" -maxdepth 1 -type f -perm -o=r \
    -exec chown "$first_uid:$first_gid" {} +
}

without() { # ID ID FILE: the accounts but these and one named learner
  awk -F: -v a="$1" -v b="$2" '$3 != a && $3 != b && $1 != "learner"' "$3"
}

build_view() { # COMMAND...
  exec 9<&-
  choose_ids
  give_and_join_cgroups
  export HOME stage=/dev/shm view=/dev/shm/view
  layers=0 overlaid=() enterable_directory=(-readable -executable) readable_file=(-readable)
  if ((first_uid)); then
    HOME=/root enterable_directory=(-perm -o=rx) readable_file=(-perm -o=r)
  fi
  find_mount_points
  setuid_programs=$(type -P newuidmap) && setuid_programs=$(dirname "$(realpath "$setuid_programs")")
  cd /
  mount_tmpfs 1g 755 "$stage"
  make_directory 755 "$view"/{,dev,proc,run,sys,tmp,.host}
  mount_tmpfs 512m 1777 "$view/tmp"
  mount_tmpfs 512m 755 "$view/run"
  show_entries_of ''
  mount_overlays "${overlaid[@]}"
  if [[ -d $view/var && -d /var/tmp ]]; then
    [[ -d $view/var/tmp ]] || make_directory 755 "$view/var/tmp"
    mount_tmpfs 512m 1777 "$view/var/tmp"
  fi
  bring_along "$checkout"
  [[ $WORKSHOP_BIN/ == "$checkout"/* ]] || bring_along "$WORKSHOP_BIN"
  ((!first_uid)) || give_checkout_to_inner_root
  [[ -d $view$HOME ]] || HOME=/root
  write_etc
  open_user_namespace map_the_playground
  self=$view$checkout/scripts/playground.sh
  exec "${enter_user_namespace[@]}" unshare --cgroup -- \
    setpriv --pdeathsig KILL "$self" --leave-host "$@"
}

# ── the playground's own namespaces ─────────────────────────────────────────

# From here on we are root of the playground, and of nothing else. The cgroup
# we are in has become the cgroup namespace's root. A leaf leaves it free to
# hand its controllers to containers.
leave_host() { # COMMAND...
  local type dir
  exec 9<&-
  # The signal comes when the parent dies from now on. It may be dead already.
  [[ $PPID == "$outside_pid" ]] || exit 125
  first_uid=0 first_gid=0
  while IFS='|' read -r type _ _ dir; do
    [[ $type == cgroup2 ]] || continue
    mkdir "$dir/init"
    echo $$ >"$dir/init/cgroup.procs"
    enable_controllers "$dir"
  done <<<"$cgroups"
  exec unshare --mount --uts --ipc --net --pid --fork --kill-child -- \
    "$self" --init "$@"
}

mount_kernel_file_systems() {
  mount -t proc -o nosuid,nodev,noexec proc proc 2>/dev/null ||
    fail 'mount a new /proc: EPERM.' \
      'The kernel gives a user namespace a new /proc only where the old one is seen' \
      'in full. Containers cover parts of it: grep /proc/ /proc/self/mountinfo' \
      'Start the container with: docker run --privileged …' \
      'Or use the lab, which needs none of this: scripts/lab.sh'
  mount -t sysfs -o nosuid,nodev,noexec sysfs sys 2>/dev/null || {
    mount_tmpfs 1m 755 sys # a masked /sys, as in docker, can't be had anew
    mkdir -p sys/fs/cgroup
  }
  mount_tmpfs 1m 755 dev
  if [[ $cgroups && $cgroups != 'cgroup2||/sys/fs/cgroup|'* ]]; then
    mount_tmpfs 1m 755 sys/fs/cgroup
    find /sys/fs/cgroup -maxdepth 1 -type l -exec cp --no-dereference -t sys/fs/cgroup {} +
  fi
  mkdir dev/{pts,shm,mqueue,net}
  mount_table "$(list_mounts)"
  ln -s pts/ptmx /proc/self/fd dev
  ln -s /proc/self/fd/0 dev/stdin
  ln -s /proc/self/fd/1 dev/stdout
  ln -s /proc/self/fd/2 dev/stderr
}

# As a table for `mount`. The cgroups have the same layout as on the host.
list_mounts() {
  local device terminal type controllers point
  echo "devpts $view/dev/pts devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=620 0 0"
  echo "shm $view/dev/shm tmpfs nosuid,nodev,mode=1777,size=64m 0 0"
  echo "mqueue $view/dev/mqueue mqueue nosuid,nodev,noexec 0 0"
  # mknod is refused in a user namespace, so the harmless devices are bound.
  for device in null zero full random urandom tty net/tun; do
    [[ -e /dev/$device ]] || continue
    : >"dev/$device"
    echo "/dev/$device $view/dev/$device none bind 0 0"
  done
  # Your terminal belongs to the host's devpts. Here it is the console.
  terminal=$(readlink /proc/self/fd/2)
  if [[ -t 2 && -c $terminal ]]; then
    : >dev/console
    echo "$terminal $view/dev/console none bind 0 0"
  fi
  while IFS='|' read -r type controllers point _; do
    [[ $type ]] || continue
    [[ -d .$point ]] || mkdir -p ".$point"
    echo "$type $view$point $type nosuid,nodev,noexec${controllers:+,$controllers} 0 0"
  done <<<"$cgroups"
}

leave_host_file_system() {
  $pivot_root . .host
  umount --lazy /.host
  rmdir /.host
  # A real host's / is shared (systemd does that), and mounts leak by it.
  mount --make-rshared /
}

set_hostname() {
  hostname playground 2>/dev/null || busybox hostname playground 2>/dev/null ||
    echo 'playground: the program hostname is missing: the name stays your host'"'"'s' >&2
}

connect_to_internet() {
  # shellcheck source=scripts/lib/internet.sh
  . "$checkout/scripts/lib/internet.sh"
  begin_as_known_network
  command -v ip >/dev/null || return 0
  connect_internet
  [[ ! -x $WORKSHOP_BIN/web-server ]] || start_web_server 8>&-
}

# What the first command finds here, and each that joins it.
settle_in() {
  # shellcheck source=scripts/lib/signals.sh
  . "$checkout/scripts/lib/signals.sh"
  cd "$came_from" 2>/dev/null || cd "$checkout"
  export PLAYGROUND=1 PLAYGROUND_IDS=$ids PLAYGROUND_CGROUP
  PLAYGROUND_CGROUP=$(cgroup_version)
  [[ ! -e /run/netns/internet ]] || export PLAYGROUND_INTERNET=203.0.113.10
  # Places of the host, and how it speaks to you.
  unset TMPDIR TMP TEMP LANGUAGE "${!XDG_@}" "${!DBUS_@}" "${!SSH_@}" "${!TMUX@}" "${!LC_@}"
  unset INVOCATION_ID JOURNAL_STREAM MANAGERPID NOTIFY_SOCKET "${!SYSTEMD_@}" # what systemd tells a service
  export USER=root LOGNAME=root LANG=C.UTF-8
  export XDG_CACHE_HOME=/run/cache PATH=$WORKSHOP_BIN:$PATH
  mkdir -p "$XDG_CACHE_HOME"
  export -n checkout self outside_pid came_from through_user_namespace \
    playground_delegated playground cgroups first_uid first_gid ids stage view
}

shell=(env 'PS1=\u@\h:\w\$ ' bash)

# PID 1. When it ends, the kernel kills all that is left of the playground.
init() { # COMMAND...
  mount --rbind "$view" "$view" # pivot_root takes a mount point only
  cd "$view"
  find_pivot_root
  mount_kernel_file_systems
  leave_host_file_system
  set_hostname
  connect_to_internet
  settle_in
  if [[ $# -eq 0 ]]; then
    echo 'You are root on a pretended host. What you break here stays here. Leave it with: exit' >&2
    [[ -x $WORKSHOP_BIN/01-chroot ]] ||
      echo "The workshop's programs are not built yet. Leave, type: cargo build --workspace" >&2
    set -- "${shell[@]}"
  fi
  echo started >&8
  exec 8>&-
  await env "${default_signals[@]}" -- "$@"
  exit "$status"
}

await() { # COMMAND...: sets status
  status=0
  trap - ERR
  trap : INT QUIT # Ctrl-C is for the command; we wait for it
  # Where a signal ends the command, bash would add a message of its own.
  { "$@" 2>&3 3>&- || status=$?; } 3>&2 2>/dev/null
}

# ── a second terminal ───────────────────────────────────────────────────────

# Its PID 1 is the first of a pid namespace below ours, and a grandchild of the
# playground.sh that you have started. It need not be written down anywhere.
find_playgrounds() { # sets playgrounds[PID OF ITS playground.sh]=ITS PID 1
  local outside pid
  playgrounds=()
  while read -r outside pid; do
    if [[ -O /proc/$outside ]] && is_ready "$pid"; then playgrounds[outside]=$pid; fi
  done < <(status_of_all_processes | awk -F '[/:[:space:]]+' -v me=$$ '
    $5 == "PPid" { parent[$3] = $6 }
    $5 == "NSpid" { depth[$3] = NF; number[$3] = $NF }
    END {
      for (pid in number)
        if (number[pid] == 1 && depth[pid] == depth[me] + 1) print parent[parent[pid]], pid
    }')
}

# One that ends meanwhile is no error.
status_of_all_processes() {
  grep -sE '^(PPid|NSpid):' /proc/[0-9]*/status || true
}

# It closes file descriptor 8 before its first command.
is_ready() { # PID
  [[ $(command_line "$1") == *'/scripts/playground.sh --init '* && ! -e /proc/$1/fd/8 ]]
}

command_line() { # PID: nothing, once it ends
  tr '\0' ' ' <"/proc/$1/cmdline" || true
} 2>/dev/null

choose_playground() { # PID, or '' for the only one: sets playground, its PID 1
  local outside runs choices=()
  playground=''
  find_playgrounds
  for outside in "${!playgrounds[@]}"; do
    [[ ${1:-$outside} != "$outside" ]] || playground=${playgrounds[outside]}
    runs=$(command_line "${playgrounds[outside]}")
    runs=${runs#*--init } runs=${runs% }
    choices+=("scripts/playground.sh --join=$outside   runs ${runs:-a shell}")
  done
  [[ ${#choices[@]} -gt 0 ]] || fail 'no playground of yours runs here.' \
    'Start one in another terminal: scripts/playground.sh' \
    'One that was started with sudo is joined with sudo.'
  [[ $playground ]] || fail "process $1 is no playground of yours. Join one with:" "${choices[@]}"
  [[ $1 || ${#choices[@]} -eq 1 ]] ||
    fail "${#choices[@]} playgrounds of yours run here. Join one with:" "${choices[@]}"
}

join() { # --join OR --join=PID, COMMAND...
  local pid='' environment settings=''
  self=$(realpath "$0")
  usual_limits
  need nsenter util-linux && need setpriv util-linux && need awk gawk
  enter_delegated_scope "$@"
  [[ $1 == --join ]] || pid=${1#*=}
  shift
  [[ ${1-} != -- ]] || shift
  choose_playground "$pid"
  close_inherited_files
  [[ ! -t 0 ]] || settings=$(stty -g)
  # What PID 1 was started with. The terminal is ours.
  mapfile -d '' -t environment <"/proc/$playground/environ"
  await env --ignore-environment "${environment[@]}" TERM="${TERM-}" playground="$playground" \
    "$self" --enter "$@"
  if playground_has_ended; then
    # What was killed with it did not give the terminal back.
    [[ ! $settings ]] || (trap '' TTOU && stty "$settings")
    # nsenter's own status: no command was killed with it, for none had begun.
    ((status != 1)) || fail 'no playground of yours runs here any more: it ended just now.'
    echo 'playground: it has ended, and all that ran in it.' >&2
  fi
  exit "$status"
}

# Who was killed may have been killed with it, and be the first to go.
playground_has_ended() {
  for _ in {1..20}; do
    [[ $(command_line "$playground") ]] || return 0
    [[ $status == 137 ]] || return 1
    sleep 0.05
  done
  return 1
}

# The ids change with the user namespace, and that clears a signal that is to
# come at the parent's end. So it is asked for after that.
enter() { # COMMAND...
  local end_with_parent=(setpriv --pdeathsig KILL) preserve=()
  [[ $(<"/proc/$playground/setgroups") == allow ]] || preserve=(--preserve-credentials)
  join_cgroups
  exec nsenter --target "$playground" --user "${preserve[@]}" -- "${end_with_parent[@]}" \
    nsenter --target "$playground" --mount --uts --ipc --net --pid --cgroup -- \
    "${end_with_parent[@]}" "$checkout/scripts/playground.sh" --joined "$@"
}

# Where PID 1 is: on v2 in the leaf that leave_host made.
join_cgroups() {
  local type dir
  while IFS='|' read -r type _ _ dir; do
    [[ $type != cgroup2 ]] || dir+=/init
    [[ ! $type ]] || echo $$ >"$dir/cgroup.procs" || fail "join the cgroup $dir: refused." \
      'Join from where you started the playground: the same login, the same user.'
  done <<<"$cgroups"
}

joined() { # COMMAND...
  settle_in
  if [[ $# -eq 0 ]]; then
    echo 'You have joined the playground. Leave it with: exit' >&2
    set -- "${shell[@]}"
  fi
  trap - ERR
  exec env "${default_signals[@]}" -- "$@"
}

# ── outside ─────────────────────────────────────────────────────────────────

# An open directory of the host would be a way out (CVE-2024-21626).
close_inherited_files() {
  local fd
  for fd in /proc/self/fd/*; do
    fd=${fd##*/}
    ((fd <= 2 || fd == 255)) || exec {fd}>&-
  done
}

choose_programs() {
  local target=${CARGO_TARGET_DIR:-$checkout/target}
  if [[ ! ${WORKSHOP_BIN:-} ]]; then
    WORKSHOP_BIN=$target/debug
    [[ ! -x $target/release/01-chroot ]] || WORKSHOP_BIN=$target/release
  fi
  WORKSHOP_BIN=$(realpath -m "$WORKSHOP_BIN")
  # An ordinary user's PATH on Debian lacks the directories of ip and nft.
  export WORKSHOP_BIN PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
}

# Those of a login on any machine, as far as you may have them.
usual_limits() {
  ulimit -S -d hard -e hard -f hard -i hard -l hard -m hard -q hard -r hard -t hard -u hard -v hard
  ulimit -S -c 0
  ulimit -S -n 1024 2>/dev/null || ulimit -S -n hard
  ulimit -S -s 8192 2>/dev/null || ulimit -S -s hard
}

# It outlives us, even kill -9: its input ends when the last process that holds
# file descriptor 8 is gone. It has a session of its own, out of reach of Ctrl-C:
# to ignore that is not enough, since from bash 5.3 on what a process
# substitution starts does not.
start_janitor() {
  exec 8> >(exec setsid "$self" --janitor)
  janitor=$!
}

# Says whether PID 1 came as far as the command.
janitor() {
  local started=
  trap '' HUP INT QUIT TERM
  trap - ERR
  read -r started || true
  while read -r _; do :; done
  read_cgroup_directories
  remove_cgroups
  [[ $started ]]
}

outside() { # ARGS...
  [[ ${1-} != -- ]] || shift
  checkout=$(realpath "$(dirname "$0")/..")
  export checkout self=$checkout/scripts/playground.sh outside_pid=$$
  need unshare util-linux && need nsenter util-linux && need setpriv util-linux
  need mount mount && need awk gawk
  close_inherited_files
  [[ ${HOME-} ]] || { unset HOME && export HOME=~; } # as /etc/passwd has it
  usual_limits
  enter_delegated_scope -- "$@"
  [[ ! ${playground_delegated:-} ]] || step_aside_in_scope
  choose_programs
  find_pivot_root
  export came_from=$PWD through_user_namespace=
  local into_root=() status=0
  if ! may_mount; then
    open_user_namespace map_the_user
    through_user_namespace=1
    into_root=("${enter_user_namespace[@]}")
    # AppArmor lets the namespace be made, and refuses what root does in it.
    "${into_root[@]}" unshare --mount true 2>/dev/null ||
      fail_without_user_namespace 'unshare(CLONE_NEWNS) as root of a user namespace'
  fi
  choose_cgroups
  start_janitor
  [[ ! $cgroups ]] || mkdir "${cgroup_directories[@]}"
  "${into_root[@]}" unshare --mount -- "$self" --build-view "$@" || status=$?
  exec 8>&-
  wait "$janitor" || status=125
  exit "$status"
}

main() {
  case ${1-} in
    -h | --help) usage ;;
    --build-view) build_view "${@:2}" ;;
    --leave-host) leave_host "${@:2}" ;;
    --init) init "${@:2}" ;;
    --join | --join=*) join "$@" ;;
    --enter) enter "${@:2}" ;;
    --joined) joined "${@:2}" ;;
    --janitor) janitor ;;
    *) outside "$@" ;;
  esac
}

main "$@"
