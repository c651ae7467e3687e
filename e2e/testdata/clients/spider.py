# A Scrapy spider: scrapy runspider spider.py -a proxy=... -a urls=a,b
import hashlib

import scrapy


class Pages(scrapy.Spider):
    name = "pages"
    custom_settings = {"LOG_LEVEL": "WARNING", "RETRY_ENABLED": False, "CONCURRENT_REQUESTS": 8, "TELNETCONSOLE_ENABLED": False}

    def start_requests(self):
        for url in self.urls.split(","):
            yield scrapy.Request(url, meta={"proxy": self.proxy}, dont_filter=True)

    def parse(self, response):
        print(hashlib.sha256(response.body).hexdigest(), flush=True)
