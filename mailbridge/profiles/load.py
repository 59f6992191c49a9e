"""The profiles in force: the built-in files, then the user's folder. The only I/O of this room."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mailbridge.config.profiles import Spec, read_profiles
from mailbridge.errors import ConfigError
from mailbridge.profiles.reader import Profiles

BUILT_IN = Path(__file__).parent / "data"


@cache
def built_in_specs() -> tuple[Spec, ...]:
    """Return the profiles that come with the program. Raises: ConfigError where one is damaged."""
    specs, problems = read_profiles(BUILT_IN, trusted=True)
    if problems:
        raise ConfigError(problems)
    return tuple(specs)


def load_profiles(folder: str = "") -> Profiles:
    """Return the built-in profiles and those of *folder*; a file of the same name takes a built-in one's place.

    Raises: ConfigError with every problem of the folder.
    """
    if not folder:
        return Profiles(built_in_specs())
    specs, problems = read_profiles(Path(folder))
    if problems:
        raise ConfigError(problems)
    return Profiles((*built_in_specs(), *specs))
