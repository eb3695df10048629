# shellcheck shell=bash
# Sourced. What /etc/subuid or /etc/subgid lends to a user, by name or number: one
# range per line, FIRST COUNT. Ranges that overlap OWN ID or one another are left
# out, since a map can't have an id twice. Step 05 has the same rule (src/ids.rs).
subordinate_ranges() { # FILE NAME UID OWN-ID
  local owner first count range taken=("$4 1")
  [[ -r $1 ]] || return 0
  while IFS=: read -r owner first count; do
    [[ $owner == "$2" || $owner == "$3" ]] || continue
    if [[ ! $first:$count =~ ^[0-9]+:[0-9]+$ ]] || ((count == 0)); then continue; fi
    for range in "${taken[@]}"; do
      ((first + count <= ${range% *} || first >= ${range% *} + ${range#* })) || continue 2
    done
    taken+=("$first $count")
    echo "$first $count"
  done <"$1"
}

# The same ranges, as newuidmap takes them: INSIDE FIRST COUNT, from 1 on.
map_of_ranges() { # LINES
  local first count inside=1 map=()
  while read -r first count; do
    [[ ! $first ]] || map+=("$inside" "$first" "$count")
    inside=$((inside + ${count:-0}))
  done <<<"$1"
  echo "${map[@]}"
}
