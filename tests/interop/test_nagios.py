"""A real Nagios Core, its own notification commands, and the SMS they become."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.bridge import Bridge
from tests.support.documents import ROOT, blocks
from tests.support.nagios import DEBIAN, commands_of_debian, nagios_of_debian, running_nagios, s_nail
from tests.support.programs import need, run_program

PAGE = ROOT / "docs/howto/nagios.md"
README = ROOT / "README.md"
PHONE = "+79991234567"


@pytest.mark.timeout(120)
async def test_a_service_alarm_and_its_recovery(bridge: Bridge, tmp_path: Path) -> None:
    """A failing check becomes one line of state, host, service and output; so does its recovery."""
    folder = tmp_path / "nagios"
    async with running_nagios(folder, commands_of_debian(s_nail(bridge.port), f"{PHONE}@sms.local")) as nagios:
        nagios.set_service(2, "HTTP CRITICAL: нет ответа за 10 с")
        (problem,) = await bridge.messages()
        assert problem["phone"] == PHONE
        expected = r"CRIT web1/HTTP: нет ответа за 10 с \d\d:\d\d"
        assert re.fullmatch(expected, problem["text"]), (problem["text"], nagios.what_it_said())
        nagios.set_service(0, "HTTP OK")
        recovery = (await bridge.messages(2))[1]
        expected = r"OK web1/HTTP: HTTP OK \d\d:\d\d"
        assert re.fullmatch(expected, recovery["text"]), (recovery["text"], nagios.what_it_said())


@pytest.mark.timeout(120)
async def test_a_host_alarm(bridge: Bridge, tmp_path: Path) -> None:
    """A host reported down through the command file becomes an SMS."""
    folder = tmp_path / "nagios"
    async with running_nagios(folder, commands_of_debian(s_nail(bridge.port), f"{PHONE}@sms.local")) as nagios:
        nagios.command("PROCESS_HOST_CHECK_RESULT;web1;1;PING CRITICAL - Packet loss = 100%")
        (problem,) = await bridge.messages()
        expected = r"DOWN web1: Packet loss = 100% \d\d:\d\d"
        assert re.fullmatch(expected, problem["text"]), (problem["text"], nagios.what_it_said())


@pytest.mark.timeout(120)
async def test_the_definitions_of_the_page(bridge: Bridge, tmp_path: Path) -> None:
    """Commands and contact as our page has them, pasted into a Nagios, give the SMS the page shows."""
    need("s-nail")
    [definitions] = [block.text for block in blocks(PAGE) if "define contact" in block.text]
    [shown] = re.findall(r"^What arrives: `(PROBLEM web1/HTTP .+)`\.$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert "mta=smtp://127.0.0.1:2525 " in definitions
    definitions = definitions.replace("127.0.0.1:2525", f"127.0.0.1:{bridge.port}")
    async with running_nagios(tmp_path / "nagios", definitions) as nagios:
        nagios.set_service(2, shown.partition(": ")[2])
        (problem,) = await bridge.messages()
        assert (problem["phone"], problem["text"]) == (PHONE, shown), nagios.what_it_said()
        nagios.set_service(0, "HTTP OK: работает")
        recovery = (await bridge.messages(2))[1]
        assert recovery["text"] == "RECOVERY web1/HTTP OK: HTTP OK: работает", nagios.what_it_said()
        nagios.command("PROCESS_HOST_CHECK_RESULT;web1;1;PING CRITICAL - Packet loss = 100%")
        down = (await bridge.messages(3))[2]
        assert down["text"] == "PROBLEM web1 DOWN: PING CRITICAL - Packet loss = 100%", nagios.what_it_said()


@pytest.mark.timeout(120)
async def test_debians_mailer_through_our_sendmail(bridge: Bridge, tmp_path: Path) -> None:
    """The distribution's commands, mailer told by the page's one line to use our sendmail, give the line the page shows."""
    mailer = need("bsd-mailx")
    [line] = [block.text for block in blocks(PAGE) if block.text.startswith("set sendmail=")]
    rc = tmp_path / "mailrc"
    rc.write_text(line.replace("/usr/local/bin/", f"{Path(sys.executable).parent}/"))
    mail = f"MAILBRIDGE_SMTP=127.0.0.1:{bridge.port} MAILRC={rc} {mailer}"
    definitions = commands_of_debian(mail, f"{PHONE.removeprefix('+')}@sms.local")
    async with running_nagios(tmp_path / "nagios", definitions) as nagios:
        nagios.set_service(2, "HTTP CRITICAL: no answer")
        (problem,) = await bridge.messages()
        assert (problem["phone"], problem["parts"]) == (PHONE, 1), nagios.what_it_said()
        [shown] = re.findall(r"`(CRIT web1/HTTP: .+) \d\d:\d\d`", PAGE.read_text("utf-8"))
        assert problem["text"].rpartition(" ")[0] == shown, nagios.what_it_said()


SETUP = ROOT / "contrib/nagios/mailbridge.cfg"


def test_the_file_to_copy_is_the_page() -> None:
    """The commands of contrib/nagios are the page's, and the README's is one of them."""
    commands = re.compile(r"^define command \{\n    command_name    notify-.*?^\}$", re.MULTILINE | re.DOTALL)
    shown = commands.findall(PAGE.read_text("utf-8"))
    assert len(shown) == 2
    assert commands.findall(SETUP.read_text("utf-8")) == shown


@pytest.mark.timeout(120)
async def test_from_nothing_to_an_sms_with_debians_own_configuration(bridge: Bridge, tmp_path: Path) -> None:
    """Debian's nagios.cfg with one file more, and the README's one line: an SMS. Only folders and the port differ."""
    need("s-nail")
    if not DEBIAN.exists():
        pytest.skip("Debian's nagios4-common is not installed (scripts/install-test-programs)")
    [line] = re.findall(r"^    (printf .*PROCESS_SERVICE_CHECK_RESULT.*)$", README.read_text("utf-8"), re.MULTILINE)
    async with nagios_of_debian(tmp_path / "nagios", SETUP, bridge.port) as nagios:
        told = await run_program("/bin/sh", "-c", line.replace("/var/lib/nagios4/rw", str(nagios.folder / "rw")))
        assert told.code == 0, told
        (problem,) = await bridge.messages()
        [shown] = re.findall(r"`(PROBLEM localhost/SMS test [^`]+)`", README.read_text("utf-8"))
        assert (problem["phone"], problem["text"]) == (PHONE, shown), nagios.what_it_said()


#: the guidelines' form of one figure: 'label'=value[UOM];[warn];[crit];[min];[max]
FIGURE = re.compile(r"('[^'=]+'|[^ '=]+)=([0-9.]+)(s|%|B|KB|MB|c)?(;[0-9.:~@]*){0,4}")


@pytest.mark.timeout(120)
async def test_nagios_runs_our_plugin(bridge: Bridge, tmp_path: Path) -> None:
    """It reads state, words and figures; a suspended gateway is a warning, a bridge that is gone is critical."""
    config = yaml.safe_load(bridge.config_file.read_text("utf-8"))
    config["web"]["listen"] = bridge.web.removeprefix("http://")
    (tmp_path / "plugin.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    plugin = f"{sys.executable} -m mailbridge check --config {tmp_path}/plugin.yaml"
    sent = await bridge.verb("send", "89991234567", "so that a balance is known")
    assert sent.code == 0, sent
    await bridge.messages()
    # the wrapper of the Monitoring Plugins judges a plugin by its words and exit code
    negate = Path("/usr/lib/nagios/plugins/negate")
    if negate.exists():
        turned = await run_program(negate, "-s", "-o", "CRITICAL", "/bin/sh", "-c", plugin)
        assert (turned.code, turned.output.split()[0]) == (2, "CRITICAL"), turned
    async with running_nagios(tmp_path / "nagios", commands_of_debian("cat >/dev/null; true", "x")) as nagios:
        nagios.runs(plugin)
        well = await nagios.service(lambda fields: "performance_data" in fields and fields["performance_data"])
        assert (well["current_state"], well["plugin_output"][:2]) == ("0", "OK"), well
        figures = well["performance_data"]
        assert {match[0].strip("'") for match in FIGURE.findall(figures)} == {
            "suspended", "oldest", "waiting", "held", "balance main",
        }  # fmt: skip
        assert re.sub(FIGURE, "", figures).strip() == ""
        ended = await bridge.verb("gateways", "suspend", "main")
        assert ended.code == 0, ended
        ill = await nagios.service(lambda fields: fields["current_state"] == "1")
        assert "gateway suspended: main" in ill["plugin_output"]
        await bridge.stop()
        gone = await nagios.service(lambda fields: fields["current_state"] == "2")
        assert "no answer" in gone["plugin_output"]
