"""Finding, merging and loading."""

import subprocess
import sys
import time
from pathlib import Path

import phonenumbers
import pytest
import trustme
from pydantic import SecretStr

from mailbridge.config.load import find_config, load_config
from mailbridge.config.model import Config
from mailbridge.config.regions import REGIONS
from mailbridge.errors import ConfigError

BASE = "gateways:\n  main: {login: acme, password: secret}\n"

#: the configuration that users are promised, word for word but for the shortened hash
PROMISED = """\
smtp:
  hostname: sms.example.org
  listen:
    - address: 127.0.0.1:2525        # host:port, [v6]:port or unix:/path/to/socket
      protocol: smtp                 # smtp | lmtp
      tls: off                       # off | starttls | required | implicit
      certificate: /path/cert.pem    # with private_key, where tls is not off
      private_key: /path/key.pem
      allow: [127.0.0.0/8, "::1"]    # client networks; this is the default
      auth: off                      # off | optional | required
      legacy: false                  # old devices
  domains:                           # recipient domain -> channel
    sms.local: sms
  reply: verdict                     # verdict | queued
  verdict_wait: 10s
  max_message_size: 10MB
  max_recipients: 100
  max_connections: 1000
users:
  - name: zabbix
    password: "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g"
    role: send
numbers:
  region: RU                         # reads national numbers such as 8 (999) 123-45-67
  allow: ["+7"]                      # prefixes or countries (RU, KZ); default: the region's country
message:
  text: "{{ subject }}: {{ body }}"  # Jinja2, sandboxed
  sender: ALERT                      # default sender name
  translit: 0                        # 0 | 1 | 2 as the gateway has it, or auto
  max_parts: 3
gateways:
  main:
    type: smsc
    url: [https://smsc.ru, https://www2.smsc.ru]
    login: acme
    password: ${SMSC_PASSWORD}
    # or: apikey: ${SMSC_APIKEY}
    timeout: 20s
    batch: 100                       # most messages in one request
    quarantine: 150s                 # counted from giving a request up: until then status.php's "not found" is not believed
    on_unknown: hold                 # hold | fail | retry: when even that never gets an answer within the lifetime
    callback_path: 4f9c…             # callbacks come to /callback/main/<callback_path>; without it there is no such page
    callback_secret: ${SMSC_SECRET}  # checks their signatures; unsigned ones are then refused
queue:
  url: sqlite:////var/lib/mailbridge/queue.db     # or postgresql://user@host/db
  lifetime: 24h
bounce:
  mode: mail                         # mail | log
  from: mailer-daemon@sms.example.org
  smarthost: smtp://127.0.0.1:25     # smtp:// smtps:// with user:password@ and ?starttls=required
web:
  listen: 127.0.0.1:8080
log:
  format: json                       # json | console
"""


def load(folder: Path, text: str, **options) -> Config:
    """Load *text* as the folder's config.yaml."""
    file = folder / "config.yaml"
    file.write_text(text)
    return load_config(file, environ=options.pop("environ", {}), **options)


def test_the_promised_configuration_loads(tmp_path: Path):
    """The promised configuration is taken as it stands."""
    config = load(tmp_path, PROMISED, environ={"SMSC_PASSWORD": "p", "SMSC_SECRET": "s"})
    assert config.smtp.listen[0].tls == "off"
    assert config.smtp.max_message_size == 10_000_000
    assert config.smtp.verdict_wait == 10.0
    assert config.numbers.allow == ["+7"]
    assert config.message.translit == "0"
    assert config.queue.lifetime == 86400.0
    assert config.gateways["main"].password == SecretStr("p")
    assert config.gateways["main"].callback_path == SecretStr("4f9c…")


@pytest.mark.parametrize("tls", ["starttls", "required", "implicit"])
def test_the_promised_configuration_loads_with_tls(tmp_path: Path, tls: str):
    """With a certificate and a key that are there, and with comments beside the keys, as before."""
    authority = trustme.CA()
    leaf = authority.issue_cert("sms.example.org")
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    text = PROMISED.replace("tls: off ", f"tls: {tls} ")
    text = text.replace("/path/cert.pem", str(tmp_path / "both.pem")).replace(
        "/path/key.pem", str(tmp_path / "both.pem")
    )
    config = load(tmp_path, text, environ={"SMSC_PASSWORD": "p", "SMSC_SECRET": "s"})
    assert config.smtp.listen[0].tls == tls


