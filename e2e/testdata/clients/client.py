# Fetches each URL with one library through the proxy and prints the SHA-256 of
# each body: client.py LIBRARY PROXY CA URL...
import asyncio
import hashlib
import ssl
import sys

library, proxy, ca, urls = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]


def show(body):
    print(hashlib.sha256(body).hexdigest(), flush=True)


def with_requests():
    import requests

    with requests.Session() as session:
        session.proxies = {"http": proxy, "https": proxy}
        session.verify = ca
        session.trust_env = False
        for url in urls:
            answer = session.get(url, timeout=50)
            answer.raise_for_status()
            show(answer.content)


def with_httpx():
    import httpx

    async def fetch():
        try:
            client = httpx.AsyncClient(proxies=proxy, verify=ca, timeout=50)
        except TypeError:  # newer
            client = httpx.AsyncClient(proxy=proxy, verify=ssl.create_default_context(cafile=ca), timeout=50)
        async with client:
            for answer in await asyncio.gather(*(client.get(url) for url in urls)):
                answer.raise_for_status()
                show(answer.content)

    asyncio.run(fetch())


def with_aiohttp():
    import aiohttp

    context = ssl.create_default_context(cafile=ca)

    async def get(session, url):
        async with session.get(url, proxy=proxy, ssl=context) as answer:
            answer.raise_for_status()
            return await answer.read()

    async def fetch():
        async with aiohttp.ClientSession() as session:
            for body in await asyncio.gather(*(get(session, url) for url in urls)):
                show(body)

    asyncio.run(fetch())


{"requests": with_requests, "httpx": with_httpx, "aiohttp": with_aiohttp}[library]()
