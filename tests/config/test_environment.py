"""Values from the environment and from secret files."""

from pathlib import Path

import pytest

from mailbridge.config.load import load_config
from mailbridge.errors import ConfigError

BASE = "gateways:\n  main: {login: acme, password: secret}\n"


@pytest.fixture
def load(tmp_path: Path):
    """Load a text with an environment."""

    def load(text: str = BASE, **environ: str):
        file = tmp_path / "config.yaml"
        file.write_text(text)
        return load_config(file, environ=environ)

    return load


def problems(load, text: str = BASE, **environ: str) -> list[str]:
    """Return the problems as "path: what is wrong"."""
    with pytest.raises(ConfigError) as caught:
        load(text, **environ)
    return [f"{found.path}: {found.problem}" for found in caught.value.problems]


def with_password(value: str) -> str:
    """Return a configuration with *value* as the password."""
    return f"gateways:\n  main:\n    login: acme\n    password: {value}\n"


@pytest.mark.parametrize(
    ("written", "environ", "read"),
    [
        ("${PW}", {"PW": "s3"}, "s3"),
        ("a${PW}b${PW}", {"PW": "-"}, "a-b-"),
        ("${PW:-x}", {}, "x"),
        ("${PW:-x}", {"PW": ""}, "x"),
        ("${PW:-x}", {"PW": "y"}, "y"),
        ("${PW:-a:b-c$d}", {}, "a:b-c$d"),
        ("$${PW}", {"PW": "s3"}, "${PW}"),
        ("$PW $$ {x}", {"PW": "s3"}, "$PW $$ {x}"),
        ("${PW}", {"PW": "${OTHER}"}, "${OTHER}"),
        ("${PW}", {"PW": "off: [&x"}, "off: [&x"),
    ],
)
def test_variables_in_values(load, written: str, environ: dict, read: str):
    """${NAME} is replaced once, ${NAME:-default} serves for unset and empty, $${ is the text ${."""
    config = load(with_password(written), **environ)
    assert config.gateways["main"].password.get_secret_value() == read


def test_variables_reach_lists_and_numbers(load):
    """A variable may stand for any scalar."""
    config = load(BASE + "smtp:\n  max_recipients: ${N}\n  listen:\n    - allow: ['${NET}']\n", N="7", NET="10.0.0.0/8")
    assert config.smtp.max_recipients == 7
    assert config.smtp.listen[0].allow == ["10.0.0.0/8"]


def test_a_variable_is_never_repeated_in_a_report(load):
    """What came from the environment may be a secret in the wrong place."""
    with pytest.raises(ConfigError) as caught:
        load(BASE + "smtp:\n  reply: ${PW}\n  verdict_wait: ${PW}\nmessage:\n  text: '{{ ${PW} }}'\n", PW="canary")
    assert "canary" not in str(caught.value)
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("content", "read"), [("s3\n", "s3"), ("s3", "s3"), ("s3\r\n", "s3"), (" s 3 \n", " s 3 "), ("${X}\n", "${X}")]
)
def test_secret_from_a_file(load, tmp_path: Path, content: str, read: str):
    """The file's text is the secret, without its last line end."""
    (tmp_path / "pw").write_bytes(content.encode())
    config = load(f"gateways:\n  main: {{login: acme, password_file: {tmp_path / 'pw'}}}\n")
    assert config.gateways["main"].password.get_secret_value() == read


def test_secret_file_name_counts_from_the_configuration(load, tmp_path: Path):
    """A relative name is looked for beside the file it is written in."""
    (tmp_path / "pw").write_text("s3\n")
    assert load("gateways:\n  main: {apikey_file: pw}\n").gateways["main"].apikey.get_secret_value() == "s3"


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe", b"x" * 70_000])
def test_secret_file_with_something_else_in_it(load, tmp_path: Path, content: bytes):
    """An empty, long, binary or many-lined file is a problem, and the only one."""
    (tmp_path / "pw").write_bytes(content)
    assert [
        line.partition(":")[0] for line in problems(load, "gateways:\n  main: {login: a, password_file: pw}\n")
    ] == ["gateways.main.password_file"]


def test_every_secret_has_its_file_form(load, tmp_path: Path):
    """Users, callbacks, and URLs with passwords in them can all be given as files."""
    hashed = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g"
    for name, content in {
        "hash": hashed,
        "pw": "s3",
        "url": "smtp://u:p@127.0.0.1",
        "db": "sqlite:////tmp/q.db",
        "proxy": "http://u:p@proxy:3128",
    }.items():
        (tmp_path / name).write_text(content + "\n")
    config = load(
        "users:\n  - {name: a, password_file: hash}\n"
        "gateways:\n  main: {apikey_file: pw, callback_path: 0123456789, callback_secret_file: pw, proxy_file: proxy}\n"
        "queue: {url_file: db}\nbounce: {smarthost_file: url, from: a@example.org}\n"
    )
    assert config.users[0].password.get_secret_value() == hashed
    assert config.gateways["main"].callback_secret.get_secret_value() == "s3"
    assert config.gateways["main"].proxy == "http://u:p@proxy:3128"
    assert config.queue.url == "sqlite:////tmp/q.db"
    assert config.bounce.smarthost == "smtp://u:p@127.0.0.1"
    assert config.bounce.mode == "mail"


