"""Scrapy downloader middleware: each request leaves through Freeway, and bans are told back to it.

settings.py:
    DOWNLOADER_MIDDLEWARES = {"freeway_middleware.FreewayMiddleware": 740}  # before HttpProxyMiddleware, 750
    FREEWAY_GATEWAY = "http://bob:secret@127.0.0.1:8080"  # the default has neither name nor password
    FREEWAY_WISHES = "anonymity-elite"                    # for the user name, see docs/gateway.md
    FREEWAY_API = "http://127.0.0.1:8081"                 # where bans are told
    FREEWAY_TOKEN = ""                                    # of an operator, if admin.token is set

meta["freeway"] = "country-de-session-a1" replaces the wishes for one request. A spider that knows how its
site refuses says so with ban_detected(response) -> bool.
"""
import json
import logging
import urllib.request
import uuid
from urllib.parse import urlsplit

from scrapy.downloadermiddlewares.retry import get_retry_request
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.internet.threads import deferToThread

log = logging.getLogger(__name__)
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the API is not asked through a proxy


class FreewayMiddleware:
    def __init__(self, crawler):
        s = crawler.settings
        gateway = urlsplit(s.get("FREEWAY_GATEWAY", "http://127.0.0.1:8080"))
        self.scheme, self.host = gateway.scheme, gateway.netloc.rpartition("@")[2]
        self.user, self.password = gateway.username or "scrapy", gateway.password or ""
        self.api, self.token = s.get("FREEWAY_API", "http://127.0.0.1:8081"), s.get("FREEWAY_TOKEN")
        self.wishes, self.tries = s.get("FREEWAY_WISHES", ""), s.getint("FREEWAY_BAN_RETRIES", 5)
        self.banned = getattr(crawler.spider, "ban_detected", lambda r: r.status in (403, 429))
        self.spider, self.stats = crawler.spider, crawler.stats

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    def process_request(self, request, spider=None):
        tag = request.meta["freeway_tag"] = uuid.uuid4().hex  # by which a ban names its exit
        wishes = request.meta.get("freeway", self.wishes)
        user = "-".join(filter(None, [self.user, wishes, "tag", tag]))
        request.meta["proxy"] = f"{self.scheme}://{user}:{self.password}@{self.host}"

    async def process_response(self, request, response, spider=None):
        if b"Freeway-Error" in response.headers or not self.banned(response):
            return response
        self.stats.inc_value("freeway/bans")
        ban = {"tag": request.meta["freeway_tag"], "target": urlsplit(request.url).netloc.rpartition("@")[2], "verdict": "banned"}
        try:
            await maybe_deferred_to_future(deferToThread(self.tell, ban))
            self.stats.inc_value("freeway/told")
        except OSError as err:
            log.warning("Freeway was not told of a ban: %s", err)
        return get_retry_request(request, spider=self.spider, reason="banned", max_retry_times=self.tries) or response

    def tell(self, ban):
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        direct.open(urllib.request.Request(f"{self.api}/api/feedback", json.dumps(ban).encode(), headers), timeout=10).close()
