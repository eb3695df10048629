#!/usr/bin/env bash
# What a cgroup uses, compared with its limits, live. Version 2 and version 1.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/live-view.sh
source "${BASH_SOURCE[0]%/*}/lib/live-view.sh"

usage() {
  cat <<USAGE
usage: scripts/watch-cgroup.sh [OPTIONS] [PID|CGROUP]

Shows the memory, CPU and processes of a cgroup against their limits, with what it
used before, how often it was throttled, and how many of its processes were killed
because memory ran out. The cgroup is the one in which PID lives, such as a docker
container's (docker inspect --format '{{.State.Pid}}' NAME), or a directory below
/sys/fs/cgroup. Default: the cgroup of this shell.

  --newest       of all cgroups, the one that was made last: another one whenever
                 there is one, and what was seen of it when it is gone
$live_options
USAGE
}

# ── where the kernel shows it ───────────────────────────────────────────────

# mountinfo: id parent device ROOT POINT options … - TYPE source SUPER-OPTIONS
# Sets mounted_at and mounted_root for each controller of version 1, and for v2.
declare -A mounted_at=() mounted_root=()
find_hierarchies() {
  local root point rest type options controller
  while read -r _ _ _ root point rest; do
    read -r type _ options <<<"${rest#* - }"
    case $type in
      cgroup2) mounted_at[v2]=$point mounted_root[v2]=${root%/} ;;
      cgroup)
        for controller in ${options//,/ }; do
          mounted_at[$controller]=$point mounted_root[$controller]=${root%/}
        done ;;
    esac
  done </proc/self/mountinfo
}

# A controller belongs to only one hierarchy: that of version 1 if it is mounted.
version_of() { # CONTROLLER
  [[ ${mounted_at[$1]-} ]] && echo 1 || echo 2
}

hierarchy_of() { # CONTROLLER: sets hierarchy
  hierarchy=v2
  [[ ! ${mounted_at[$1]-} ]] || hierarchy=$1
}