def test_overrides_replace_scalars(load):
    """Every scalar can be replaced, whatever the case of the variable."""
    config = load(
        BASE + "smtp:\n  reply: verdict\n",
        MAILBRIDGE__SMTP__REPLY="queued",
        mailbridge__smtp__verdict_wait="3s",
        MAILBRIDGE__GATEWAYS__MAIN__PASSWORD="pa$${word",
        MAILBRIDGE__SMTP__LISTEN__0__ADDRESS="127.0.0.1:25",
        MAILBRIDGE__SMTP__LISTEN__1__ADDRESS="127.0.0.1:26",
        MAILBRIDGE__SMTP__LISTEN__1__ALLOW="10.0.0.0/8, ::1",
        MAILBRIDGE__BOUNCE__FROM="a@example.org",
        MAILBRIDGE_CONFIG="elsewhere",
    )
    assert config.smtp.reply == "queued"
    assert config.smtp.verdict_wait == 3.0
    assert config.gateways["main"].password.get_secret_value() == "pa$${word"
    assert [listener.address for listener in config.smtp.listen] == ["127.0.0.1:25", "127.0.0.1:26"]
    assert config.smtp.listen[1].allow == ["10.0.0.0/8", "::1"]
    assert config.bounce.from_ == "a@example.org"


def test_overrides_reach_names_with_dots_and_dashes(load):
    """A character that no variable can have is written as an underscore."""
    config = load(
        "gateways:\n  my-smsc.ru: {login: acme, password: a}\nsmtp:\n  domains: {My-SMS.local: sms}\n",
        MAILBRIDGE__GATEWAYS__MY_SMSC_RU__PASSWORD="b",
        MAILBRIDGE__SMTP__DOMAINS__MY_SMS_LOCAL="sms",
        MAILBRIDGE__SMTP__DOMAINS__ALERT_EXAMPLE="sms",
    )
    assert config.gateways["my-smsc.ru"].password.get_secret_value() == "b"
    assert config.smtp.domains == {"my-sms.local": "sms", "alert.example": "sms"}


def test_a_gateway_from_the_environment_alone(load):
    """What is not in the file can be made by variables."""
    config = load(
        "web: {}\n",
        MAILBRIDGE__GATEWAYS__MAIN__APIKEY="k",
        MAILBRIDGE__GATEWAYS__MAIN__URL="http://127.0.0.1:1,http://127.0.0.1:2",
    )
    assert config.gateways["main"].url == ["http://127.0.0.1:1", "http://127.0.0.1:2"]


def test_a_file_from_the_environment_wins_over_the_written_secret(load, tmp_path: Path):
    """x_file in the environment replaces x in the file, and the other way round."""
    (tmp_path / "pw").write_text("from file\n")
    config = load(MAILBRIDGE__GATEWAYS__MAIN__PASSWORD_FILE=str(tmp_path / "pw"))
    assert config.gateways["main"].password.get_secret_value() == "from file"
    config = load(
        "gateways:\n  main: {login: a, password_file: missing}\n", MAILBRIDGE__GATEWAYS__MAIN__PASSWORD="direct"
    )
    assert config.gateways["main"].password.get_secret_value() == "direct"


def test_an_override_mends_a_missing_variable(load):
    """A value that is replaced anyway need not be readable."""
    config = load(with_password("${NOT_SET}"), MAILBRIDGE__GATEWAYS__MAIN__PASSWORD="given")
    assert config.gateways["main"].password.get_secret_value() == "given"


def test_two_keys_under_one_spelling(load):
    """Where a variable could mean two keys, it is refused."""
    text = "gateways:\n  a-b: {apikey: x}\n  a.b: {apikey: x}\n"
    assert problems(load, text, MAILBRIDGE__GATEWAYS__A_B__APIKEY="y") == [
        "MAILBRIDGE__GATEWAYS__A_B__APIKEY: A_B stands for more than one key of gateways"
    ]


@pytest.mark.parametrize(
    "name",
    [
        "MAILBRIDGE__",
        "MAILBRIDGE____",
        "MAILBRIDGE__SMTP__REPLY__X",
        "MAILBRIDGE__USERS__X__NAME",
        "MAILBRIDGE__SMTP__LISTEN__٣__ADDRESS",
    ],
)
def test_variables_that_fit_nothing(load, name: str):
    """A variable with our prefix that names no value is a problem, never silence."""
    assert [line.partition(":")[0] for line in problems(load, **{name: "x"})] == [name]
