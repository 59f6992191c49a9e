"""``tls self-signed``: a certificate for a listener, where no authority issues one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import click

from mailbridge.cli.common import fail, unread_config_option
from mailbridge.config.addresses import is_hostname, is_ip


@click.group()
def tls() -> None:
    """Certificates of the listeners."""


@tls.command("self-signed")
@unread_config_option
@click.argument("names", nargs=-1)
@click.option("--days", default=825, show_default=True, type=click.IntRange(1, 36500), help="How long it is valid.")
@click.option(
    "--folder", default=".", type=click.Path(file_okay=False, path_type=Path), help="Where cert.pem and key.pem go."
)
@click.option("--rsa", is_flag=True, help="An RSA key, for old devices; else ECDSA P-256.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
def self_signed(names: tuple[str, ...], *, days: int, folder: Path, rsa: bool, force: bool) -> None:
    """Write cert.pem and key.pem for NAMES (host names or IP addresses; this machine's own where left out)."""
    openssl = shutil.which("openssl")
    if openssl is None:
        fail("the program openssl is not installed; install the package openssl", 1)
    wanted = names or (socket.gethostname(),)
    for name in wanted:
        # is_hostname keeps commas and line ends out of the extension below
        if not is_ip(name) and not is_hostname(name):
            fail(f"not a host name or an IP address: {name!r}", 2)
    certificate, key = folder / "cert.pem", folder / "key.pem"
    if not force and (taken := [path for path in (certificate, key) if path.exists()]):
        fail(f"{taken[0]} is there already; --force writes over it", 1)
    alternatives = ",".join(f"{'IP' if is_ip(name) else 'DNS'}:{name}" for name in wanted)
    kind = ["-newkey", "rsa:2048"] if rsa else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    new_certificate, new_key = folder / ".cert.pem.new", folder / ".key.pem.new"
    umask = os.umask(0o077)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        command = [openssl, "req", "-x509", *kind, "-sha256", "-nodes", "-days", str(days)]
        command += ["-subj", f"/CN={wanted[0][:64]}", "-addext", f"subjectAltName={alternatives}"]
        command += ["-keyout", str(new_key), "-out", str(new_certificate)]
        done = subprocess.run(  # noqa: S603 - a fixed program, names checked above
            command,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            fail("openssl could not make the certificate: " + done.stderr.decode("utf-8", "replace").strip()[-300:], 1)
        new_certificate.chmod(0o644)
        # both at once as nearly as can be: a reload between the two finds a pair that does not fit, and keeps the old
        new_key.replace(key)
        new_certificate.replace(certificate)
    except OSError as error:
        fail(f"{folder}: {error.strerror}", 1)
    finally:
        os.umask(umask)
        for path in (new_certificate, new_key):
            path.unlink(missing_ok=True)
    click.echo(f"certificate: {certificate.resolve()}")
    click.echo(f"private_key: {key.resolve()}")
