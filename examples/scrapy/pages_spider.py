"""Crawls numbered pages through Freeway:

    scrapy runspider pages_spider.py -a start=http://www.lab.test/page/ -a pages=500 -O pages.jsonl
"""
import scrapy


class PagesSpider(scrapy.Spider):
    name = "pages"
    custom_settings = {
        "DOWNLOADER_MIDDLEWARES": {"freeway_middleware.FreewayMiddleware": 740},
        "CONCURRENT_REQUESTS": 16,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
        "ROBOTSTXT_OBEY": False,  # set it to True for sites that are not your own
        "TELNETCONSOLE_ENABLED": False,
    }

    def __init__(self, start="http://www.lab.test/page/", pages=500, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [f"{start}{n}" for n in range(int(pages))]

    def ban_detected(self, response):
        return response.status in (403, 429) or b"unusual traffic" in response.body

    def parse(self, response):
        yield {"url": response.url, "title": response.css("title::text").get()}
