"""Whether a text template can be used: it compiles and asks for nothing that mails do not have. Renders nothing."""

from __future__ import annotations

from jinja2 import TemplateError, meta
from jinja2.sandbox import SandboxedEnvironment

from mailbridge.config.validate import suggest

#: what a template may use (docs/reference/configuration.md)
_VARIABLES = "subject body from from_name to headers short host service state severity info event time sms"
VARIABLES = frozenset(_VARIABLES.split())
FILTERS = frozenset({"fold", "translit", "fit", "first_line", "lines"})
MAX_TEMPLATE_LENGTH = 10_000


def template_error(text: str) -> str:
    """Return what is wrong with the template and what to write instead, "; " between them; nothing where it is good."""
    if len(text) > MAX_TEMPLATE_LENGTH:
        return f"a template of more than {MAX_TEMPLATE_LENGTH} characters; shorten it"
    environment = SandboxedEnvironment()
    environment.filters.update(dict.fromkeys(FILTERS, str))
    try:
        tree = environment.parse(text)
        unknown = sorted(meta.find_undeclared_variables(tree) - VARIABLES)
        if not unknown:
            environment.compile(tree)
            return ""
    except TemplateError as error:
        return f"not a Jinja2 template: {(error.message or 'syntax error').rstrip('.')}; see https://jinja.palletsprojects.com"
    except (RecursionError, MemoryError, OverflowError, SyntaxError, ValueError):
        return "not a usable Jinja2 template; write a simpler one"
    names = ", ".join(sorted(VARIABLES))
    return f'no such variable as "{unknown[0]}"; {suggest(unknown[0], VARIABLES) or f"there are {names}"}'
