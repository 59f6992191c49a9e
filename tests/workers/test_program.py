"""The program with its door in two worker processes: everything a client sees is as in one process, and more survives."""

from __future__ import annotations

import asyncio
import re
import signal
import smtplib
import socket
import sqlite3
import ssl
import time
import urllib.request
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from argon2 import PasswordHasher

from mailbridge.simulator.faults import parse_fault
from mailbridge.simulator.settings import AccountSettings, Limits, SimulatorSettings
from tests.support.bridge import Bridge, base_config, merged, running_bridge
from tests.support.certificates import Certificates
from tests.support.crash import Mail, read_reply
from tests.support.programs import until
from tests.support.workers import workers_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

GATEWAY = SimulatorSettings(
    accounts=(AccountSettings(balance=Decimal(10**9)),),
    limits=Limits(status_per_minute=None, balance_per_minute=None),
    keep=100_000,
)
PHONE = "79991234567@sms.local"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def running_workers(folder: Path, changes: dict[str, Any] | None = None, **kwargs: Any) -> Any:
    """Run a bridge with two workers, whose SMS are the bodies of the mails."""
    ours = {"smtp": {"workers": 2}, "message": {"text": "{{ body }}"}}
    return running_bridge(folder, merged(ours, changes or {}), simulator=GATEWAY, **kwargs)


def send(port: int, *to: str, text: str = "hello", client: smtplib.SMTP | None = None) -> tuple[int, str]:
    """Send a mail, on a connection of its own unless *client* is given, and return the answer to its content."""
    with nullcontext(client) if client else smtplib.SMTP("127.0.0.1", port, timeout=30) as session:
        session.ehlo_or_helo_if_needed()
        session.mail("nagios@example.org")
        for one in to or (PHONE,):
            assert session.rcpt(one)[0] == 250
        code, words = session.data(f"Subject: s\r\n\r\n{text}\r\n".encode())
        return code, words.decode()


