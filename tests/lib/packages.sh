# shellcheck shell=bash disable=SC2034
# Debian packages for tests/run and conf/demo/run: installs what is missing and nothing else. Sourced, not run.
#
# When all is there, apt is not touched, so that a second run starts at once. Some are wanted as programs for tests, not as
# services: they are kept from starting while they are installed, and from starting at the next boot.

# What builds the program.
sp_build_packages=(gcc libc6-dev cmake ninja-build pkgconf libssl-dev libevent-dev libyaml-dev libsystemd-dev
    libcurl4-openssl-dev libc-ares-dev)
# What proves it, on top of that.
sp_test_packages=(libcmocka-dev clang clang-format libclang-rt-dev binutils universal-ctags python3 python3-pytest
    python3-pytest-xdist python3-cryptography python3-cryptography-vectors python3-yaml curl openssl nginx procps git ca-certificates
    python3-websockets haproxy postgresql redis-server redis-tools stunnel4 socat)
# Those of them that would start a service, of the same name.
sp_quiet_packages=(nginx haproxy postgresql redis-server)

sp_say() {
    printf '%s\n' "$*"
}

sp_die() {
    printf '\n%s: %s\n' "${0##*/}" "$1" >&2
    shift
    [ $# -eq 0 ] || printf '    %s\n' "$@" >&2
    exit 1
}

# The packages among the arguments that are not installed, one a line.
sp_packages_missing() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s\n' "$package"
    done
}

# Run as root: as we are, or through sudo. Without a terminal sudo must not ask.
sp_as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif [ -t 0 ]; then
        sudo -- "$@"
    else
        sudo -n -- "$@"
    fi
}

sp_apt_get() {
    sp_as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
        apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"
}

# sp_policy_put SERVICE...: a policy for the time of the installation that denies these their start (invoke-rc.d asks by that name,
# deb-systemd-invoke by the unit's) and lets everything else be, so that it harms nobody even if we are killed before it is taken
# away. One that is there already is the administrator's, and stays.
sp_policy_file=/usr/sbin/policy-rc.d
sp_policy_is_ours=no
sp_policy_put() {
    [ -e "$sp_policy_file" ] && return
    sp_policy_is_ours=yes
    printf '%s\n' '#!/bin/sh' '# Put here while packages are installed for the tests of sallyport; may be removed.' \
        "case \${1%.service} in $(IFS='|' && printf '%s' "$*")) exit 101 ;; esac" 'exit 104' |
        sp_as_root tee "$sp_policy_file" >/dev/null
    sp_as_root chmod 755 "$sp_policy_file"
}
sp_policy_take_away() {
    [ "$sp_policy_is_ours" = yes ] && sp_as_root rm -f "$sp_policy_file"
    sp_policy_is_ours=no
}

# Says which of the packages apt does not know, and what to run by hand.
sp_packages_refused() {
    local package unknown=()
    for package in "$@"; do
        apt-cache policy "$package" 2>/dev/null | grep -q 'Candidate: [^(]' || unknown+=("$package")
    done
    if [ ${#unknown[@]} -gt 0 ]; then
        sp_die "these packages cannot be had from the sources of apt on this machine: ${unknown[*]}" \
            "sallyport is built on Debian 12; see /etc/apt/sources.list, then run by hand:" \
            "apt-get update && apt-get install --no-install-recommends $*"
    fi
    sp_die "apt-get could not install: $*" "its own message is above; run by hand (as root):" \
        "apt-get update && apt-get install --no-install-recommends $*"
}

# The services that these packages bring, one a line. One that is there already, from another package, is in use and let be.
sp_services_to_come() {
    local package
    for package in "${sp_quiet_packages[@]}"; do
        [[ " $* " == *" $package "* ]] && [ ! -e "/etc/init.d/$package" ] && printf '%s\n' "$package"
    done
    true
}

# sp_packages_install PACKAGE...: all of them are there afterwards, or the script has ended with a message.
sp_packages_install() {
    local missing quiet package
    if [ -n "${SP_NO_APT:-}" ]; then
        return
    fi
    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
        sp_die "this is no Debian: apt-get is missing" "install the counterparts of these and set SP_NO_APT=1:" "$*"
    mapfile -t missing < <(sp_packages_missing "$@")
    [ ${#missing[@]} -gt 0 ] || return 0

    sp_say "    to be installed: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        sp_die "packages are missing, and to install them takes root or sudo" "run as root:" \
            "apt-get update && apt-get install --no-install-recommends ${missing[*]}"
    fi
    trap sp_policy_take_away EXIT
    sp_apt_get update || sp_packages_refused "${missing[@]}"
    mapfile -t quiet < <(sp_services_to_come "${missing[@]}")
    [ ${#quiet[@]} -gt 0 ] && sp_policy_put "${quiet[@]}"
    sp_apt_get install -y --no-install-recommends "${missing[@]}" || sp_packages_refused "${missing[@]}"
    sp_policy_take_away
    trap - EXIT
    if [ ${#quiet[@]} -gt 0 ] && command -v update-rc.d >/dev/null; then
        for package in "${quiet[@]}"; do
            sp_as_root update-rc.d "$package" disable >/dev/null 2>&1 || true
        done
    fi
    mapfile -t missing < <(sp_packages_missing "$@")
    [ ${#missing[@]} -eq 0 ] || sp_packages_refused "${missing[@]}"
}
