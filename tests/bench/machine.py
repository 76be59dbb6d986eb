"""What the machine is, and what makes it ready: packages, the build, limits, CPUs."""
import datetime
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = "nginx haproxy hitch openssl util-linux"
# The services of the peers are kept from starting, as in tests/run.
INSTALL = f""". tests/lib/packages.sh
sp_quiet_packages+=(hitch)
sp_packages_install "${{sp_build_packages[@]}}" {PACKAGES}"""


def install():
    """The peers and what the build needs, from the distribution; nothing where SP_NO_APT is set, or all is there."""
    if subprocess.run(["bash", "-c", INSTALL], cwd=ROOT, stdout=sys.stderr).returncode != 0:
        raise SystemExit(1)


def build(folder, targets):
    """The release and the tools."""
    for command in (["cmake", "--preset", "release", "-B", str(folder), "-DSP_BENCH=ON"],
                    ["cmake", "--build", str(folder), "--target", *targets]):
        print("+", " ".join(command), file=sys.stderr)
        if subprocess.run(command, cwd=ROOT, stdout=sys.stderr).returncode != 0:
            raise SystemExit("the build failed")


def choose_cpus(proxy, load):
    """Those asked for, or else the first two that we may use."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise SystemExit("two CPUs are needed: one for the proxy, one for load and backend")
    proxy = allowed[0] if proxy is None else proxy
    return proxy, next(cpu for cpu in allowed if cpu != proxy) if load is None else load


def raise_limits():
    """As many descriptors as we may have: whoever holds 10,000 connections needs them."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, 65536), max(hard, 65536)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def first_of(path, name):
    """The value of the first line `name : value` of a file, or ""."""
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def said_by(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]
    except (OSError, IndexError):
        return ""


def distribution():
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return platform.system()


def describe():
    virtual = "hypervisor" in first_of("/proc/cpuinfo", "flags").split()
    return {
        "cpu": first_of("/proc/cpuinfo", "model name") or platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "virtual": virtual,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "kernel": platform.release().split("-")[0],
        "system": distribution(),
        "openssl": " ".join(said_by("openssl", "version").split()[1:2]),
        "compiler": said_by("cc", "--version"),
        "date": datetime.date.today().isoformat(),
    }
