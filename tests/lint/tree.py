"""What all lints share: which files there are, and how a finding is printed."""

import argparse
import pathlib
import subprocess
import sys

SKIPPED_FOLDERS = {".git", "build", "__pycache__", ".pytest_cache"}


class Lint:
    """The tree under `root` and what was found wrong in it."""

    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.findings = []

    def found(self, path, line, text):
        where = path.relative_to(self.root) if isinstance(path, pathlib.Path) and path.is_absolute() else path
        self.findings.append(f"{where}:{line}: {text}" if line else f"{where}: {text}")

    def files(self, *patterns):
        """Files matching any of the glob patterns, sorted."""
        return sorted({p for pattern in patterns for p in self.root.glob(pattern) if p.is_file()})

    def kept_files(self):
        """All files that git keeps or would keep; without git, all files outside of build folders."""
        try:
            listed = subprocess.run(
                ["git", "-C", str(self.root), "ls-files", "-co", "--exclude-standard", "-z"],
                check=True, capture_output=True).stdout
            paths = [self.root / name.decode() for name in listed.split(b"\0") if name]
        except (OSError, subprocess.CalledProcessError):
            paths = [p for p in self.root.rglob("*") if not SKIPPED_FOLDERS & set(p.relative_to(self.root).parts)]
        return sorted(p for p in paths if p.is_file() and not p.is_symlink())


def read_text(path):
    """The text of a file, or None if it is binary."""
    data = path.read_bytes()
    return None if b"\0" in data else data.decode("utf-8", "replace")


def main(check, *, takes_build=False):
    """Runs `check(lint[, build])` on the command line's tree; exit status 1 if it found anything."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--root", default=pathlib.Path(__file__).resolve().parents[2])
    if takes_build:
        parser.add_argument("build", type=pathlib.Path)
    arguments = parser.parse_args()
    lint = Lint(arguments.root)
    summary = check(lint, arguments.build) if takes_build else check(lint)
    for finding in lint.findings:
        print(finding)
    if not lint.findings:
        print(f"   {summary}")
    sys.exit(1 if lint.findings else 0)
