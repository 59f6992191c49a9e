"""The single file and the Debian package: built from this environment, and run without it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from mailbridge import __version__
from tests.support.documents import ROOT
from tests.support.pages import fetched
from tests.support.programs import free_port, need, run_program

PACKAGE = ROOT / "scripts/package"
#: nothing of the environment the tests run in
BARE = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": "", "VIRTUAL_ENV": ""}


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_what_is_packed_runs_without_this_environment(tmp_path: Path):
    """Both are built at once, since most of the time goes into copying; each is then tried by itself."""
    kinds = "all" if shutil.which("dpkg-deb") else "pyz"
    target = tmp_path / "out" / ("" if kinds == "all" else "mailbridge.pyz")
    built = await run_program(sys.executable, PACKAGE, kinds, target, "--fast", limit_s=250)
    assert built.code == 0, built
    await try_the_file(tmp_path / "out/mailbridge.pyz", tmp_path)
    await try_the_package(tmp_path)


async def try_the_file(file: Path, tmp_path: Path) -> None:
    """It unpacks once, is sendmail under that name, and trusts no folder that others may write to."""
    cache = tmp_path / "cache"
    env = {**BARE, "MAILBRIDGE_CACHE": str(cache), "MAILBRIDGE_SPOOL": str(tmp_path)}
    # -S: no packages of this machine either
    python = (sys.executable, "-S")
    shown = await run_program(*python, file, "version", "--json", env=env)
    assert (shown.code, json.loads(shown.output)["mailbridge"]) == (0, __version__), shown
    [unpacked] = (cache / "mailbridge").iterdir()
    before = unpacked.stat().st_mtime_ns
    (tmp_path / "sendmail").symlink_to(file)
    listed = await run_program(*python, tmp_path / "sendmail", "-bp", env=env)
    assert (listed.code, listed.output) == (0, "")
    assert [entry.stat().st_mtime_ns for entry in (cache / "mailbridge").iterdir()] == [before]
    (cache / "mailbridge").chmod(0o777)
    refused = await run_program(*python, file, "version", env=env)
    assert (refused.code, "not ours alone" in refused.output) == (1, True)


async def try_the_package(tmp_path: Path) -> None:
    """Its commands run a demo and send a mail through it by the system's Python; its units name those commands."""
    dpkg = need("dpkg-deb")
    python = await run_program("/usr/bin/python3", "-c", "import sys; print(sys.version_info[:2])")
    if python.output.strip() != str(sys.version_info[:2]):
        pytest.skip("the system's Python is another one")
    [file] = (tmp_path / "out").glob("*.deb")
    fields = await run_program(dpkg, "--field", file)
    assert f"Version: {__version__}" in fields.output
    assert f"python3 (>= {sys.version_info[0]}.{sys.version_info[1]})" in fields.output
    root = tmp_path / "root"
    await run_program(dpkg, "-x", file, root)
    await run_program(dpkg, "-e", file, root / "DEBIAN")
    for script in ("postinst", "prerm"):
        assert (await run_program("/bin/sh", "-n", root / "DEBIAN" / script)).code == 0
    for unit in (root / "lib/systemd/system").iterdir():
        for program in re.findall(r"^Exec\w*=(/usr\S+)", unit.read_text(), re.MULTILINE):
            assert os.access(root / program.lstrip("/"), os.X_OK), (unit, program)
    for page in ("man1/mailbridge.1.gz", "man8/mailbridge-sendmail.8.gz"):
        assert (root / "usr/share/man" / page).exists()
    smtp, web = free_port(), free_port()
    demo = await asyncio.create_subprocess_exec(
        root / "usr/bin/mailbridge", "demo", "--smtp", f"127.0.0.1:{smtp}", "--listen", f"127.0.0.1:{web}",
        env={**os.environ, **BARE}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert demo.stdout is not None
    try:
        async with asyncio.timeout(60):
            while b'"ready"' not in await demo.stdout.readline():
                assert demo.returncode is None
        env = {**BARE, "MAILBRIDGE_SMTP": f"127.0.0.1:{smtp}", "MAILBRIDGE_SPOOL": "off"}
        sendmail = root / "usr/bin/mailbridge-sendmail"
        sent = await run_program(sendmail, "79991234567", text=b"Subject: packed\n\nhi\n", env=env)
        assert sent.code == 0, sent
        inbox: list[str] = []
        for _ in range(100):
            inbox = [one["text"] for one in json.loads(await fetched(f"http://127.0.0.1:{web}/messages.json"))]
            if inbox:
                break
            await asyncio.sleep(0.05)
        assert inbox == ["packed: hi"]
    finally:
        demo.send_signal(signal.SIGTERM)
        assert await demo.wait() == 0