def test_little_is_enough(tmp_path: Path):
    """One gateway with its credentials is a whole configuration; everything else has a default."""
    config = load(tmp_path, BASE)
    assert config.smtp.listen[0].address == "127.0.0.1:2525"
    assert config.bounce.mode == "log"
    assert load(tmp_path, "web: {listen: off}\n", need_gateway=False).web.listen is None


@pytest.mark.parametrize("word", ["off", "no", "+79991234567", "1:30", "0123", "~", "1e3"])
def test_a_sender_is_the_word_as_written(tmp_path: Path, word: str):
    """What YAML takes for a switch, a number or a time of day stays a name; so does one's own phone."""
    assert load(tmp_path, f"{BASE}message: {{sender: {word}}}\n").message.sender == word


def test_sections_with_nothing_in_them_are_defaults(tmp_path: Path):
    """A section whose keys are all commented out is as good as absent."""
    assert load(tmp_path, BASE + "smtp:\n  # reply: queued\n  listen:\nusers:\n") == load(tmp_path, BASE)


@pytest.mark.parametrize(
    ("word", "value"), [("yes", True), ("on", True), ("true", True), ("no", False), ("off", False), ("false", False)]
)
def test_switches(tmp_path: Path, word: str, value: bool):
    """A switch takes the usual words."""
    assert load(tmp_path, f"gateways: {{main: {{apikey: k, insecure: {word}}}}}\n").gateways["main"].insecure is value


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("https://smsc.ru", True),
        ("http://127.0.0.1:8025", True),
        ("http://[::1]:8025", True),
        ("http://localhost:8025", True),
        ("http://simulator:8025", True),
        ("http://10.1.2.3", True),
        ("http://smsc.ru", False),
        ("http://169.254.169.254", False),
        ("http://8.8.8.8", False),
        ("https://user@smsc.ru", False),
        ("https://smsc.ru/?login=x", False),
        ("https://smsc.ru:99999", False),
        ("https://[::1", False),
        ("ftp://smsc.ru", False),
        ("https://", False),
    ],
)
def test_gateway_addresses(tmp_path: Path, url: str, accepted: bool):
    """Gateways: https to anywhere, http only where nobody reads along."""
    text = f'gateways: {{main: {{apikey: k, url: "{url}"}}}}\n'
    if accepted:
        assert load(tmp_path, text).gateways["main"].url == [url]
        return
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert [found.path for found in caught.value.problems] == ["gateways.main.url"]


def test_http_anywhere_is_a_decision(tmp_path: Path):
    """insecure: true lets http:// go to any host."""
    assert (
        load(tmp_path, "gateways: {main: {apikey: k, url: 'http://smsc.ru', insecure: true}}\n")
        .gateways["main"]
        .insecure
    )


def test_auth_without_tls_for_loopback_and_sockets(tmp_path: Path):
    """Passwords in the clear are let pass where they never leave the machine."""
    user = 'users:\n  - {name: a, password: "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g"}\n'
    listen = "smtp:\n  listen:\n    - {address: '127.0.0.1:2525', auth: required}\n    - {address: 'unix:/run/x.sock', auth: optional}\n"
    assert [listener.auth for listener in load(tmp_path, BASE + user + listen).smtp.listen] == ["required", "optional"]


def test_tls_files(tmp_path: Path):
    """A certificate with its key is taken, relative to the file; with another's key it is refused."""
    authority = trustme.CA()
    for name in ("a", "b"):
        issued = authority.issue_cert(f"{name}.example.org")
        issued.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.pem"))
        issued.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
    text = (
        BASE
        + "smtp:\n  listen:\n    - {address: '0.0.0.0:465', tls: implicit, certificate: a.pem, private_key: KEY, allow: 10.0.0.0/8}\n"
    )
    assert load(tmp_path, text.replace("KEY", "a.key")).smtp.listen[0].certificate == str(tmp_path / "a.pem")
    with pytest.raises(ConfigError, match="does not belong to the certificate"):
        load(tmp_path, text.replace("KEY", "b.key"))


