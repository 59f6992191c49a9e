"""Every folder of tests/data/bad-configs is refused for the reason in its ``expected``, and for no other.

A folder holds ``config.yaml`` (or other ``*.yaml`` to be merged), ``expected`` with the whole report, and maybe ``environ``.
"""

from pathlib import Path

import pytest

from mailbridge.config.load import load_config
from mailbridge.errors import ConfigError

FOLDERS = sorted((Path(__file__).parents[1] / "data" / "bad-configs").iterdir())


def report_of(folder: Path) -> str:
    """Load the folder's configuration and return the report, with file names as seen from the folder."""
    environ_file = folder / "environ"
    lines = environ_file.read_text().splitlines() if environ_file.exists() else []
    environ = dict(line.split("=", 1) for line in lines)
    single = folder / "config.yaml"
    with pytest.raises(ConfigError) as caught:
        load_config(single if single.exists() else folder, environ=environ)
    return str(caught.value).replace(f"{folder}/", "").replace(str(folder), ".") + "\n"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_is_refused_for_its_reason(folder: Path):
    """The report names file, line, key, what is wrong and what to write, for every problem and nothing else."""
    assert report_of(folder) == (folder / "expected").read_text()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_report_speaks_plainly(folder: Path):
    """No word of a library's own, no Python class and no secret gets into a report."""
    report = report_of(folder).lower()
    for word in ("pydantic", "input should", "value error", "traceback", "nonetype", "<class", "canary"):
        assert word not in report
