"""The example, the schema, the reference page and the effective configuration all agree with the model."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from mailbridge.config.example import ELSEWHERE, example
from mailbridge.config.load import load_config
from mailbridge.config.model import Bounce, Config, Gateway, LimitSettings, Listener, Queue, Smtp, User
from mailbridge.config.outline import all_entries, kind_at
from mailbridge.config.reference import reference
from mailbridge.config.schema import json_schema
from mailbridge.config.show import effective, effective_yaml, hide_password
from mailbridge.errors import ConfigError

ROOT = Path(__file__).parents[2]
HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g"


@pytest.fixture
def rich() -> Config:
    """Return a configuration with everything that is awkward to write down, and secrets wherever there can be one."""
    return Config(
        smtp=Smtp(
            listen=[Listener(), Listener(address="[::1]:0", allow=["::1"])], domains={"a.local": "sms", "0123": "sms"}
        ),
        users=[User(name='we"ird: #name', password=HASH), User(name="off", password=HASH)],
        message={"text": "${x} {{ subject }}\n\t«{{ body }}»\u2028", "sender": "+7999"},
        gateways={
            "main": Gateway(
                login="1:30",
                password="canary",
                proxy="http://u:canary@p:1",
                callback_path="canarypath",
                callback_secret="canary",
            ),
            "no": Gateway(apikey="canary", url=["http://127.0.0.1:1"]),
        },
        queue=Queue(lifetime=90061.5, keep_original=1024),
        bounce=Bounce(**{"smarthost": "smtp://u:canary@h:25?starttls=required", "from": "a@example.org"}),
        web={"listen": "off"},
    )


def test_the_example_loads(tmp_path: Path):
    """The example can be used as it is printed, and is nearly all defaults."""
    file = tmp_path / "config.yaml"
    file.write_text(example())
    config = load_config(file, environ={})
    assert set(config.gateways) == {"main"}
    assert config.limits.phone == ["1/1m", "5/15m", "12/1h", "20/3h"]
    assert (
        config.model_copy(
            update={"gateways": {}, "limits": LimitSettings(), "smtp": config.smtp.model_copy(update={"hostname": ""})}
        )
        == Config()
    )


def test_every_line_of_the_example_can_be_put_to_use(tmp_path: Path):
    """With all comment marks before keys removed it is still well formed and has every key there is."""
    text = re.sub(r"^( *)#(?! )(.*)$", r"\1\2", example(), flags=re.MULTILINE)
    text = text.replace("$argon2id$...", HASH)
    text = re.sub(r"^ +(login|password): \$\{SMSC_.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^#.*", "", text, flags=re.MULTILINE)
    file = tmp_path / "config.yaml"
    file.write_text(text)
    config = load_config(file, environ={"SMSC_APIKEY": "k", "SMSC_SECRET": "s", "HOOK_SECRET": "s" * 32})
    assert config.users[0].name == "zabbix"
    written = yaml.safe_load(text)
    for path, _ in all_entries():
        if any(path.startswith(described) for described in ELSEWHERE):
            continue
        here = written
        name = {"people": "anna", "aliases": "oncall", "rotas": "ops", "quiet_hours": "night", "escalation": "ops"}.get(
            path.partition(".")[0], "main"
        )
        for step in path.replace("[]", ".0").replace("<name>", name).split("."):
            if step in ("login", "password") and "gateways" in path:
                break
            here = here[int(step)] if step == "0" else here[step]


def test_commented_defaults_are_the_defaults():
    """A commented key shows what the model has, where it has anything."""
    shown = dict(re.findall(r"^ *#([a-z_]+): (.*)$", example(), flags=re.MULTILINE))
    assert shown["verdict_wait"] == "10s"
    assert shown["keep_original"] == "64KB"
    assert shown["allow"] in ('[127.0.0.0/8, "::1"]', '["+7"]')
    assert shown["legacy"] == "false"
    assert shown["max_hops"] == "50"


@pytest.mark.parametrize(
    ("name", "make"), [("config.example.yaml", example), ("docs/reference/configuration.md", reference)]
)
def test_generated_files_are_current(name: str, make):
    """What scripts/generate writes is what stands in the tree."""
    assert (ROOT / name).read_text(encoding="utf-8") == make()


def test_generate_tells_whether_files_are_current(tmp_path: Path):
    """scripts/generate --check agrees with what is there, and writes nothing."""
    before = {
        name: (ROOT / name).stat().st_mtime_ns for name in ("config.example.yaml", "docs/reference/configuration.md")
    }
    done = subprocess.run([sys.executable, ROOT / "scripts" / "generate", "--check"], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert {name: (ROOT / name).stat().st_mtime_ns for name in before} == before


def test_every_key_is_described():
    """Each key has a sentence, and the reference page has each key."""
    page = reference()
    for path, entry in all_entries():
        assert entry.description.endswith("."), path
        assert f"`{entry.key}`" in page or f"{entry.key}" in page


def test_outline_knows_every_kind_of_place():
    """Paths into lists and mappings lead somewhere, others nowhere."""
    assert kind_at(("smtp", "listen", 0, "allow", 3)) is not None
    assert kind_at(("gateways", "any", "batch")) is not None
    assert kind_at(("smtp", "listen", "x")) is None
    assert kind_at(("nothing",)) is None


def test_schema_is_a_schema_and_takes_the_example():
    """The schema is valid draft 2020-12, and the example and the effective configuration are valid under it."""
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert list(validator.iter_errors(yaml.safe_load(example()))) == []
    assert list(validator.iter_errors(effective(Config()))) == []


def test_schema_refuses_what_the_loader_refuses():
    """Unknown keys, wrong choices, missing keys and durations without a unit are caught in the editor already."""
    validator = jsonschema.Draft202012Validator(json_schema())
    for wrong in (
        {"smpt": {}},
        {"smtp": {"reply": "later"}},
        {"users": [{"name": "x"}]},
        {"smtp": {"verdict_wait": 10}},
        {"smtp": {"max_hops": "many"}},
    ):
        assert not validator.is_valid(wrong), wrong
    for right in (
        {"users": [{"name": "x", "password_file": "/x"}]},
        {"message": {"translit": 0}},
        {"smtp": {"max_hops": "${HOPS}"}},
        {"smtp": None},
    ):
        assert validator.is_valid(right), right


def test_show_hides_every_secret(rich: Config):
    """No secret, and no password in a URL, is in the effective configuration in either form."""
    text = effective_yaml(rich)
    assert "canary" not in text
    assert "canary" not in json.dumps(effective(rich))
    assert HASH not in text
    assert text.count("***") == 8


def test_show_loads_again(rich: Config, tmp_path: Path):
    """What is shown is a configuration with the same values, apart from the secrets."""
    text = effective_yaml(rich).replace('password: "***"', f"password: {HASH}")
    file = tmp_path / "config.yaml"
    file.write_text(text)
    again = load_config(file, environ={})
    assert effective(again) == effective(rich)
    assert again.message.text == rich.message.text


def test_show_is_the_same_to_any_yaml_reader(rich: Config):
    """A reader that guesses types, as YAML 1.1 does, still sees the texts we meant."""
    read = yaml.safe_load(effective_yaml(rich))
    assert read["message"]["sender"] == "+7999"
    assert read["gateways"]["main"]["login"] == "1:30"
    assert set(read["gateways"]) == {"main", "no"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("smtp://u:p@h:25", "smtp://u:***@h:25"),
        ("smtp://u:p@q/@h", "smtp://u:***@h"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql+asyncpg://u:p@h/db?password=p", "postgresql+asyncpg://u:***@h/db?password=***"),
        ("sqlite:////var/x@y:z.db", "sqlite:////var/x@y:z.db"),
    ],
)
def test_passwords_in_urls(url: str, shown: str):
    """Only the password of a URL is hidden."""
    assert hide_password(url) == shown


def test_show_of_a_bad_configuration_is_refused_first(tmp_path: Path):
    """There is no effective configuration of a file with problems."""
    file = tmp_path / "config.yaml"
    file.write_text("smtp: {reply: later}\n")
    with pytest.raises(ConfigError):
        load_config(file, environ={})
