"""The pages that are printed from tables are the ones that the program prints; the files that are shipped are usable."""

import pathlib
import re
import shutil
import subprocess

import pytest

from lib import gate as gates

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "page, path",
    [("config", "docs/configuration.md"), ("refusals", "docs/refusals.md"), ("metrics", "docs/metrics.md")],
)
def test_a_reference_page_is_what_the_program_prints(page, path):
    printed = gates.run("reference", page)
    assert printed.returncode == 0
    assert printed.stdout == (ROOT / path).read_text(), f"stale: sallyport reference {page} > {path}"


@pytest.mark.parametrize("name", ["sallyport.yaml", "minimal.yaml"])
def test_a_shipped_configuration_passes_check_with_development_certificates(tmp_path, name):
    shutil.copy(ROOT / "conf" / name, tmp_path)
    subprocess.run([ROOT / "certs" / "make-dev-pki", tmp_path / "pki"], check=True, stdout=subprocess.DEVNULL)
    checked = gates.run("check", "-c", str(tmp_path / name))
    assert checked.returncode == 0, checked.stderr
    assert checked.stderr == ""
    assert "ok, 0 warnings" in checked.stdout


@pytest.mark.parametrize("word", ["--help", "-h"])
@pytest.mark.parametrize("arguments, usage", [
    (["run"], "run -c FILE"), (["check"], "check -c FILE"), (["-t"], "check -c FILE"),
    (["verify"], "verify --ca FILE"), (["verify", "--ca", "x.pem"], "verify --ca FILE"),
    (["explain"], "explain -c FILE"), (["explain", "-c", "x.yaml"], "explain -c FILE"),
    (["test"], "test -c FILE"), (["test", "-c", "x.yaml", "cases.yaml"], "test -c FILE"),
    (["demo"], "demo [--run-once]"), (["reference"], "reference config|refusals|metrics"),
], ids=" ".join)
def test_help_that_is_asked_for_is_an_answer(arguments, usage, word):
    told = gates.run(*arguments, word)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith(f"usage: sallyport {usage}")


@pytest.mark.parametrize("arguments", [["--path", "--help"], ["--header", "-h"], ["--log", "--help"]], ids=" ".join)
def test_what_stands_for_a_value_asks_for_no_help(arguments):
    told = gates.run("explain", *arguments)
    assert (told.returncode, told.stdout) == (2, "")


@pytest.mark.parametrize("command", ["run", "check", "verify", "explain", "test", "demo", "reference"])
@pytest.mark.parametrize("option", ["--nonsense", "-x"])
def test_an_unknown_option_is_told_with_the_usage(command, option):
    told = gates.run(command, option)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith(f"sallyport {command}: {option}: unknown option\nusage: sallyport {command} ")


def test_every_command_that_help_lists_takes_help():
    listed = re.findall(r"^  sallyport (\w+)", gates.run("help").stdout, re.M)
    assert {"run", "explain"} <= set(listed)
    for command in listed:
        assert gates.run(command, "--help").returncode == 0, command


def test_every_event_of_the_sources_is_explained_to_operators():
    sources = "".join(path.read_text() for path in (ROOT / "src").rglob("*.c"))
    events = set(re.findall(r'SP_LOG_(?:DEBUG|INFO|WARN|ERROR), "([a-z_]+)"', sources))
    assert {"ready", "refused"} <= events
    told = (ROOT / "docs/operations.md").read_text().partition("### Events")[2].partition("### Access records")[0]
    assert sorted(events - set(re.findall(r"`([a-z_]+)`", told))) == []


def test_the_commented_configuration_shows_every_key():
    keys = set(re.findall(r"^\| `([a-z0-9_]+)` \|", (ROOT / "docs/configuration.md").read_text(), re.M))
    assert {"workers", "crl_stale", "max_idle"} <= keys
    shown = (ROOT / "conf/sallyport.yaml").read_text()
    assert sorted(key for key in keys if not re.search(rf"(?<![a-z0-9_]){key}:", shown)) == []