async def load(port: int, name: str, acknowledged: set[str], *, mails: int) -> None:
    """Hand *mails* over, each once; on a new connection after one that was cut, until nobody listens."""
    waiting = [Mail(f"{name} {n}", (f"+7916{abs(hash((name, n))) % 10**7:07}",)) for n in range(mails)]
    while waiting:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        try:
            await read_reply(reader)
            writer.write(b"EHLO client.example.org\r\n")
            await read_reply(reader)
            while waiting:
                mail = waiting.pop()
                for line in (*mail.lines(), mail.content()):
                    writer.write(line)
                    code = await read_reply(reader)
                if code == 250:
                    acknowledged.add(mail.name)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def metrics(bridge: Bridge) -> dict[str, float]:
    """Return what ``/metrics`` says, by sample."""
    with urllib.request.urlopen(f"{bridge.web}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


# ------------------------------------------------------------------------------------------------ what clients see
async def test_both_workers_take_mails_and_all_is_counted_and_logged_in_one_place(tmp_path):
    """No line of the log is torn, a mail is received before it is queued, and metrics count what either refused."""
    acknowledged: set[str] = set()
    async with running_workers(tmp_path) as bridge:
        before = [sum(process.cpu_times()[:2]) for process in workers_of(bridge)]
        await asyncio.gather(*(load(bridge.port, f"client {n}", acknowledged, mails=20) for n in range(20)))
        with smtplib.SMTP("127.0.0.1", bridge.port) as client:
            client.ehlo()
            client.mail("a@example.org")
            refused = client.rcpt("79991234567@example.org")
        await until(lambda: len(bridge.events_called("queued")) == 400, saying=bridge.what_it_said)
        after = [sum(process.cpu_times()[:2]) for process in workers_of(bridge)]
        seen = await asyncio.to_thread(metrics, bridge)

    names = [(event["event"], event["id"]) for event in bridge.events if event["event"] in {"received", "queued"}]
    places = {name: place for place, name in enumerate(names)}
    assert len(acknowledged) == 400
    assert refused[0] == 550
    assert min(later - earlier for earlier, later in zip(before, after, strict=True)) > 0.03
    assert bridge.other_output == []
    assert all(
        places["received", id_.partition(".")[0]] < place for (kind, id_), place in places.items() if kind == "queued"
    )
    assert len(bridge.events_called("rejected")) == 1
    assert seen['mailbridge_mails_total{result="taken"}'] == seen["mailbridge_accept_seconds_count"] == 400
    assert seen['mailbridge_rejected_total{reply="550 5.7.1"}'] == 1


async def test_every_kind_of_listener_and_answer(tmp_path):
    """TLS with AUTH, implicit TLS, a unix socket with LMTP, and the gateway's verdict in the reply."""
    certificates = Certificates(tmp_path)
    path = tmp_path / "lmtp.sock"
    listen = [
        {"address": "127.0.0.1:0"},
        certificates.listener("starttls", address="127.0.0.1:0", auth="required"),
        certificates.listener("implicit", address="[::1]:0"),
        {"address": f"unix:{path}", "protocol": "lmtp"},
    ]
    users = [{"name": "zabbix", "password": CHEAP.hash("s3cret")}]
    changes = {"smtp": {"listen": listen, "reply": "verdict"}, "users": users}
    async with running_workers(tmp_path, changes) as bridge:
        plain, starttls, _ = (port for _, port in bridge.addresses)
        implicit = bridge.addresses[2]

        def signed_in(password: str) -> tuple[int, str]:
            with smtplib.SMTP("127.0.0.1", starttls, timeout=30) as client:
                client.starttls(context=certificates.client)
                client.login("zabbix", password)
                return send(starttls, client=client)

        def inside_tls() -> tuple[int, str]:
            context = ssl.create_default_context(cadata=None)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with smtplib.SMTP_SSL(*implicit, context=context, timeout=30) as client:
                return send(0, text="tls", client=client)

        def lmtp() -> list[tuple[int, bytes]]:
            with smtplib.LMTP(str(path), timeout=30) as client:
                client.ehlo()
                client.mail("a@example.org")
                codes = [client.rcpt(to)[0] for to in (PHONE, "79990000107@sms.local")]
                assert codes == [250, 250]
                first = client.data(b"Subject: s\r\n\r\nlmtp\r\n")
                return [first, client.getreply()]

        verdict = await asyncio.to_thread(send, plain)
        refused = await asyncio.to_thread(send, plain, "79990000107@sms.local", text="refused")
        signed = await asyncio.to_thread(signed_in, "s3cret")
        with pytest.raises(smtplib.SMTPAuthenticationError):
            await asyncio.to_thread(signed_in, "wrong")
        encrypted = await asyncio.to_thread(inside_tls)
        answers = await asyncio.to_thread(lmtp)
        mode = path.stat().st_mode & 0o777

    assert re.fullmatch(r"2\.0\.0 Ok: queued as \w{10}; sent, gateway id \d+, parts 1", verdict[1])
    assert refused == (550, "5.1.3 SMSC error 7: invalid number")
    assert signed[0] == encrypted[0] == 250
    assert [code for code, _ in answers] == [250, 550]
    assert mode == 0o660
    assert not path.exists()


async def test_connections_are_counted_together(tmp_path):
    """The third of ``max_connections: 2`` is sent away, whichever worker has the other two."""
    async with running_workers(tmp_path, {"smtp": {"max_connections": 2}}) as bridge:
        inside = [await asyncio.open_connection("127.0.0.1", bridge.port) for _ in range(2)]
        greetings = [await reader.readline() for reader, _ in inside]
        turned_away = []
        for _ in range(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
            turned_away.append(await reader.readline())
            writer.close()
        for _, writer in inside:
            writer.close()

        def comes_in() -> bool:
            with socket.create_connection(("127.0.0.1", bridge.port)) as client:
                return client.recv(100).startswith(b"220 ")

        await until(comes_in)

    assert all(line.startswith(b"220 ") for line in greetings)
    assert all(line.startswith(b"421 4.7.0") for line in turned_away)


async def test_guessed_passwords_are_counted_together(tmp_path):
    """An address that was wrong at either worker is banned at both, once it was too often, and the log says so once."""
    listener = {
        "address": "127.0.0.1:0", "proxies": ["127.0.0.1"], "allow": ["192.0.2.0/24"], "auth": "optional",
        "auth_without_tls": True,
    }  # fmt: skip
    changes = {
        "smtp": {"listen": [listener], "auth_failures": 6},
        "users": [{"name": "zabbix", "password": CHEAP.hash("s3cret")}],
    }

    async def sign_in(port: int, client: str, password: str) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"PROXY TCP4 {client} 127.0.0.1 1 25\r\n".encode())
        await read_reply(reader)
        writer.write(b"EHLO client.example.org\r\n")
        await read_reply(reader)
        writer.write(b"AUTH PLAIN " + b64encode(f"\0zabbix\0{password}".encode()) + b"\r\n")
        code = await read_reply(reader)
        writer.close()
        return code

    async with running_workers(tmp_path, changes) as bridge:
        port = bridge.port
        wrong = await asyncio.gather(*(sign_in(port, "192.0.2.7", f"guess {n}") for n in range(6)))
        await until(lambda: bridge.events_called("banned"), saying=bridge.what_it_said)
        # side by side, so that both workers get some
        banned = await asyncio.gather(*(sign_in(port, "192.0.2.7", "s3cret") for _ in range(20)))
        other = await sign_in(port, "192.0.2.8", "s3cret")

    assert wrong == [535] * 6
    assert banned == [421] * 20
    assert other == 235
    assert [event["client"] for event in bridge.events_called("banned")] == ["192.0.2.7"]


async def test_limits_and_budgets_are_refused_at_rcpt_by_every_worker(tmp_path):
    """What one worker's mail used up, all of them know; and so does one that was started since."""

    def rcpt(port: int, phone: str = PHONE) -> int:
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            client.ehlo()
            client.mail("nagios@example.org")
            return client.rcpt(phone)[0]

    def many(port: int) -> list[int]:
        # side by side, so that both workers get some
        with ThreadPoolExecutor(10) as pool:
            return list(pool.map(lambda _: rcpt(port), range(20)))

    async with running_workers(tmp_path, {"limits": {"client": ["2/1h"]}}) as bridge:
        sent = [(await asyncio.to_thread(send, bridge.port, text=f"mail {n}"))[0] for n in range(2)]
        full = await asyncio.to_thread(many, bridge.port)
        workers_of(bridge)[0].kill()
        await until(lambda: bridge.events_called("worker ended"))
        await until(lambda: len(workers_of(bridge)) == 2)
        older = min(workers_of(bridge), key=psutil.Process.create_time)
        older.suspend()
        renewed = await asyncio.to_thread(rcpt, bridge.port)
        older.resume()
    (tmp_path / "b").mkdir()
    async with running_workers(tmp_path / "b", {"limits": {"budget": {"day": {"parts": 1}}}}) as bridge:
        assert (await asyncio.to_thread(send, bridge.port))[0] == 250
        await until(lambda: set(many(bridge.port)) == {450}, saying=bridge.what_it_said)

    assert sent == [250, 250]
    assert full == [450] * 20
    assert renewed == 450


async def test_sessions_are_shared_out_fairly(tmp_path):
    """Connections that stay do not gather at the worker that happens to be awake."""
    async with running_workers(tmp_path) as bridge:
        inside = []
        for _ in range(40):
            reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
            await reader.readline()
            inside.append(writer)
        counts = [
            sum(one.status == psutil.CONN_ESTABLISHED for one in worker.net_connections("tcp"))
            for worker in workers_of(bridge)
        ]
        for writer in inside:
            writer.close()

    assert sum(counts) == 40
    assert min(counts) >= 10


# ----------------------------------------------------------------------------------------------------- what survives
async def test_a_worker_killed_under_load_loses_nothing_that_was_acknowledged(tmp_path):
    """The port stays open, the others go on, another takes its place, and each acknowledged mail is sent once."""
    acknowledged: set[str] = set()
    async with running_workers(tmp_path) as bridge:
        clients = [asyncio.create_task(load(bridge.port, f"client {n}", acknowledged, mails=30)) for n in range(20)]
        for count in (1, 2):
            reached = len(acknowledged) + 100
            await until(lambda reached=reached: len(acknowledged) >= reached)
            workers_of(bridge)[0].kill()
            await until(lambda count=count: len(bridge.events_called("worker ended")) == count)
            assert (await asyncio.to_thread(send, bridge.port, text=f"meanwhile {count}"))[0] == 250
        await asyncio.gather(*clients)
        await until(lambda: len(workers_of(bridge)) == 2)
        # what was kept and not acknowledged goes out, too: to count is not enough
        await until(lambda: acknowledged <= {message["text"] for message in bridge.simulator.inbox})
        texts = [message["text"] for message in bridge.simulator.inbox]

    assert len(acknowledged) > 500
    assert len(texts) == len(set(texts))
    assert {event["how"] for event in bridge.events_called("worker ended")} == {"SIGKILL"}


async def test_workers_whose_queue_was_killed_put_their_clients_off_and_leave_the_port(tmp_path):
    """Idle clients hear 421, one within a mail 451 or 421; the next bridge has the same port at once."""
    port_of = {"smtp": {"listen": [{"address": "127.0.0.1:0"}]}}
    async with running_workers(tmp_path, port_of) as bridge:
        port = bridge.port
        bridge.config_file.write_text(bridge.config_file.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}", 1))
        left = workers_of(bridge)
        idle, writer = await asyncio.open_connection("127.0.0.1", port)
        await idle.readline()
        within, within_writer = await asyncio.open_connection("127.0.0.1", port)
        await read_reply(within)
        within_writer.write(b"EHLO client.example.org\r\n")
        await read_reply(within)
        for line in Mail("within", ("+79991234567",)).lines():
            within_writer.write(line)
            await read_reply(within)
        within_writer.write(b"Subject: half")
        await asyncio.sleep(0.1)
        began_s = time.monotonic()
        await asyncio.gather(bridge.kill(), until(lambda: not any(is_running(one) for one in left)))
        took_s = time.monotonic() - began_s
        goodbye, last_words = await idle.read(), await within.read()
        writer.close()
        within_writer.close()
        await bridge.start()
        again = await asyncio.to_thread(send, bridge.port)

    assert took_s < 5
    assert goodbye.startswith(b"421 4.3.2")
    assert last_words.startswith((b"421 4.3.2", b"451 4.3.0"))
    assert (bridge.port, again[0]) == (port, 250)


def is_running(process: psutil.Process) -> bool:
    """Tell whether a process still does something."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


async def test_nothing_is_lost_or_doubled_by_kill_9_of_the_queue_under_load(tmp_path):
    """What was acknowledged before it died is sent by the next one, once; its workers are no hindrance to that."""
    acknowledged: set[str] = set()
    # what is on its way when it dies is asked about, and sent again after a quarantine longer than any request
    soon = {"gateways": {"main": {"timeout": "1s", "quarantine": "3s", "poll": "1s"}}}
    async with running_workers(tmp_path, soon) as bridge:
        for cycle in (1, 2):
            reached = len(acknowledged) + 100
            clients = [load(bridge.port, f"cycle {cycle} client {n}", acknowledged, mails=100) for n in range(20)]
            running = asyncio.gather(*clients)
            await until(lambda reached=reached: len(acknowledged) >= reached)
            await bridge.kill()
            await running
            await bridge.start()
        await until(lambda: acknowledged <= {message["text"] for message in bridge.simulator.inbox})
        texts = [message["text"] for message in bridge.simulator.inbox]

    assert len(texts) == len(set(texts))


async def test_a_queue_that_cannot_be_written_is_answered_as_in_one_process(tmp_path):
    """451, and the mail is taken once the trouble is over."""
    async with running_workers(tmp_path) as bridge:
        database = sqlite3.connect(tmp_path / "queue.db", isolation_level=None)
        database.execute("ALTER TABLE mails RENAME TO away")
        troubled = await asyncio.to_thread(send, bridge.port)
        database.execute("ALTER TABLE away RENAME TO mails")
        database.close()
        taken = await asyncio.to_thread(send, bridge.port)

    assert troubled == (451, "4.3.0 Local error, try later")
    assert taken[0] == 250


# -------------------------------------------------------------------------------------------------------- reloading
async def test_a_reload_reaches_every_worker(tmp_path):
    """Text, users and certificate are the new ones on every connection after it; sessions go on; workers stay."""
    certificates = Certificates(tmp_path)
    listener = certificates.listener("starttls", address="127.0.0.1:0", auth="optional")
    users = [{"name": "zabbix", "password": CHEAP.hash("old")}]
    async with running_workers(tmp_path, {"smtp": {"listen": [listener]}, "users": users}) as bridge:
        before = {process.pid for process in workers_of(bridge)}
        stays = smtplib.SMTP("127.0.0.1", bridge.port, timeout=30)
        await asyncio.to_thread(stays.ehlo)
        config = yaml.safe_load(bridge.config_file.read_text())
        renewed = {"message": {"text": "new {{ body }}"}, "users": [{"name": "zabbix", "password": CHEAP.hash("new")}]}
        bridge.config_file.write_text(yaml.safe_dump(merged(config, renewed)))
        certificates.renew()
        assert bridge.process is not None
        bridge.process.send_signal(signal.SIGHUP)
        await until(lambda: bridge.events_called("reloaded"), saying=bridge.what_it_said)

        def signed_in(password: str) -> tuple[int, bytes | None]:
            with smtplib.SMTP("127.0.0.1", bridge.port, timeout=30) as client:
                client.starttls(context=certificates.client)
                client.ehlo()
                assert isinstance(client.sock, ssl.SSLSocket)
                certificate = client.sock.getpeercert(binary_form=True)
                try:
                    return client.login("zabbix", password)[0], certificate
                except smtplib.SMTPAuthenticationError as error:
                    return error.smtp_code, certificate

        heard = [await asyncio.to_thread(signed_in, word) for word in ("old", "new") * 2]
        await asyncio.to_thread(send, bridge.port, client=stays)
        stays.close()
        (message,) = await bridge.messages()
        after = {process.pid for process in workers_of(bridge)}

    expected = ssl.PEM_cert_to_DER_cert((tmp_path / "cert.pem").read_text())
    assert [code for code, _ in heard] == [535, 235] * 2
    assert {certificate for _, certificate in heard} == {expected}
    assert message["text"] == "new hello"
    assert after == before


async def test_a_bad_certificate_refuses_the_reload_for_all_workers(tmp_path):
    """The old one goes on; no worker is lost over it."""
    certificates = Certificates(tmp_path)
    listener = certificates.listener("starttls", address="127.0.0.1:0")
    async with running_workers(tmp_path, {"smtp": {"listen": [listener]}}) as bridge:
        (tmp_path / "cert.pem").write_text("not a certificate")
        assert bridge.process is not None
        bridge.process.send_signal(signal.SIGHUP)
        await until(lambda: bridge.events_called("reload refused"), saying=bridge.what_it_said)
        answer = await asyncio.to_thread(send, bridge.port)

    assert answer[0] == 250
    assert bridge.events_called("worker ended") == []


async def test_workers_come_and_go_with_a_reload(tmp_path):
    """Another number of them is another door: those of before end when their last session has."""
    async with running_workers(tmp_path) as bridge:
        config = yaml.safe_load(bridge.config_file.read_text())
        seen = []
        for count in (1, 0, 2):
            bridge.config_file.write_text(yaml.safe_dump(merged(config, {"smtp": {"workers": count}})))
            assert bridge.process is not None
            reloads = len(bridge.events_called("reloaded")) + 1
            bridge.process.send_signal(signal.SIGHUP)
            await until(
                lambda reloads=reloads: len(bridge.events_called("reloaded")) == reloads, saying=bridge.what_it_said
            )
            port = int(bridge.events_called("listening")[-1]["addresses"][0].rpartition(":")[2])
            answer = await asyncio.to_thread(send, port, text=f"with {count}")
            await until(lambda count=count: len(workers_of(bridge)) == count)
            seen.append((count, answer[0]))

    assert seen == [(1, 250), (0, 250), (2, 250)]
    assert bridge.events_called("worker ended") == []


async def test_an_address_in_use_is_told_as_in_one_process(tmp_path):
    """With the address, in the system's words; nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        bridge = Bridge(tmp_path, None)
        changes = {"smtp": {"workers": 2, "listen": [{"address": address}]}}
        bridge.config_file.write_text(yaml.safe_dump(merged(base_config(tmp_path, "http://127.0.0.1:9"), changes)))
        await bridge.launch()
        assert bridge.process is not None
        code = await asyncio.wait_for(bridge.process.wait(), 30)
        await bridge.kill()

    assert code == 1
    assert [event["because"] for event in bridge.events_called("cannot start")] == [
        f"{address}: address already in use"
    ]


# ---------------------------------------------------------------------------------------------------- back-pressure
async def test_who_waits_for_a_verdict_holds_up_nobody_else(tmp_path):
    """A hundred clients wait for a gateway that is silent, and each one's mail was committed at once."""
    changes = {"smtp": {"reply": "verdict", "verdict_wait": "30s"}, "gateways": {"main": {"timeout": "2s"}}}
    async with running_workers(tmp_path, changes) as bridge:
        bridge.simulator.carrier.faults.add(parse_fault({"wire": "hang", "stage": "before", "methods": ["send"]}))
        clients = [asyncio.create_task(load(bridge.port, f"client {n}", set(), mails=1)) for n in range(100)]
        await until(lambda: len(bridge.events_called("queued")) == 100, saying=bridge.what_it_said)
        waiting = [client for client in clients if not client.done()]
        bridge.simulator.carrier.faults.clear()
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    assert waiting
