"""The demonstration tries itself."""

import os

from lib import gate as gates
from lib.patience import PATIENCE


def test_the_demo_comes_out_as_it_should_and_leaves_nothing_behind(tmp_path):
    result = gates.run("demo", "--run-once", timeout=PATIENCE * 3, cwd=tmp_path,
                       env={**os.environ, "TMPDIR": str(tmp_path)})
    assert result.returncode == 0, result.stdout + result.stderr
    for word in ("revoked", "no_certificate", "no_rule", "200", "403"):
        assert word in result.stdout + result.stderr
    assert list(tmp_path.iterdir()) == []
