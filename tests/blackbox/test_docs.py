"""The pages that are printed from tables are the ones that the program prints; the files that are shipped are usable."""

import pathlib
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