def test_bounce_from_is_made_of_our_name(tmp_path: Path):
    """With a smarthost alone, bounces are mailed, from the mailer daemon at our name."""
    config = load(tmp_path, BASE + "smtp: {hostname: sms.example.org}\nbounce: {smarthost: 'smtp://127.0.0.1'}\n")
    assert (config.bounce.mode, config.bounce.from_) == ("mail", "mailer-daemon@sms.example.org")


def test_a_folder_is_merged_in_name_order(tmp_path: Path):
    """Mappings merge deep, later scalars win, lists replace; other files are not looked at."""
    (tmp_path / "10-base.yaml").write_text(
        BASE + "smtp:\n  reply: queued\n  max_hops: 7\nnumbers: {allow: ['+7', '+375']}\n"
    )
    (tmp_path / "20-site.yaml").write_text(
        "smtp:\n  reply: verdict\nnumbers: {allow: [KZ]}\ngateways:\n  second: {apikey: k}\nlog:\n"
    )
    (tmp_path / "30-empty.yaml").write_text("# nothing\n")
    for ignored in ("notes.txt", ".hidden.yaml", "old.yaml~", "sendmail.yaml"):
        (tmp_path / ignored).write_text("rubbish: [")
    (tmp_path / "folder.yaml").mkdir()
    config = load_config(tmp_path, environ={})
    assert (config.smtp.reply, config.smtp.max_hops) == ("verdict", 7)
    assert config.numbers.allow == ["KZ"]
    assert set(config.gateways) == {"main", "second"}


def test_where_the_configuration_is_looked_for(tmp_path: Path):
    """--config, then the variable, then the folder we are in, then the system's place."""
    system = tmp_path / "etc.yaml"
    with pytest.raises(ConfigError, match="no configuration found; give --config"):
        find_config(None, {}, tmp_path, system=system)
    system.touch()
    assert find_config(None, {}, tmp_path, system=system) == system
    (tmp_path / "config.yaml").touch()
    assert find_config(None, {}, tmp_path, system=system) == tmp_path / "config.yaml"
    assert find_config(None, {"MAILBRIDGE_CONFIG": ""}, tmp_path, system=system) == tmp_path / "config.yaml"
    assert find_config(None, {"MAILBRIDGE_CONFIG": "/a.yaml"}, tmp_path, system=system) == Path("/a.yaml")
    assert find_config("b.yaml", {"MAILBRIDGE_CONFIG": "/a.yaml"}, tmp_path, system=system) == Path("b.yaml")


@pytest.mark.parametrize("name", ["missing.yaml", "nul\0name.yaml", "x" * 300])
def test_a_file_that_is_not_there(tmp_path: Path, name: str):
    """What was named and cannot be read is one problem without a line."""
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / name, environ={})
    assert [found.line for found in caught.value.problems] == [0]


def test_secrets_are_not_in_any_repr(tmp_path: Path):
    """No way of printing the configuration shows a secret."""
    text = PROMISED.replace("smtp://127.0.0.1:25 ", "smtp://u:canary@127.0.0.1:25 ")
    config = load(tmp_path, text, environ={"SMSC_PASSWORD": "canary", "SMSC_SECRET": "canary"})
    assert "canary" not in f"{config!r} {config} {config.gateways['main']!r} {config.bounce!r}"


def test_loading_is_quick_and_light(tmp_path: Path):
    """The promised configuration takes well under 150 ms and loads no library of the other rooms."""
    load(tmp_path, PROMISED, environ={"SMSC_PASSWORD": "p", "SMSC_SECRET": "s"})
    fastest = min(_timed(tmp_path / "config.yaml") for _ in range(5))
    assert fastest < 0.15
    code = "import sys, mailbridge.config.load; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sqlalchemy", "alembic", "aiohttp", "aiosmtpd", "jinja2", "phonenumbers"} & set(loaded)


def _timed(file: Path) -> float:
    begun = time.perf_counter()
    load_config(file, environ={"SMSC_PASSWORD": "p", "SMSC_SECRET": "s"})
    return time.perf_counter() - begun


def test_regions_are_those_of_the_numbers_library():
    """Every region we accept can be used, and none is missing."""
    assert phonenumbers.SUPPORTED_REGIONS == REGIONS
