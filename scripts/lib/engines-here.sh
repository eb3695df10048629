# shellcheck shell=bash
# Sourced by doctor.sh: which container engines this machine has, and how step 11
# becomes their runtime. `find_engines_here` reads the files of the engines; only a
# docker that answers is asked.
# shellcheck disable=SC2154,SC2016 # causes.sh sets root and reasons; docker fills in its format

# A row for each: the engine; what it does with step 11 (knows, takes or lacks); why;
# what to type.
engine() { engines+=("$1"$'\t'"$2"$'\t'"$3"$'\t'"$4"); }

find_engines_here() {
    engines=()
    runtime=$(realpath -m "${WORKSHOP_BIN:-${CARGO_TARGET_DIR:-$scripts/../target}/release}/11-oci-runtime")
    find_docker
    find_podman
    if is_installed ctr; then
        engine ctr takes 'it takes a runtime by its path, for one container' "sudo ctr run --rm -t --runc-binary $runtime IMAGE NAME sh"
    fi
    find_rootless
    if ((${#engines[@]} == 0)); then
        engine none lacks 'no engine is installed here' 'sudo ./scripts/engines.sh (unpacks docker, containerd and podman, and installs nothing)'
    fi
}

find_docker() {
    local daemon=/etc/docker/daemon.json path
    # podman calls itself docker, too.
    is_installed dockerd || return 0
    if docker_names_workshop; then
        engine docker knows "it has a runtime workshop ($found)" 'docker run --rm -it --runtime workshop IMAGE'
        return
    fi
    path="\"runtimes\": { \"workshop\": { \"path\": \"$runtime\" } }"
    if [[ ! -e $root$daemon ]]; then
        engine docker takes 'it has no runtime workshop; a reload adds one, and containers go on' \
            "sudo mkdir -p /etc/docker; echo '{ $path }' | sudo tee $daemon && sudo systemctl reload docker"
    elif [[ $(<"$root$daemon") =~ $named ]]; then
        engine docker takes "$daemon names a runtime workshop, which docker has not read yet, or which is not there: ${BASH_REMATCH[1]}" \
            'cargo build --release; sudo systemctl reload docker'
    else
        engine docker takes 'it has no runtime workshop; a reload adds one, and containers go on' \
            "sudoedit $daemon (add $path), then: sudo systemctl reload docker"
    fi
}

# In a file: the path of a runtime of this name.
named='"workshop"[[:space:]]*:[[:space:]]*\{[[:space:]]*"path"[[:space:]]*:[[:space:]]*"([^"]*)"'

# What it says counts more than what is written. One that is asleep is not asked: at its
# socket, systemd would wake it. Sets found.
docker_names_workshop() {
    local said='' daemon=$root/etc/docker/daemon.json
    if [[ -z $root && -e /proc/$(first_line /run/docker.pid none) ]]; then
        said=$(timeout 2 docker --host unix:///run/docker.sock info \
            --format '{{range $name, $it := .Runtimes}}{{$name}} {{end}}' 2>/dev/null) || said=''
    fi
    if [[ $said ]]; then
        found='it says so'
        [[ " $said " == *' workshop '* ]]
    else
        found=$daemon
        [[ -r $daemon && $(<"$daemon") =~ $named && -x $root${BASH_REMATCH[1]} ]]
    fi
}

find_podman() {
    local file
    is_installed podman || return 0
    for file in "$root"{/etc,"$HOME/.config",/usr/share}/containers/containers.conf; do
        if [[ -r $file && $(<"$file") =~ (^|$'\n')[[:space:]]*workshop[[:space:]]*= ]]; then
            engine podman knows "it has a runtime workshop (${file#"$root"})" 'podman --runtime workshop run --rm -it IMAGE'
            return
        fi
    done
    engine podman takes 'it takes a runtime by its path, for one command' "podman --runtime $runtime run --rm -it IMAGE"
}

# What an ordinary user lacks, for both. The first that is missing stops them.
find_rootless() {
    local name program missing verdict='' why='' mend=''
    for name in podman docker; do
        case $name in
            podman) program=podman missing=$(none_of 'slirp4netns pasta') ;;
            docker) program=dockerd missing=$(none_of rootlesskit && none_of 'slirp4netns vpnkit') ;;
        esac
        is_installed "$program" || continue
        if no_user_namespace rootless; then
            engine "rootless $name" lacks "$why" "$mend"
        elif [[ $name == docker && $missing ]]; then
            engine "rootless $name" lacks "it needs ${missing//$'\n'/, and }" "sudo apt install $(cut -d , -f 1 <<<"$missing" | paste -sd ' ')"
        elif no_range_of_ids rootless && [[ $name == docker ]]; then
            engine "rootless $name" lacks "it needs a range of ids (${why##*(}" "$mend"
        elif no_range_of_ids rootless; then
            engine "rootless $name" takes "it $why" "$mend"
        elif no_cgroup rootless; then
            engine "rootless $name" takes "it works, but without limits and without pause: $why" "$mend"
        elif [[ $missing ]]; then
            engine "rootless $name" takes "it works, but only with --network none and host: it needs $missing" "sudo apt install ${missing%%,*}"
        fi
    done
}

# Prints these programs, unless one of them is there.
none_of() { # PROGRAMS
    local program
    for program in $1; do
        if is_installed "$program"; then return; fi
    done
    echo "${1// /, or }"
}

say_engines() {
    local name verdict why mend
    printf '\nEngines that can drive step 11:\n'
    while IFS=$'\t' read -r name verdict why mend; do
        printf '  %s: %s\n    %s\n' "$name" "$why" "$mend"
    done < <(printf '%s\n' "${engines[@]}")
}

say_engines_as_json() {
    local name verdict why mend separator=''
    printf '"engines":['
    while IFS=$'\t' read -r name verdict why mend; do
        printf '%s\n {"engine":"%s","verdict":"%s","why":%s,"mend":%s}' "$separator" "$name" "$verdict" \
            "$(json_string "$why")" "$(json_string "$mend")"
        separator=,
    done < <(printf '%s\n' "${engines[@]}")
    printf '],\n'
}
