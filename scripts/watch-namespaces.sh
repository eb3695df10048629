#!/usr/bin/env bash
# Which processes live in which namespaces, live.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/live-view.sh
source "${BASH_SOURCE[0]%/*}/lib/live-view.sh"

usage() {
  cat <<USAGE
usage: scripts/watch-namespaces.sh [OPTIONS] [PID...]

Shows the host in the first column, and beside it one column for each set of
processes that live in the same namespaces, the newest first. A number there is a
namespace that the host does not share; = is the host's. "7 → 1" is process 7, which
calls itself 1. A column that appeared within the last 5 seconds is marked.

A process that is gone before the next picture is named below the first line, with
the namespaces that were its own.

With PIDs: shows these processes and their descendants, such as a docker container's
(docker inspect --format '{{.State.Pid}}' NAME). The kernel decides whose namespaces
you may read: those of your own processes or, with sudo, everybody's.

  --playground PID  the host is the playground that runs below PID
$live_options
USAGE
}

playground='' pids=''

# One line per fact, from /proc: `find` reads links and `grep` reads files, each
# for all processes at once, since starting a program for each would be slow.
facts() {
  find /proc/[0-9]*/ns -type l -printf '%h %f %l\n' || true
  grep -sE '^(Name|State|PPid|Uid|NSpid):' /proc/[0-9]*/status || true
} 2>/dev/null

