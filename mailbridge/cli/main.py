"""``mailbridge VERB``: the list of verbs; each one's module is imported only when it is called."""

from __future__ import annotations

import importlib
import os
import sys

import click

from mailbridge.cli.common import exit_for
from mailbridge.errors import MailbridgeError
from mailbridge.lean import import_structlog_alone

#: verb -> (module, function, one line)
VERBS: dict[str, tuple[str, str, str]] = {
    "serve": ("serve", "serve", "Run the bridge in the foreground."),
    "demo": ("serve", "demo", "Run the bridge with the built-in simulator and no configuration."),
    "check-config": ("config", "check_config", "Read the configuration and report every problem at once."),
    "config": ("config", "config", "Print the example, the JSON Schema or the effective configuration."),
    "preview": ("preview", "preview", "Show what a mail would become; sends nothing."),
    "explain": ("explain", "explain", "Say why a mail would be accepted or refused, step by step."),
    "send": ("send", "send", "Send a text through the queue, like a mail would."),
    "sendmail": ("sendmail", "sendmail", "Drop-in for /usr/sbin/sendmail."),
    "queue": ("queue", "queue", "The queue and its history."),
    "gateways": ("gateways", "gateways", "State of each gateway; probe, suspend, resume."),
    "ack": ("ack", "ack", "Answer an alert; without an id, list those that wait for an answer."),
    "oncall": ("oncall", "oncall", "Who is on duty now and in the next two weeks."),
    "balance": ("gateways", "balance", "Money left on each gateway's account."),
    "status": ("gateways", "status", "What the gateway says of a message now."),
    "simulator": ("simulator", "simulator", "The SMSC look-alike on its own."),
    "hash-password": ("tools", "hash_password", "Print an argon2id hash for the configuration."),
    "tls": ("tls", "tls", "A self-signed certificate for a listener."),
    "doctor": ("doctor", "doctor", "Look at everything the bridge stands on, and say what to do."),
    "check": ("check", "check", "Ask a running bridge whether it is well (Nagios plugin, HEALTHCHECK)."),
    "version": ("tools", "version", "Print versions."),
}


class _Verbs(click.Group):
    """Looks verbs up in ``VERBS`` without importing their modules."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module, function, _ = VERBS[name]
        if module == "serve":
            import_structlog_alone()
        command: click.Command = getattr(importlib.import_module(f"mailbridge.cli.{module}"), function)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, line) for name, (_, _, line) in VERBS.items()])


def _print_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        assert isinstance(context.command, click.Group)
        verb = context.command.get_command(context, "version")
        assert verb is not None
        context.invoke(verb, as_json=False)
        context.exit()


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="The same as `version`."
)
def cli() -> None:
    """A local SMTP server that turns mail into SMS."""


def main() -> None:
    """Run the command line; every error of ours becomes words and an exit code, never a traceback."""
    if os.path.basename(sys.argv[0]) == "sendmail":  # noqa: PTH119 - a name, not a path
        from mailbridge.cli.sendmail import main as sendmail_main

        sendmail_main()
    try:
        cli(prog_name="mailbridge")
    except MailbridgeError as error:
        exit_for(error)
    except BrokenPipeError:
        # `| head` went away: nothing to say, and nothing more to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
