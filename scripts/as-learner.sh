#!/usr/bin/env bash
# Root's way to see what an ordinary user gets. The user exists only in one private
# mount namespace, and is gone when the command ends.
set -euo pipefail
umask 022

usage() {
  cat <<'USAGE'
usage: scripts/as-learner.sh [--no-subuid] [--] COMMAND [ARG...]

Runs COMMAND as an ordinary user named learner, who exists only for this command:
no capabilities, no groups, a home on a tmpfs, and 65536 subordinate ids in
/etc/subuid and /etc/subgid. Needs root. The host's files do not change.

  --no-subuid   without subordinate ids, as on a machine where nobody set them up

If only root may enter a directory above the checkout, the checkout is shown in
the learner's home as well, and COMMAND starts there.

Inside the playground, the learner already exists, and COMMAND runs as that user.

Exit status: COMMAND's own; 125 if it can't be started.
USAGE
}

fail() { # LINE...
  printf 'as-learner: %s\n' "$@" >&2
  exit 125
}

home=/home/learner
[[ ! ${PLAYGROUND:-} ]] || home=/run/learner
as_learner=(env -u XDG_RUNTIME_DIR -u XDG_CACHE_HOME -u DBUS_SESSION_BUS_ADDRESS
  HOME="$home" USER=learner LOGNAME=learner SHELL=/bin/bash
  setpriv --reuid learner --regid learner --clear-groups --inh-caps=-all --)

first_free_id() { # FIRST
  local id=$1
  while cut -d: -f3 /etc/passwd /etc/group | grep -qx "$id"; do id=$((id + 1)); done
  echo "$id"
}

first_free_range() {
  local first count last=100000
  while IFS=: read -r _ first count; do
    ((first + count <= last)) || last=$((first + count))
  done < <(cat /etc/subuid /etc/subgid 2>/dev/null)
  echo "$last"
}

# A copy of all of /etc takes one mount. A bind mount over each changed file would
# take many, and an ordinary user can't put an overlay over a directory with mounts.
make_account() {
  local id range
  id=$(first_free_id 1500)
  range=$(first_free_range)
  mount -t tmpfs -o mode=755,size=256m learner /home
  mkdir "$home"
  chown "$id:$id" "$home"
  # A file that goes meanwhile is no error.
  cp -a /etc /home/.etc 2>/dev/null || [[ -s /home/.etc/passwd && -s /home/.etc/group ]]
  sed -i '/^learner:/d' /home/.etc/{passwd,group}
  echo "learner:x:$id:$id::$home:/bin/bash" >>/home/.etc/passwd
  echo "learner:x:$id:" >>/home/.etc/group
  [[ $no_subuid ]] || echo "learner:$range:65536" | tee -a /home/.etc/subuid >>/home/.etc/subgid
  mount --bind /home/.etc /etc
}

# The current directory is still the checkout, whatever now hides its path.
bring_checkout() {
  local place=$home/${checkout##*/}
  "${as_learner[@]}" test -r "$checkout/scripts/as-learner.sh" 2>/dev/null && return
  mkdir "$place"
  mount --no-canonicalize --rbind . "$place"
  cd "$place"
  [[ ! ${WORKSHOP_BIN:-} ]] || export WORKSHOP_BIN="${WORKSHOP_BIN/#"$checkout"/$place}"
}

# In a mount namespace of our own: what we mount here, nobody else sees.
inside() { # COMMAND...
  local came_from=$PWD
  cd "$checkout"
  if [[ ! ${PLAYGROUND:-} ]]; then
    make_account
  elif [[ $no_subuid ]]; then
    mount --bind /dev/null /etc/subuid
    mount --bind /dev/null /etc/subgid
  fi
  id learner >/dev/null 2>&1 || fail 'there is no learner in this playground.' \
    'It has only one user id: /etc/subuid gives you no range, or newuidmap is missing.' \
    'See: scripts/doctor.sh'
  bring_checkout
  [[ $PWD != "$checkout" ]] || cd "$came_from"
  exec "${as_learner[@]}" "$@"
}

main() {
  case ${1-} in
    -h | --help) usage && exit ;;
    --inside) inside "${@:2}" ;;
  esac
  export no_subuid='' checkout
  [[ ${1-} != --no-subuid ]] || { no_subuid=1 && shift; }
  [[ ${1-} != -- ]] || shift
  [[ $# -gt 0 ]] || { usage >&2 && exit 125; }
  [[ $UID -eq 0 ]] || fail 'only root can become another user.' "Try: sudo $0 ..."
  checkout=$(realpath "$(dirname "$0")/..")
  [[ ! ${WORKSHOP_BIN:-} ]] || WORKSHOP_BIN=$(realpath -m "$WORKSHOP_BIN")
  exec unshare --mount -- "$checkout/scripts/as-learner.sh" --inside "$@"
}

main "$@"