# The first line is for us: who is the host, and whose children are wanted.
frame() { # COLUMNS ROWS
  local gone pid
  tell_gone
  picture=$(facts | awk -v columns="$1" -v rows="$2" -v colour="$colour" -v pids="$pids" \
    -v me="$$" -v playground="$playground" -v clock="$(date +%T)" -v gone="$gone" "$program")
  read -r host watched <<<"$picture"
  picture=${picture#*$'\n'}
  below=()
  for pid in $watched; do below[$pid]=1; done
}

# Between two pictures: who is born, and has or makes a namespace that the host does not
# share?
declare -A below=() young=() owns=() parents=() names=()
host='' watched='' newest='' went=()
glance() {
  local pid last kind own stat
  read -r _ _ _ _ last </proc/loadavg # the newest of all processes
  for ((pid = ${newest:-$last} + 1; pid <= last; pid++)); do
    read -r stat <"/proc/$pid/stat" || continue
    stat=${stat##*) ? } stat=${stat%% *} # its parent
    [[ ! ${below[$stat]-} ]] || below[$pid]=1 young[$pid]=$stat
  done 2>/dev/null
  newest=$last
  for pid in "${!young[@]}"; do
    own=
    for kind in user mnt uts ipc pid net cgroup time; do
      [[ /proc/$pid/ns/$kind -ef /proc/$host/ns/$kind || ! -e /proc/$pid/ns/$kind ]] || own+=" $kind"
    done
    [[ ! $own ]] || owns[$pid]=$own parents[$pid]=${young[$pid]}
    [[ ! $own && -d /proc/$pid ]] || unset "young[$pid]"
  done
  for pid in "${!owns[@]}"; do
    read -r "names[$pid]" <"/proc/$pid/comm" || true
  done 2>/dev/null
}

# Those of the last five seconds: of a parent and its child in the same namespaces,
# the child.
tell_gone() { # sets gone
  local pid one
  for pid in "${!owns[@]}"; do
    [[ -d /proc/$pid || ${owns[${parents[$pid]}]-} != "${owns[$pid]-}" ]] || unset "owns[${parents[$pid]}]"
  done
  for pid in "${!owns[@]}"; do
    [[ -d /proc/$pid ]] || went+=("$EPOCHSECONDS ${names[$pid]-?}:${owns[$pid]}")
    unset "owns[$pid]" "names[$pid]"
  done
  gone=
  for one in "${went[@]}"; do
    ((EPOCHSECONDS - ${one%% *} >= 5)) || gone+="${gone:+ · }${one#* }"
  done
  gone=${gone:+gone again: $gone}
}

# shellcheck disable=SC2016 # awk's dollars
program='
{ read_fact() }

function read_fact(   part, pid, kind) {
  if (split($1, part, "/") < 4) return
  pid = part[3]
  if ($1 ~ /\/ns$/) {
    if ($2 !~ /_for_children$/ && $3 != "") namespace[pid, $2] = number($3)
    return
  }
  kind = part[4]
  sub(/^status:/, "", kind)
  if (kind == "Name:") name[pid] = rest_of_line()
  if (kind == "State:") state[pid] = $2
  if (kind == "PPid:") parent[pid] = $2
  if (kind == "Uid:") uid[pid] = $3
  if (kind == "NSpid:") { depth[pid] = NF - 1; for (i = 2; i <= NF; i++) number_at[pid, i - 1] = $i }
}

function rest_of_line(   text) { text = $0; sub(/^[^\t]*\t/, "", text); return text }
function number(link) { gsub(/[^0-9]/, "", link); return link }

END {
  kinds = split("user mnt uts ipc pid net cgroup time", kind, " ")
  host = find_host()
  print host, wanted_ones()
  if (host == "") { print "waiting for the playground …"; exit }
  make_rooms()
  sort_rooms()
  width = int((columns - 10) / (rooms + 1))
  width = width < 17 ? 17 : width > 26 ? 26 : width
  shown = int((columns - 10) / width) - 1
  if (shown > rooms) shown = rooms
  compact = rows < 20
  print_title()
  print_head()
  print_namespaces()
  if (!compact) print_processes()
}

# The first process below PID that lives in another pid namespace is PID 1 there.
function find_host(   pid, found) {
  if (playground == "") return me
  found = ""
  for (pid in name)
    if (is_below(pid, playground) && number_at[pid, depth[pid]] == 1 && depth[pid] == depth[me] + 1) found = pid
  return found
}

function is_below(pid, ancestor) {
  while (pid != "" && pid != 0) {
    if (pid == ancestor) return 1
    pid = parent[pid]
  }
  return 0
}

function is_wanted(pid,   i, n, wanted) {
  if (playground != "") return is_below(pid, host)
  if (pids == "") return 1
  n = split(pids, wanted, " ")
  for (i = 1; i <= n; i++) if (is_below(pid, wanted[i])) return 1
  return 0
}

function wanted_ones(   pid, text) {
  for (pid in name) if (host != "" && is_wanted(pid)) text = text " " pid
  return text
}

# Processes that live in the same namespaces share one room.
function room(pid,   i, text) {
  for (i = 1; i <= kinds; i++) text = text " " namespace[pid, kind[i]]
  return text
}

# The programs that make this picture. Those that have already ended have no room.
function is_ours(pid) {
  return pid != me && is_below(pid, me) && (!((pid, "pid") in namespace) || room(pid) == room(me))
}

function make_rooms(   pid, own) {
  for (pid in name) {
    if (parent[pid] == 2 || pid == 2) continue # the kernel itself
    if (state[pid] == "Z" || is_ours(pid)) continue
    if (playground != "" && !is_below(pid, host)) continue
    if (!((pid, "pid") in namespace)) { unreadable++; continue }
    room_of[pid] = room(pid)
  }
  for (pid in room_of) {
    own = room_of[pid]
    if (own == room_of[host]) { host_processes++; continue }
    if (!is_wanted(pid)) continue
    if (!(own in oldest)) { room_number[++rooms] = own; oldest[own] = pid }
    if (pid + 0 < oldest[own] + 0) oldest[own] = pid
  }
}

function sort_rooms(   i, j, moved) {
  for (i = 2; i <= rooms; i++) {
    moved = room_number[i]
    for (j = i - 1; j >= 1 && oldest[room_number[j]] + 0 < oldest[moved] + 0; j--) room_number[j + 1] = room_number[j]
    room_number[j + 1] = moved
  }
}

function paint(code, text) { return colour ? "\033[" code "m" text "\033[0m" : text }

# Cut and padded first, since colours have no width; and mawk counts bytes.
function cell(text, code) {
  gsub(/→/, "\001", text)
  text = sprintf("%-" width "s", substr(text, 1, width - 1))
  gsub("\001", "→", text)
  return code == "" ? text : paint(code, text)
}

function label(text) { return paint("2", sprintf("%-10s", text)) }

function print_title(   text, more) {
  if (rooms > shown) more = ", " rooms - shown " more than fit here"
  text = host_processes " processes of the host, " rooms + 0 " other set" (rooms == 1 ? "" : "s") " of namespaces" more
  if (unreadable) text = text " (" unreadable " hidden: sudo)"
  print clock "  " paint("1", text)
  if (!compact || gone != "") print gone == "" ? "" : paint("1;33", gone)
}

function print_head(   i, first, line) {
  line = label("") cell("HOST", "1;36")
  for (i = 1; i <= shown; i++) {
    first = oldest[room_number[i]]
    line = line cell((is_new(first) ? "* " : "") name[first], is_new(first) ? "1;7;32" : "1;32")
  }
  print line
  line = label("pid") cell("")
  for (i = 1; i <= shown; i++) line = line cell(both_numbers(oldest[room_number[i]]))
  print line
  if (!compact) print_origin()
  line = label("hostname") cell(hostname(host))
  for (i = 1; i <= shown; i++) {
    first = oldest[room_number[i]]
    line = line cell(hostname(first), namespace[first, "uts"] == namespace[host, "uts"] ? "2" : "1;33")
  }
  print line
}

function print_origin(   i, first, line) {
  line = label("parent") cell("")
  for (i = 1; i <= shown; i++) { first = parent[oldest[room_number[i]]]; line = line cell(seen_number(first) " " name[first]) }
  print line
  line = label("user") cell(user(host))
  for (i = 1; i <= shown; i++) line = line cell(user(oldest[room_number[i]]))
  print line
}

function print_namespaces(   i, k, first, own, line) {
  if (!compact) print ""
  for (k = 1; k <= kinds; k++) {
    if (!((host, kind[k]) in namespace)) continue # an older kernel
    line = label(kind[k]) cell(namespace[host, kind[k]])
    for (i = 1; i <= shown; i++) {
      own = namespace[oldest[room_number[i]], kind[k]]
      line = line (own == namespace[host, kind[k]] ? cell("=", "2") : cell(own, "1;33"))
    }
    print line
  }
}

# Of the host, the newest processes; of the others, the first ones.
function print_processes(   i, r, free, line) {
  print ""
  free = rows - 2 - 5 - 1 - kinds - 1 - 1
  if (free < 1) free = 1
  list(room_of[host], 0, free, 1)
  for (i = 1; i <= shown; i++) list(room_number[i], i, free, 0)
  for (r = 1; r <= free && r <= longest; r++) {
    line = label(r == 1 ? "processes" : "") cell(listed[0, r])
    for (i = 1; i <= shown; i++) line = line cell(listed[i, r])
    print line
  }
}

# Sets listed[COLUMN, 1 …]. A host has too many processes: the newest ones count.
function list(of, column, free, newest,   pid, n, i, j, sorted, from) {
  n = 0
  for (pid in room_of) {
    if (room_of[pid] != of || (column && !is_wanted(pid))) continue
    for (j = n; j >= 1 && sorted[j] + 0 > pid + 0; j--) sorted[j + 1] = sorted[j]
    sorted[j + 1] = pid
    n++
  }
  from = newest && n > free ? n - free : 0
  for (i = 1; i <= free && from + i <= n; i++) listed[column, i] = both_numbers(sorted[from + i]) " " name[sorted[from + i]]
  if (!newest && n > free) listed[column, free] = "and " n - free + 1 " more"
  if (i - 1 > longest) longest = i - 1
}

# The number in the pid namespace of the host.
function seen_number(pid) { return ((pid, depth[host]) in number_at) ? number_at[pid, depth[host]] : pid }

function both_numbers(pid,   own) {
  own = number_at[pid, depth[pid]]
  return depth[pid] > depth[host] ? seen_number(pid) " → " own : seen_number(pid) ""
}

function user(pid,   line, field) {
  if (!users_read++) while ((getline line < "/etc/passwd") > 0) { split(line, field, ":"); user_name[field[3]] = field[1] }
  return uid[pid] in user_name ? user_name[uid[pid]] : uid[pid]
}

# A hostname can only be asked for from inside.
function hostname(pid,   command, answer) {
  if (namespace[pid, "uts"] == namespace[me, "uts"]) command = ""
  else if (namespace[pid, "user"] == namespace[me, "user"]) command = "nsenter --target " pid " --uts "
  else command = "nsenter --target " pid " --user --preserve-credentials --uts "
  command = command "cat /proc/sys/kernel/hostname 2>/dev/null"
  answer = "?"
  command | getline answer
  close(command)
  return answer
}

# Field 22 of stat is the start time, in hundredths of a second since boot. Field 2
# can contain spaces and parentheses.
function is_new(pid,   line, field, uptime) {
  if ((getline line < ("/proc/" pid "/stat")) <= 0) return 0
  close("/proc/" pid "/stat")
  sub(/^.*\) /, "", line)
  split(line, field, " ")
  if ((getline uptime < "/proc/uptime") <= 0) return 0
  close("/proc/uptime")
  split(uptime, line_of_uptime, " ")
  return line_of_uptime[1] - field[20] / 100 < 5
}
'

main() {
  while [[ $# -gt 0 ]]; do
    case $1 in
      -h | --help) usage && exit ;;
      --playground)
        [[ ${2-} =~ ^[0-9]+$ ]] || { usage >&2 && exit 2; }
        playground=$2 taken=2 ;;
      [0-9]*)
        [[ -d /proc/$1 ]] || { echo "watch-namespaces: there is no process $1" >&2 && exit 1; }
        pids+=" $1" taken=1 ;;
      *) live_option "$@" || { usage >&2 && exit 2; } ;;
    esac
    shift "$taken"
  done
  live_view
}

main "$@"
