"""The MailWizz simulator's web side: the pixel, the tracked link, the ways off a list."""

import base64
from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web

from localstack.mailwizz_records import MailWizzRecords

_PIXEL = base64.b64decode("R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
_FORM = "<form method='post'><button>Unsubscribe</button></form>"
_SUBSCRIBER = "{subscriber:[A-Za-z0-9]{1,13}}"
_CAMPAIGN = "{campaign:[A-Za-z0-9]{1,13}}"
_LIST = "{list:[A-Za-z0-9]{1,13}}"
_LEAVE = f"/lists/{_LIST}/unsubscribe/{_SUBSCRIBER}/{_CAMPAIGN}"


class MailWizzTracking:
    """Answers alike whether it counts or not: only confirmed and moved subscribers leave a row."""

    def __init__(self, records: MailWizzRecords) -> None:
        self._records = records

    def routes(self) -> Sequence[web.RouteDef]:
        """The routes; their names are those that faults refer to."""
        return [
            web.get(f"/campaigns/{_CAMPAIGN}/track-opening/{_SUBSCRIBER}", self._open, name="track-opening"),
            web.get(f"/campaigns/{_CAMPAIGN}/track-url/{_SUBSCRIBER}/{{key}}", self._click, name="track-url"),
            web.get(_LEAVE, self._form, name="unsubscribe"),
            web.post(_LEAVE, self._leave, name="unsubscribe-post"),
            web.get(f"{_LEAVE}/unsubscribe-direct", self._leave_directly, name="unsubscribe-direct"),
        ]

    async def _open(self, request: web.Request) -> web.Response:
        await self._records.opened(request.match_info["campaign"], request.match_info["subscriber"])
        return web.Response(body=_PIXEL, content_type="image/gif")

    async def _click(self, request: web.Request) -> web.Response:
        campaign = request.match_info["campaign"]
        found = await self._records.destination(campaign, request.match_info["key"])
        if found is None:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        url_id, destination = found
        await self._records.clicked(url_id, campaign, request.match_info["subscriber"])
        return web.Response(status=HTTPStatus.MOVED_PERMANENTLY, headers={"Location": destination})

    async def _form(self, request: web.Request) -> web.Response:
        """The ordinary link asks first, whoever follows it."""
        is_single = await self._records.is_opt_out_single(request.match_info["list"])
        if is_single is None:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        return web.Response(text=_FORM, content_type="text/html")

    async def _leave_directly(self, request: web.Request) -> web.Response:
        """The direct link leaves at once, if the list asks for no second word."""
        if await self._records.is_opt_out_single(request.match_info["list"]):
            return await self._left(request)
        return await self._form(request)

    async def _leave(self, request: web.Request) -> web.Response:
        """The form's button, and RFC 8058's one click."""
        if await self._records.is_opt_out_single(request.match_info["list"]) is None:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        return await self._left(request)

    async def _left(self, request: web.Request) -> web.Response:
        await self._records.unsubscribed(request.match_info["campaign"], request.match_info["subscriber"])
        return web.Response(text="You were unsubscribed.")
