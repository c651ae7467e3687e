"""A crawler as people write them for jhao104/proxy_pool: python jhao104.py POOL URL PAGES"""
import sys

import requests

POOL, URL, PAGES = sys.argv[1], sys.argv[2], int(sys.argv[3])


def get_proxy():
    return requests.get("{}/get/".format(POOL)).json()


def delete_proxy(proxy):
    requests.get("{}/delete/?proxy={}".format(POOL, proxy))


def get_html(url):
    retry_count = 5
    while True:
        proxy = get_proxy().get("proxy")
        while retry_count > 0:
            try:
                html = requests.get(url, proxies={"http": "http://{}".format(proxy)}, timeout=10)
                if html.status_code == 200:
                    return html.text
                raise requests.RequestException(html.status_code)
            except requests.RequestException:
                retry_count -= 1
        delete_proxy(proxy)
        retry_count = 1


for n in range(PAGES):
    print(get_html(URL + str(n)))
print(requests.get("{}/count/".format(POOL)).json()["count"], file=sys.stderr)
