"""Two pages: an overview, and a GraphQL editor. The demo's editor is signed in; others ask you to sign in."""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path
from string import Template

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from tournee import __version__
from tournee.auth.roles import Role
from tournee.demo import ACCOUNTS, OTHER_MANAGER, PASSWORD
from tournee.shipped import folder

_STATIC = Path(__file__).parent / "static"
# The editor writes styles into the page and needs its fonts inline; scripts come from us alone.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
}

_SEES: dict[str, str] = {
    "technician": "one field technician's own round",
    "technician2": "another technician's",
    "dispatcher": "plans everybody's work",
    "manager": "everything, accounts and devices too",
    "auditor": "checklists, audits, findings",
    "reporting": "reads, changes nothing",
    "portal": "one customer's own records",
}


def page_routes(*, demo: bool) -> list[BaseRoute]:
    """Return the routes of `/` and of the files that both pages need."""

    async def home_page(_request: Request) -> Response:
        return _page("home.html" if demo else "server.html")

    return [
        Route("/", home_page),
        Route("/assets/documents.json", documents),
        Mount("/assets", StaticFiles(directory=_STATIC)),
    ]


async def documents(_request: Request) -> Response:
    """Return the editor's first tabs: a query for each role, and the documents of our own clients."""
    return JSONResponse({"starters": starters(), "operations": operations()}, headers=_HEADERS)


@cache
def starters() -> dict[str, str]:
    """Return the first query of each role."""
    files = Path(__file__).parent / "starters"
    return {role.value: (files / f"{role.lower()}.graphql").read_text("utf-8") for role in Role}


@cache
def operations() -> list[str]:
    """Return the documents of `schema/operations`, the queries first."""
    texts = [file.read_text("utf-8") for file in sorted((folder("schema") / "operations").glob("*.graphql"))]
    return sorted(texts, key=lambda text: "\nquery " not in f"\n{text}")


def ide_first(graphql: ASGIApp, *, demo: bool) -> ASGIApp:
    """Show a browser that opens `/graphql` the editor; everything else is GraphQL."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _is_browser(Request(scope)):
            await _page("ide.html", _DEMO if demo else _SIGN_IN)(scope, receive, send)
        else:
            await graphql(scope, receive, send)

    return _Asgi(served)


class _Asgi:
    """Wraps an ASGI application, because a route would take a bare function for an endpoint."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _is_browser(request: Request) -> bool:
    return (
        request.method in ("GET", "HEAD")
        and "text/html" in request.headers.get("accept", "")
        and "query" not in request.query_params
    )


def _page(name: str, who: str = "") -> Response:
    return HTMLResponse(_text(name, who), headers=_HEADERS)


# How people choose the account in the editor.
_DEMO = """<label>signed in as <select id="account" data-password="$password">
$options
</select></label>"""
_SIGN_IN = """<form id="sign-in">
<input name="username" type="email" placeholder="email" autocomplete="username" required>
<input name="password" type="password" placeholder="password" autocomplete="current-password" required>
<button>sign in</button>
</form>
<span id="signed-in" hidden>signed in as <b></b> <button type="button">sign out</button></span>"""


@cache
def _text(name: str, who: str) -> str:
    accounts = [
        *((f"{account}@demo.example", label, _SEES[account]) for account, _, label in ACCOUNTS),
        (OTHER_MANAGER, "Other Manager", "a second organisation: nothing of the first"),
    ]
    page = (_STATIC / name).read_text("utf-8").replace("$who", who)
    return Template(page).substitute(
        version=escape(__version__),
        password=escape(PASSWORD),
        buttons="\n".join(_button(*account) for account in accounts),
        options="\n".join(
            f'<option value="{escape(email)}">{escape(email)}</option>' for email, _, _ in accounts
        ),
    )


def _button(email: str, label: str, sees: str) -> str:
    return (
        f'<li><button type="button" data-account="{escape(email)}">'
        f"<strong>{escape(label)}</strong><code>{escape(email)}</code><span>{escape(sees)}</span></button></li>"
    )