directory_of_process() { # PID CONTROLLER: sets answer
  local controllers path
  answer=
  while IFS=: read -r _ controllers path; do
    [[ ,$controllers, == *",${hierarchy#v2},"* ]] || continue
    path=${path#"${mounted_root[$hierarchy]-}"}
    answer=${mounted_at[$hierarchy]-}${path%/}
    return
  done <"/proc/$1/cgroup"
}

# The same path names the cgroup's directory in each hierarchy.
directory_of_cgroup() { # DIRECTORY CONTROLLER: sets answer
  local point path=$1
  for point in "${mounted_at[@]}"; do
    [[ $1/ != "$point"/* ]] || { path=${1#"$point"} && break; }
  done
  answer=${mounted_at[$hierarchy]-}$path
}

find_directories() { # PID OR DIRECTORY
  local find=directory_of_process controller hierarchy
  [[ ! -d $1 ]] || find=directory_of_cgroup
  declare -gA directory=()
  for controller in memory cpu cpuacct pids; do
    hierarchy_of "$controller"
    "$find" "$1" "$controller"
    directory[$controller]=$answer
  done
}

find_newest() { # sets the directories; fails if there is no new one
  local found hierarchy
  hierarchy_of pids
  found=$(find "${mounted_at[$hierarchy]}" -mindepth 1 -type d -not -name init \
    -printf '%T@ %p\n' 2>/dev/null | sort -n | tail -n 1)
  [[ $found ]] || return 1
  [[ ${found#* } != "${directory[pids]-}" ]] || return 0
  find_directories "${found#* }"
  cpu_before_at=0
}

# A cgroup may come and go between two pictures: what it used at most is kept.
glance() {
  [[ $newest ]] || return 0
  local cgroup kind hierarchy
  hierarchy_of pids
  for cgroup in "${mounted_at[$hierarchy]}"/{*,*/*}/; do
    [[ $cgroup != */init/ && $cgroup != *\** && ! ${known[$cgroup]-} ]] || continue
    known[$cgroup]=1 most=() glanced=1
    find_directories "${cgroup%/}"
  done
  [[ $glanced && -d ${directory[pids]} ]] || return 0
  measure_memory
  measure_pids
  used[kills]=$kills used[refused]=$refused
  for kind in memory pids kills refused; do
    ((${used[$kind]:-0} < ${most[$kind]:-0})) || most[$kind]=${used[$kind]:-0}
    [[ ! ${limit[$kind]-} ]] || most[$kind-limit]=${limit[$kind]}
  done
}

# ── what the kernel shows ───────────────────────────────────────────────────

# The file's first line, or nothing.
read_line() { # CONTROLLER FILE: sets answer
  answer=
  { IFS= read -r answer <"${directory[$1]}/$2"; } 2>/dev/null || true
}

# The value beside KEY in a file of keys.
read_key() { # CONTROLLER FILE KEY: sets answer
  local key value
  answer=0
  while read -r key value; do
    [[ $key != "$3" ]] || answer=$value
  done 2>/dev/null <"${directory[$1]}/$2" || true
}

first_of() { # CONTROLLER FILE FILE: version 2's, else version 1's
  read_line "$1" "$2"
  [[ $answer ]] || read_line "$1" "$3"
}

# What is used, and the limit: bytes, processes, or millionths of a CPU. What means
# "no limit" becomes empty: `max`, -1, and the largest number of version 1.
declare -A used=() limit=() past=() most=() known=()

measure_memory() {
  first_of memory memory.current memory.usage_in_bytes
  used[memory]=$answer
  first_of memory memory.max memory.limit_in_bytes
  limit[memory]=${answer#max}
  [[ ${#answer} -lt 19 ]] || limit[memory]=
  read_key memory memory.events oom_kill
  kills=$answer
  read_key memory memory.oom_control oom_kill
  kills=$((kills + answer))
}

measure_pids() {
  read_line pids pids.current
  used[pids]=$answer
  read_line pids pids.max
  limit[pids]=${answer#max}
  read_key pids pids.events max
  refused=$answer
}

measure_cpu() {
  local now=${EPOCHREALTIME/[.,]/} total quota period
  read_key cpu cpu.stat usage_usec
  total=$answer
  if [[ ${mounted_at[cpuacct]-} ]]; then
    read_line cpuacct cpuacct.usage
    total=$((${answer:-0} / 1000))
  fi
  used[cpu]=0
  ((!cpu_before_at)) || used[cpu]=$(((total - cpu_before) * 1000000 / (now - cpu_before_at)))
  cpu_before=$total cpu_before_at=$now

  read_line cpu cpu.max
  read -r quota period <<<"$answer"
  if [[ ! $quota ]]; then
    read_line cpu cpu.cfs_period_us
    period=$answer
    read_line cpu cpu.cfs_quota_us
    quota=${answer/#-1/max}
  fi
  limit[cpu]=
  [[ ! $period || $quota == max ]] || limit[cpu]=$((quota * 1000000 / period))
  read_key cpu cpu.stat nr_periods
  periods=$answer
  read_key cpu cpu.stat nr_throttled
  throttled=$answer
}

# Without a limit, the bar shows a share of all that the machine has.
all_there_is() { # KIND
  local kib
  case $1 in
    memory) read -r _ kib _ </proc/meminfo && echo $((kib * 1024)) ;;
    cpu) echo $(($(nproc) * 1000000)) ;;
    pids) cat /proc/sys/kernel/pid_max ;;
  esac
}

measure() {
  measure_memory
  measure_cpu
  measure_pids
  remember
}

remember() {
  local kind of
  for kind in memory cpu pids; do
    of=${limit[$kind]:-$(all_there_is "$kind")}
    past[$kind]+=" $((${used[$kind]:-0} * 100 / (of ? of : 1)))"
  done
}

# ── what it looks like ──────────────────────────────────────────────────────

paint() { # CODE TEXT
  if [[ $colour ]]; then printf '\e[%sm%s\e[0m' "$1" "$2"; else printf '%s' "$2"; fi
}

repeat() { # CHARACTER N
  local blanks
  printf -v blanks '%*s' "$2" ''
  printf '%s' "${blanks// /"$1"}"
}

colour_of() { # PERCENT
  if (($1 >= 90)); then echo 31; elif (($1 >= 70)); then echo 33; else echo 32; fi
}

bar() { # PERCENT WIDTH
  local full=$(($1 * $2 / 100))
  ((full <= $2)) || full=$2
  paint "$(colour_of "$1")" "$(repeat █ "$full")"
  paint 2 "$(repeat ░ $(($2 - full)))"
}

# The newest is on the right. A space means: no measurement yet.
history_line() { # WIDTH PERCENT...
  local width=$1 percent levels=(▁ ▂ ▃ ▄ ▅ ▆ ▇ █) line=''
  shift
  (($# <= width)) || shift $(($# - width))
  repeat ' ' $((width - $#))
  for percent; do
    ((percent < 100)) || percent=99
    line+=${levels[percent * 8 / 100]}
  done
  paint 36 "$line"
}

human() { # KIND NUMBER
  case $1 in
    memory) numfmt --to=iec-i --suffix=B --format=%.1f "$2" ;;
    cpu) printf '%d.%02d' $(($2 / 1000000)) $(($2 / 10000 % 100)) ;;
    *) echo "$2" ;;
  esac
}

show() { # KIND WIDTH NOTE
  local kind=$1 width=$2 of percent text
  if [[ ! ${used[$kind]} ]]; then
    printf '%-9s%s\n\n\n' "$kind" "$(paint 2 'not counted here: this is the root cgroup, or lacks the controller')"
    return
  fi
  of=${limit[$kind]:-$(all_there_is "$kind")}
  percent=${past[$kind]##* }
  text="$(human "$kind" "${used[$kind]}") of $(human "$kind" "$of")"
  [[ $kind != cpu ]] || text+=' CPUs'
  [[ ${limit[$kind]} ]] || text+=' (no limit)'
  printf '%-9s%s %3d%% %s\n' "$kind" "$(bar "$percent" "$width")" "$percent" "$text"
  # shellcheck disable=SC2086 # many words
  printf '%-9s%s      %s\n\n' '' "$(history_line "$width" ${past[$kind]})" "$3"
}

warn_if() { # NUMBER TEXT
  if (($1)); then paint '1;31' "$2"; else paint 2 "$2"; fi
}

compose() { # COLUMNS
  local width=$(($1 - 48)) hierarchy path
  hierarchy_of memory
  path=${directory[memory]#"${mounted_at[$hierarchy]-}"}
  path=${path:-/ (the root of the cgroups seen here)}
  ((width >= 10)) || width=10
  ((width <= 80)) || width=80
  printf '%s  %s\n\n' "$(date +%T) · version $(version_of memory)" "$(paint 1 "$path")"
  show memory "$width" "$(warn_if "$kills" "OOM kills: $kills")"
  show cpu "$width" "$(warn_if "$throttled" "throttled: $throttled of $periods periods")"
  show pids "$width" "$(warn_if "$refused" "refused forks: $refused")"
}

# It is gone: what it used at most, as its last picture.
show_what_was() { # COLUMNS
  local kind
  used[cpu]=0 limit[cpu]='' throttled=0 periods=0 glanced=
  kills=${most[kills]-0} refused=${most[refused]-0}
  for kind in memory pids; do used[$kind]=${most[$kind]-} limit[$kind]=${most[$kind-limit]-}; done
  remember
  seen=$(compose "$1")
}

frame() { # COLUMNS ROWS
  if [[ $newest ]] && ! find_newest; then
    [[ ! $glanced ]] || show_what_was "$1"
    picture=${seen:-waiting for a cgroup …}
    return
  fi
  glanced=
  if [[ ! -d ${directory[memory]} && ! -d ${directory[pids]} ]]; then
    picture="cgroup ${directory[memory]} is gone"
    return
  fi
  [[ ! $once ]] || { measure_cpu && sleep 0.3; } # a speed takes two measurements
  measure
  picture=$(compose "$1")
  seen=$picture
}

main() {
  local of=$$
  newest='' seen='' glanced=''
  cpu_before=0 cpu_before_at=0
  while [[ $# -gt 0 ]]; do
    case $1 in
      -h | --help) usage && exit ;;
      --newest) newest=1 taken=1 ;;
      -*) live_option "$@" || { usage >&2 && exit 2; } ;;
      *)
        of=${1%/} taken=1
        [[ -d $of || $of =~ ^[0-9]+$ && -d /proc/$of ]] ||
          { echo "watch-cgroup: $1 is neither a process nor a directory" >&2 && exit 1; } ;;
    esac
    shift "$taken"
  done
  find_hierarchies
  declare -gA directory=()
  [[ $newest ]] || find_directories "$of"
  live_view
}

main "$@"
