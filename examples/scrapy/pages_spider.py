"""Crawls numbered pages through Freeway:

    scrapy runspider pages_spider.py -a start=http://www.lab.test/bytes/ -a pages=500 -O pages.jsonl
"""
import scrapy
from scrapy.http import TextResponse

from freeway_middleware import FreewayMiddleware


class PagesSpider(scrapy.Spider):
    name = "pages"
    custom_settings = {
        "DOWNLOADER_MIDDLEWARES": {FreewayMiddleware: 740},
        "CONCURRENT_REQUESTS": 16,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
        "ROBOTSTXT_OBEY": False,  # set it to True for sites that are not your own
        "TELNETCONSOLE_ENABLED": False,
    }

    def __init__(self, start="http://www.lab.test/bytes/", pages=500, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [f"{start}{n}" for n in range(int(pages))]

    def ban_detected(self, response):
        return response.status in (403, 429) or b"unusual traffic" in response.body

    def parse(self, response):
        title = response.css("title::text").get() if isinstance(response, TextResponse) else None
        yield {"url": response.url, "bytes": len(response.body), "title": title}
